"""Entries that nobody would write in good faith: refused in a sentence, and never in the way of the others."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_catalog import Catalog, ConformanceError, Entry, InputError
from data_catalog.conformance import check_splits
from data_catalog.folder import MOST_ENTRY_NBYTES
from data_catalog.views.shards import check_shards
from tests.data_catalog.called import called

UP = "../../etc/passwd"
HTML = "<script>alert(1)</script>"
LARGEST = 2**63 - 1


def in_derived(values: dict[str, Any], derived_id: str, name: str) -> dict[str, Any]:
    group = {"made_by": "x", "created": values["created"], "variables": {name: values["variables"]["salt"]}}
    return {"derived": {derived_id: group}}


@pytest.mark.parametrize("word", [UP, "..", ".hidden", "a/b", "a\\b", "a\n", "", HTML, "x" * 101, "\x1b[31m"])
@pytest.mark.parametrize("place", ["name", "main_variable", "variable", "split", "dimension", "size", "group", "label"])
def test_words_that_are_no_names_are_refused(
    entry_values: dict[str, Any], catalog_folder: Path, place: str, word: str
) -> None:
    amplitude = entry_values["variables"]["amplitude"]
    changes: dict[str, dict[str, Any]] = {
        "name": {"name": word},
        "main_variable": {"main_variable": word},
        "variable": {"variables": entry_values["variables"] | {word: amplitude}},
        "split": {"splits": {word: []}},
        "dimension": {"variables": entry_values["variables"] | {"x": amplitude | {"dims": [word, "a", "b"]}}},
        "size": {"sizes": entry_values["sizes"] | {word: 3}},
        "group": in_derived(entry_values, word, "label"),
        "label": in_derived(entry_values, "label", word),
    }
    catalog_folder.mkdir()
    (catalog_folder / "survey.json").write_text(json.dumps(entry_values | changes[place]))
    with pytest.raises(ConformanceError, match="should match pattern"):
        Catalog().read("survey")


@pytest.mark.parametrize("command", ["show", "check", "lineage"])
@pytest.mark.parametrize("name", [UP, "..", HTML])
def test_names_in_commands_lead_nowhere(
    name: str, command: str, catalog_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, command, name) == 2
    assert "is not a dataset name" in capsys.readouterr().err


def test_a_file_that_holds_another_entry_is_refused(entry_values: dict[str, Any], catalog_folder: Path) -> None:
    catalog_folder.mkdir()
    (catalog_folder / "other.json").write_text(json.dumps(entry_values))
    with pytest.raises(InputError, match=r"other\.json holds an entry named 'survey'"):
        Catalog().read("other")


@pytest.mark.parametrize("size", [LARGEST, LARGEST + 1, 10**30, 10**400, -1, 0, 1.5])
def test_absurd_sizes_are_refused(
    size: float, make_entry: Callable[..., Entry], entry_values: dict[str, Any], catalog_folder: Path
) -> None:
    catalog = Catalog()
    catalog.publish(make_entry())
    values = json.loads((catalog_folder / "survey.json").read_text())
    values["sizes"]["inline"] = size
    for variable in values["variables"].values():
        if "inline" in variable["dims"]:
            variable["shape"][variable["dims"].index("inline")] = size
    (catalog_folder / "survey.json").write_text(json.dumps(values))
    with pytest.raises(ConformanceError):
        catalog.open("survey")


def test_an_absurdly_large_file_is_not_read(catalog_folder: Path) -> None:
    catalog_folder.mkdir()
    with open(catalog_folder / "huge.json", "wb") as file:
        file.truncate(MOST_ENTRY_NBYTES + 1)  # sparse: it takes no room
    with pytest.raises(InputError, match="is larger than 64 MiB"):
        Catalog().read("huge")


def test_what_is_no_file_is_not_waited_for(catalog_folder: Path) -> None:
    catalog_folder.mkdir()
    os.mkfifo(catalog_folder / "pipe.json")
    (catalog_folder / "device.json").symlink_to("/dev/zero")
    (catalog_folder / "folder.json").mkdir()
    entries, _, broken = Catalog().read_all()
    assert entries == []
    assert {name: sentence.rpartition("/")[2] for name, sentence in broken.items()} == {
        "pipe": "pipe.json is no file.",
        "device": "device.json is no file.",
        "folder": "folder.json cannot be read: Is a directory.",
    }


def test_an_entry_that_could_not_be_read_is_not_published(
    make_entry: Callable[..., Entry], catalog_place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_catalog.catalog.MOST_ENTRY_NBYTES", 1000)
    with pytest.raises(InputError, match="convert fewer files together"):
        Catalog().publish(make_entry())
    assert Catalog().names() == []


@pytest.mark.parametrize("field", ["recipe", "split_by", "provenance"])
def test_passwords_in_settings_are_refused_and_not_repeated(
    entry_values: dict[str, Any], catalog_folder: Path, field: str
) -> None:
    settings = {"files": [{"path": "https://me:hush-hush@host/picks.csv"}]}
    changes = {field: settings}
    if field == "provenance":
        changes = in_derived(entry_values, "picks", "label")
        changes["derived"]["picks"]["provenance"] = settings
    catalog_folder.mkdir()
    (catalog_folder / "survey.json").write_text(json.dumps(entry_values | changes))
    with pytest.raises(ConformanceError, match="must not hold a password") as refused:
        Catalog().read("survey")
    assert "hush" not in str(refused.value)


def test_words_that_move_a_terminal_are_shown_instead(
    make_entry: Callable[..., Entry],
    entry_values: dict[str, Any],
    catalog_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    word = "\x1b[2J\x1b]0;owned\x07\x9b"
    Catalog().publish(make_entry(warnings=[word], recipe={word: word}))
    (catalog_folder / "torn.json").write_text(json.dumps(entry_values | {word: word, "name": "torn"}))
    for command in (("show", "survey"), ("lineage", "survey"), ("list",), ("check",), ("show", "torn")):
        called(monkeypatch, *command)
        told = "".join(capsys.readouterr())
        assert not set(told) & set("\x1b\x07\x9b"), command
        assert "x1b[2J" in told, command


def test_thousands_of_boxes_are_compared_in_no_time() -> None:
    count = 20_000
    apart = tuple({"inline": (0, 5), "time": (2 * at, 2 * at + 1)} for at in range(count))
    splits = {"train": apart[::2], "test": apart[1::2]}
    assert check_splits(splits, {"inline": 5, "time": 2 * count}) == []
    (problem,) = check_splits({"train": apart * 6}, {"inline": 5, "time": 2 * count})
    assert problem.code == "too-many-boxes"


def test_one_bad_entry_hides_no_other(
    make_entry: Callable[..., Entry],
    catalog_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Catalog().publish(make_entry())
    (catalog_folder / "later.json").write_text(json.dumps({"spec_version": "7.0", "name": "later"}))
    (catalog_folder / "deep.json").write_text("[" * 100_000)
    (catalog_folder / f"{'x' * 200}.json").write_text("{}")
    for command in ("list", "check"):
        assert called(monkeypatch, command) == 2
        told = capsys.readouterr()
        assert "survey" in told.out
        assert "'7.0', known are 1.0, 1.1" in told.err
        assert "deep.json" in told.err
        assert "xxx" not in told.out + told.err, "it is no name"


def test_shards_that_are_gone_are_told(survey: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    import zarr

    is_fill = np.zeros((1, 1, 1), bool)
    zarr.open_group(survey.url, mode="a").create_array("manifest/amplitude/is_fill", data=is_fill)
    assert check_shards(survey) == []
    (Path(survey.url) / "amplitude/c/0/0/0").unlink()
    (problem,) = check_shards(survey)
    assert (problem.place, problem.code) == ("store/amplitude", "no-shard")
    assert called(monkeypatch, "check", "--shards") == 2
    assert called(monkeypatch, "check") == 0
    zarr.open_group(survey.url, mode="a")["manifest/amplitude/is_fill"][...] = True
    assert check_shards(survey) == [], "a chunk of the fill value alone is not stored"
