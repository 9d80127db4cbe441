"""Entries by name: atomic, compared and swapped, and clear about what there is not."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from data_catalog import Catalog, ConformanceError, Entry, InputError
from tests.data_catalog.called import called


def test_published_entries_are_read_back(make_entry: Callable[..., Entry], catalog_place: str) -> None:
    catalog = Catalog()
    assert catalog.names() == []
    entry = make_entry()
    catalog.publish(entry)
    assert catalog.names() == ["survey"]
    assert catalog.open("survey") == Catalog().open("survey") == entry


def test_a_revision_must_follow_the_present_one(make_entry: Callable[..., Entry], catalog_place: str) -> None:
    catalog = Catalog()
    catalog.publish(make_entry())
    with pytest.raises(InputError, match="is at revision 1"):
        catalog.publish(make_entry())
    catalog.publish(make_entry(revision=2, warnings=["seen"]))
    assert catalog.read("survey").warnings == ("seen",)


def test_an_entry_without_its_store_is_never_published(make_entry: Callable[..., Entry], catalog_place: str) -> None:
    with pytest.raises(ConformanceError, match="no-store"):
        Catalog().publish(make_entry(url="/nowhere"))
    assert Catalog().names() == []


def _publish(place: str, text: str) -> bool:
    try:
        Catalog(place).publish(Entry.model_validate_json(text))
    except InputError:
        return False
    return True


def test_of_several_writers_of_one_revision_one_wins(make_entry: Callable[..., Entry], catalog_place: str) -> None:
    texts = [make_entry(warnings=[f"writer {number}"]).model_dump_json() for number in range(8)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.starmap(_publish, [(catalog_place, text) for text in texts])
    assert sum(won) == 1
    assert Catalog().read("survey").warnings == (f"writer {won.index(True)}",)


def test_the_folder_comes_from_the_call_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_CATALOG", str(tmp_path / "environment"))
    assert Catalog(tmp_path / "call").place == str(tmp_path / "call")
    assert Catalog().place == str(tmp_path / "environment")
    monkeypatch.delenv("TRACEMILL_CATALOG")
    assert Path(Catalog().place).parts[-2:] == ("data_catalog", "entries")


def test_a_folder_holds_a_file_for_each_entry(make_entry: Callable[..., Entry], catalog_folder: Path) -> None:
    Catalog().publish(make_entry())
    assert sorted(path.name for path in catalog_folder.iterdir()) == [".lock", "survey.json"]
    assert Entry.model_validate_json((catalog_folder / "survey.json").read_bytes()) == make_entry()


@pytest.mark.parametrize("name", ["../survey", "", "a b", ".hidden", "x" * 101, "survey\n"])
def test_a_name_that_is_no_name(name: str, catalog_place: str) -> None:
    with pytest.raises(InputError, match="is not a dataset name"):
        Catalog().read(name)


def test_commands(
    make_entry: Callable[..., Entry],
    catalog_place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert called(monkeypatch, "list") == 0
    assert "no datasets" in capsys.readouterr().out
    Catalog().publish(make_entry())
    assert called(monkeypatch, "list") == 0
    listed = capsys.readouterr().out
    assert all(word in listed for word in ("survey", "stack3d", "inline 10", "amplitude", "train test"))
    assert called(monkeypatch, "show", "survey") == 0
    assert "10 x 8 x 20" in capsys.readouterr().out
    assert called(monkeypatch, "show", "survey", "--json") == 0
    assert Entry.model_validate_json(capsys.readouterr().out) == make_entry()
    assert called(monkeypatch, "check", "survey") == 0


def test_commands_refuse_with_status_2(
    make_entry: Callable[..., Entry],
    catalog_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Catalog().publish(make_entry())
    assert called(monkeypatch, "show", "survye") == 2
    assert "did you mean survey?" in capsys.readouterr().err
    (Path(make_entry().url) / "salt" / "zarr.json").unlink()
    assert called(monkeypatch, "check", "survey") == 2
    assert "store/salt: expected a Zarr v3 array" in capsys.readouterr().err
    (catalog_folder / "torn.json").write_text('{"name": "torn"')
    assert called(monkeypatch, "list") == 2
    captured = capsys.readouterr()
    assert "survey" in captured.out
    assert "torn.json does not keep to" in captured.err
