"""What has a store and no entry yet: found again, told apart, never with a secret in it."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data_catalog import Catalog, Entry, InputError, Unfinished
from data_catalog.storage import overlap, same_place


def test_a_dataset_is_unfinished_until_it_is_published(make_entry: Callable[..., Entry], catalog_place: str) -> None:
    catalog, entry = Catalog(), make_entry()
    assert catalog.unfinished("survey") is None
    assert catalog.unfinished_names() == []
    record = catalog.begin("survey", entry.url)
    assert catalog.begin("survey", entry.url + "/") == record, "the same command again goes on"
    assert (record.name, record.url) == ("survey", entry.url)
    assert catalog.unfinished("survey") == record
    assert catalog.unfinished_names() == ["survey"]
    assert catalog.names() == []
    catalog.publish(entry)
    assert catalog.unfinished("survey") is None
    assert catalog.unfinished_names() == []


def test_an_entry_counts_more_than_a_record(make_entry: Callable[..., Entry], catalog_folder: Path) -> None:
    catalog = Catalog()
    record = catalog.begin("survey", make_entry().url)
    catalog.publish(make_entry())
    (catalog_folder / "unfinished/survey.json").write_text(record.model_dump_json())  # killed just after publishing
    assert catalog.unfinished("survey") is None
    assert catalog.unfinished_names() == []
    catalog.publish(make_entry(revision=2))
    assert list((catalog_folder / "unfinished").iterdir()) == []


def test_a_name_stands_for_one_store(tmp_path: Path, catalog_place: str) -> None:
    catalog = Catalog()
    catalog.begin("survey", str(tmp_path / "a.zarr"))
    with pytest.raises(InputError, match=r"was begun at .*a\.zarr and is unfinished.*remove survey"):
        catalog.begin("survey", str(tmp_path / "b.zarr"))
    with pytest.raises(InputError, match=r"is unfinished since .*pipeline status survey"):
        catalog.read("survey")
    with pytest.raises(InputError, match="did you mean survey"):
        catalog.read("survye")


def test_a_store_stands_for_one_name(make_entry: Callable[..., Entry], tmp_path: Path, catalog_place: str) -> None:
    catalog = Catalog()
    catalog.publish(make_entry())
    catalog.begin("second", str(tmp_path / "second.zarr"))
    for url in (f"file://{tmp_path}/store.zarr", str(tmp_path / "second.zarr"), str(tmp_path / "store.zarr/inside")):
        with pytest.raises(InputError, match=r"is where dataset '(survey|second)' lies: choose another --out"):
            catalog.begin("third", url)
    with pytest.raises(InputError, match="already has a dataset named 'survey'"):
        catalog.begin("survey", str(tmp_path / "new.zarr"))
    assert catalog.unfinished_names() == ["second"]


def test_what_goes_on_is_not_forgotten(make_entry: Callable[..., Entry], catalog_place: str) -> None:
    catalog = Catalog()
    record = catalog.begin("survey", make_entry().url)
    catalog.publish(make_entry(name="copy"))  # somebody wrote an entry for the same store meanwhile
    assert catalog.begin("survey", make_entry().url) == record
    assert catalog.unfinished("survey") == record


def test_local_paths_become_absolute(tmp_path: Path, catalog_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Catalog().begin("survey", "a.zarr").url == str(tmp_path / "a.zarr")


def test_secrets_are_refused_and_not_repeated(catalog_folder: Path) -> None:
    url = "s3://key:hush-hush@bucket/x.zarr"
    with pytest.raises(InputError, match="must not hold a password") as refused:
        Catalog().begin("survey", url)
    with pytest.raises(ValidationError) as invalid:
        Unfinished.model_validate({"name": "survey", "url": url, "begun": "2026-01-02T03:04:05Z"})
    text = json.dumps({"name": "survey", "url": url, "begun": "2026-01-02T03:04:05Z"})
    (catalog_folder / "unfinished").mkdir(parents=True)
    (catalog_folder / "unfinished/survey.json").write_text(text)
    with pytest.raises(InputError, match="is not the record of an unfinished dataset: url") as unread:
        Catalog().unfinished("survey")
    for caught in (refused, invalid, unread):
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "other", "url": "/a", "begun": "2026-01-02T03:04:05Z"}'])
def test_a_file_that_is_no_record(catalog_folder: Path, text: str) -> None:
    (catalog_folder / "unfinished").mkdir(parents=True)
    (catalog_folder / "unfinished/survey.json").write_text(text)
    with pytest.raises(InputError, match=r"survey\.json"):
        Catalog().unfinished("survey")


def _begin(place: str, url: str) -> str | None:
    try:
        return Catalog(place).begin("survey", url).url
    except InputError:
        return None


def test_of_several_that_begin_one_name_one_wins(tmp_path: Path, catalog_place: str) -> None:
    urls = [str(tmp_path / f"{number}.zarr") for number in range(8)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        begun = pool.starmap(_begin, [(catalog_place, url) for url in urls])
    record = Catalog().unfinished("survey")
    assert record is not None
    assert [url for url in begun if url] == [record.url]


@pytest.mark.parametrize(
    ("url", "other", "same", "overlapping"),
    [
        ("/a/b", "/a/b/", True, True),
        ("/a/b", "file:///a/b", True, True),
        ("/a/b", "/a/../a/b", True, True),
        ("/a/b", "/a/b/c", False, True),
        ("/", "/a/b", False, True),
        ("/a/b", "/a/bc", False, False),
        ("s3://a/b", "s3://a/b/", True, True),
        ("s3://a/b", "s3://a/b/c", False, True),
        ("s3://a/b", "s3://a/bc", False, False),
        ("s3://a/b", "/a/b", False, False),
        ("unheard-of://a/b", "unheard-of://a/b", True, True),
    ],
)
def test_places(url: str, other: str, same: bool, overlapping: bool) -> None:
    assert same_place(url, other) == same_place(other, url) == same
    assert overlap(url, other) == overlap(other, url) == overlapping


def test_places_see_through_links(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    assert same_place(str(tmp_path / "link"), str(tmp_path / "store"))


@given(st.lists(st.sampled_from("ab"), max_size=4), st.lists(st.sampled_from("ab"), max_size=4))
def test_places_overlap_where_one_begins_with_the_other(parts: list[str], others: list[str]) -> None:
    shorter = min(len(parts), len(others))
    for root in ("/nowhere", "s3://bucket"):
        url, other = "/".join([root, *parts]), "/".join([root, *others])
        assert overlap(url, other) == (parts[:shorter] == others[:shorter])
        assert same_place(url, other) == (parts == others)
