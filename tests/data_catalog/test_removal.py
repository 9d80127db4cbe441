"""Deleting datasets: all of one, nothing else, and to the end however often it is interrupted."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data_catalog import (
    Catalog,
    Derived,
    Entry,
    InputError,
    Role,
    WorkError,
    hold_lease,
    layout,
    lease_file,
    removal,
)
from tests.data_catalog.called import called

ZARR_GROUP = json.dumps({"zarr_format": 3, "node_type": "group"})
KILLER = Path(__file__).parents[1] / "kills" / "removal_and_lease.py"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_file, "SETTLE_S", 0.05)
    monkeypatch.setattr(removal, "REMOVAL_ATTEMPTS", 2)


@pytest.fixture
def published(make_entry: Callable[..., Entry], catalog_folder: Path) -> Entry:
    """A published dataset on a disk."""
    entry = make_entry()
    Catalog().publish(entry)
    return entry


@pytest.fixture
def published_in_bucket(
    bucket_url: str, entry_values: dict[str, Any], make_entry: Callable[..., Entry], catalog_folder: Path
) -> Entry:
    """A published dataset in an object store."""
    entry = make_entry(url=f"{bucket_url}/a/store.zarr")
    filesystem, path = fsspec.url_to_fs(entry.url)
    filesystem.put(entry_values["url"], path, recursive=True)
    Catalog().publish(entry)
    return entry


@pytest.fixture(params=["published", "published_in_bucket"])
def published_anywhere(request: pytest.FixtureRequest) -> Entry:
    entry: Entry = request.getfixturevalue(request.param)
    return entry


def files_at(url: str) -> list[str]:
    filesystem, path = fsspec.url_to_fs(url, use_listings_cache=False)
    return [name.removeprefix(f"{path}/") for name in filesystem.find(path)]


def put_file(url: str, name: str, text: str = "x") -> None:
    with fsspec.open(f"{url}/{name}", "w") as file:  # makes local folders
        file.write(text)


def test_a_dataset_is_removed_with_its_store(published_anywhere: Entry, catalog_folder: Path) -> None:
    neighbour = f"{published_anywhere.url}2"
    put_file(neighbour, "zarr.json")
    assert Catalog().remove("survey") is True
    assert files_at(published_anywhere.url) == []
    assert files_at(neighbour) == ["zarr.json"]
    assert not Path(published_anywhere.url).exists()
    assert [path.name for path in catalog_folder.rglob("*.json")] == []
    with pytest.raises(InputError, match="no dataset named 'survey'"):
        Catalog().remove("survey")


def test_an_unfinished_dataset_is_removed(bucket_url: str, tmp_path: Path, catalog_folder: Path) -> None:
    for url in (f"{bucket_url}/x.zarr", str(tmp_path / "x.zarr")):
        Catalog().begin("x", url)
        for name in (layout.PLAN, f"{layout.LEDGER}/1", "amplitude/c/0"):
            put_file(url, name)
        assert Catalog().remove("x") is True
        assert files_at(url) == []
        assert Catalog().unfinished_names() == []


@pytest.mark.parametrize("rest", [None, "", "work"])
def test_a_store_that_is_gone_is_no_hindrance(tmp_path: Path, catalog_folder: Path, rest: str | None) -> None:
    url = tmp_path / "x.zarr"
    Catalog().begin("x", str(url))
    if rest is not None:
        (url / rest).mkdir(parents=True)
    assert Catalog().remove("x") is False
    assert not url.exists()
    assert Catalog().unfinished_names() == []


def test_a_bucket_stays_when_its_store_goes(bucket_url: str, catalog_folder: Path) -> None:
    Catalog().begin("x", bucket_url)
    put_file(bucket_url, layout.PLAN)
    assert Catalog().remove("x") is True
    put_file(bucket_url, "still here")


def test_a_store_in_use_stays(published_anywhere: Entry) -> None:
    before = files_at(published_anywhere.url)
    with hold_lease(published_anywhere.url, purpose="predict"):
        with pytest.raises(InputError, match=rf"is in use by .*process {os.getpid()} \(predict\)"):
            Catalog().remove("survey")
        assert Catalog().open("survey") == published_anywhere
    assert files_at(published_anywhere.url) == before


@pytest.mark.parametrize("name", ["thesis.tex", "work/thesis.tex", "work/notes/plan.json", "zarr.json"])
def test_what_is_no_store_stays(tmp_path: Path, published: Entry, catalog_folder: Path, name: str) -> None:
    url = str(tmp_path / "home")
    put_file(url, name)
    (catalog_folder / "survey.json").write_text(published.model_copy(update={"url": url}).model_dump_json())
    with pytest.raises(InputError, match="is neither a Zarr group nor a store that was being written"):
        Catalog().remove("survey")
    assert files_at(url) == [name]
    assert Catalog().names() == ["survey"]


def test_the_root_of_the_disk_stays(published: Entry, catalog_folder: Path) -> None:
    (catalog_folder / "survey.json").write_text(published.model_copy(update={"url": "/"}).model_dump_json())
    with pytest.raises(InputError, match="is neither a Zarr group"):
        removal.store_exists(Catalog().store_of("survey"))


def test_a_store_of_two_entries_stays(published: Entry, make_entry: Callable[..., Entry], catalog_folder: Path) -> None:
    for name, url in (("second", published.url), ("third", f"{published.url}/derived/third")):
        path = catalog_folder / f"{name}.json"
        path.write_text(published.model_copy(update={"name": name, "url": url}).model_dump_json())
        with pytest.raises(InputError, match=rf"is where dataset '{name}' lies as well"):
            Catalog().remove("survey")
        path.unlink()
    assert Catalog().remove("survey")


def test_what_a_link_leads_to_stays(tmp_path: Path, catalog_folder: Path) -> None:
    url, elsewhere = tmp_path / "x.zarr", tmp_path / "elsewhere"
    put_file(str(elsewhere), "kept")
    Catalog().begin("x", str(url))
    put_file(str(url), layout.PLAN)
    (url / "link").symlink_to(elsewhere)
    assert Catalog().remove("x") is True
    assert not url.exists()
    assert files_at(str(elsewhere)) == ["kept"]


class StubbornFileSystem(MemoryFileSystem):
    """A file system where some files cannot be deleted, for a while."""

    protocol = "stubborn"
    refuses = True

    def rm(self, path: str, recursive: bool = False, maxdepth: int | None = None) -> None:
        if self.refuses and "amplitude" in path:
            raise PermissionError(f"{path} is locked")
        super().rm(path, recursive=recursive, maxdepth=maxdepth)


def test_what_cannot_be_deleted_is_not_forgotten(catalog_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("stubborn", StubbornFileSystem, clobber=True)
    url = "stubborn://a/x.zarr"
    Catalog().begin("x", url)
    for name, text in ((layout.PLAN, "{}"), ("amplitude/c/0", "1"), ("zarr.json", ZARR_GROUP)):
        put_file(url, name, text)
    with pytest.raises(WorkError, match=r"amplitude could not be deleted \(.*amplitude is locked\)"):
        Catalog().remove("x")
    assert Catalog().unfinished_names() == ["x"]
    assert files_at(url) == ["amplitude/c/0", "zarr.json"]
    monkeypatch.setattr(StubbornFileSystem, "refuses", False)
    assert Catalog().remove("x") is True
    assert files_at(url) == []


@pytest.mark.parametrize("what", ["removal", "lease"])
def test_killed_at_any_moment_it_is_finished_by_the_next_call(tmp_path: Path, what: str) -> None:
    done = subprocess.run([sys.executable, KILLER, what, tmp_path / "x"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "kills" in done.stdout


def test_the_command_tells_what_goes(
    published: Entry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, "remove", "survey") == 2
    captured = capsys.readouterr()
    assert "stdin is no terminal" in captured.err
    assert "--yes" in captured.err
    assert (
        f"survey: stack3d with 6 variables, main variable inline 10, crossline 8, time 20; the store {published.url}"
        in (captured.out)
    )
    assert Catalog().names() == ["survey"]
    assert called(monkeypatch, "remove", "survey", "--yes") == 0
    assert capsys.readouterr().out.endswith("removed survey\n")
    assert called(monkeypatch, "remove", "survey", "--yes") == 2
    assert "no dataset named 'survey'" in capsys.readouterr().err


def test_the_command_removes_what_has_no_store(
    tmp_path: Path, catalog_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Catalog().begin("x", str(tmp_path / "x.zarr"))
    assert called(monkeypatch, "remove", "x", "--yes") == 0
    said = capsys.readouterr().out
    assert f"x: unfinished; no store, nothing is at {tmp_path}/x.zarr\n" in said
    assert "its store was gone before" in said


@pytest.mark.parametrize(("answer", "status", "left"), [("y", 0, []), ("n", 1, ["x"])])
def test_the_command_asks_at_a_terminal(
    tmp_path: Path, catalog_folder: Path, answer: str, status: int, left: list[str]
) -> None:
    Catalog().begin("x", str(tmp_path / "x.zarr"))
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-m", "data_catalog", "remove", "x"]
    done = subprocess.run(command, stdin=theirs, capture_output=True, text=True)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == status, done.stderr
    assert "Delete it?" in done.stdout + done.stderr
    assert Catalog().unfinished_names() == left


def test_unfinished_datasets_are_listed(
    make_entry: Callable[..., Entry],
    tmp_path: Path,
    catalog_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Catalog().begin("halfway", str(tmp_path / "x.zarr"))
    assert called(monkeypatch, "list") == 0
    listed = capsys.readouterr().out
    assert "no datasets" not in listed
    assert all(word in listed for word in ("halfway", "unfinished", "UTC", f"{tmp_path}/x.zarr", "status NAME"))
    Catalog().publish(make_entry())
    assert called(monkeypatch, "list") == 0
    listed = capsys.readouterr().out
    assert listed.index("survey") < listed.index("halfway")
    assert called(monkeypatch, "show", "halfway") == 2
    assert "dataset 'halfway' is unfinished since" in capsys.readouterr().err
    (catalog_folder / "unfinished/torn.json").write_text("{")
    assert called(monkeypatch, "list") == 2
    captured = capsys.readouterr()
    assert "halfway" in captured.out
    assert "torn.json is not the record" in captured.err


def test_a_derived_group_is_removed_and_nothing_else(published_anywhere: Entry) -> None:
    said = Derived(
        variables={"said": published_anywhere.variables["salt"].model_copy(update={"role": Role.PREDICTION})},
        made_by="trainer predict",
        created=datetime.now(UTC),
    )
    before = files_at(published_anywhere.url)
    salt = fsspec.get_mapper(published_anywhere.url)["salt/zarr.json"].decode()
    put_file(published_anywhere.url, "derived/unet/zarr.json", ZARR_GROUP)
    put_file(published_anywhere.url, "derived/unet/said/zarr.json", salt.replace("class_label", "prediction"))
    put_file(published_anywhere.url, f"derived/half/{layout.PLAN}", "{}")
    put_file(published_anywhere.url, "derived/half/said/c/0")
    Catalog().publish(published_anywhere.model_copy(update={"revision": 2, "derived": {"unet": said}}))
    for derived_id in ("unet", "half"):
        assert Catalog().remove_derived("survey", derived_id)
    assert Catalog().open("survey") == published_anywhere.model_copy(update={"revision": 3})
    assert files_at(published_anywhere.url) == before
    with pytest.raises(InputError, match="has no derived group 'unet', nor a begun one: none"):
        Catalog().remove_derived("survey", "unet")
    with pytest.raises(InputError, match="is no name"):
        Catalog().remove_derived("survey", "../survey")
