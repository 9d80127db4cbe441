"""A catalog in an object store: safe where the store is, refused where it is not."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data_catalog import Catalog, ConformanceError, Entry, InputError
from data_catalog.folder import Standing
from data_catalog.object_folder import ObjectFolder

PLACE = "memory://catalog"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """The file system in memory is one for the process."""
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def objects(name: str) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in fsspec.filesystem("memory").find(f"/catalog/{name}"))


def test_each_change_is_an_object_and_none_is_lost(make_entry: Callable[..., Entry]) -> None:
    catalog = Catalog(PLACE)
    catalog.begin("survey", make_entry().url)
    catalog.publish(make_entry())
    catalog.publish(make_entry(revision=2))
    first = fsspec.filesystem("memory").cat_file("/catalog/survey/000002.json")
    assert catalog.remove("survey")
    assert objects("survey") == [f"{number:06d}.json" for number in range(1, 6)], "begun, 1, 2, withdrawn, gone"
    assert json.loads(first)["entry"]["revision"] == 1
    assert (catalog.names(), catalog.unfinished_names()) == ([], [])
    assert catalog.begin("survey", "/data/another.zarr") == Catalog(PLACE).unfinished("survey")


def test_of_two_that_have_seen_the_same_the_second_takes_its_step_again() -> None:
    slow, fast = ObjectFolder(PLACE), ObjectFolder(PLACE)
    fast_entry, slow_entry = b'{"by": "fast"}', b'{"by": "slow"}'
    seen: list[Standing] = []

    def change(present: Standing) -> Standing:
        seen.append(present)
        if len(seen) == 1:
            fast.change("survey", lambda _: Standing(entry=fast_entry))
        return Standing(entry=slow_entry)

    slow.change("survey", change)
    assert seen == [Standing(), Standing(entry=fast_entry)]
    assert fast.read("survey") == Standing(entry=slow_entry)
    assert objects("survey") == ["000001.json", "000002.json"]


def test_a_revision_follows_those_of_others(make_entry: Callable[..., Entry]) -> None:
    slow, fast = Catalog(PLACE), Catalog(PLACE)
    slow.publish(make_entry())
    seen: list[tuple[str, ...]] = []

    def with_word(word: str) -> Callable[[Entry], Entry]:
        def change(entry: Entry) -> Entry:
            if word == "slow" and not seen:
                fast.revise("survey", with_word("fast"), what="a word")
            seen.append(entry.warnings)
            return entry.model_copy(update={"warnings": (*entry.warnings, word)})

        return change

    slow.revise("survey", with_word("slow"), what="a word")
    assert slow.read("survey").warnings == ("fast", "slow")
    assert slow.read("survey").revision == 3


class LookingFileSystem(MemoryFileSystem):
    """Looks whether an object is there and writes it then, as fsspec does for libraries that have nothing better."""

    protocol = "looking"
    pipe_file = fsspec.AbstractFileSystem.pipe_file


class LaxFileSystem(MemoryFileSystem):
    """Creates what is there already, as a store does that does not know the condition."""

    protocol = "lax"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        super().pipe_file(path, value, mode="overwrite", **kwargs)


@pytest.mark.parametrize("kind", [LaxFileSystem, LookingFileSystem])
def test_a_store_that_creates_twice_is_refused(make_entry: Callable[..., Entry], kind: type[MemoryFileSystem]) -> None:
    fsspec.register_implementation(kind.protocol, kind, clobber=True)
    catalog = Catalog(f"{kind.protocol}://catalog")
    for change in (
        lambda: catalog.publish(make_entry()),
        lambda: catalog.begin("survey", "/x"),
        catalog.check_writable,
    ):
        with pytest.raises(InputError, match="makes an object again that is there already"):
            change()
    assert catalog.names() == []


def test_an_answer_that_was_lost_does_not_make_a_change_twice(
    make_entry: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(PLACE)
    catalog.check_writable()
    create = MemoryFileSystem.pipe_file

    def create_and_lose_the_answer(self: MemoryFileSystem, path: str, value: bytes, **kwargs: Any) -> None:
        create(self, path, value, **kwargs)
        raise ConnectionResetError

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", create_and_lose_the_answer)
    catalog.publish(make_entry())
    assert objects("survey") == ["000001.json"]
    assert catalog.read("survey") == make_entry()


def test_an_object_that_is_damaged_is_told_and_hides_no_other(make_entry: Callable[..., Entry]) -> None:
    catalog = Catalog(PLACE)
    catalog.publish(make_entry())
    fsspec.filesystem("memory").pipe_file("/catalog/torn/000001.json", b"{")
    fsspec.filesystem("memory").pipe_file("/catalog/.hidden/000001.json", b"{}")
    assert catalog.names() == ["survey", "torn"]
    entries, _, broken = catalog.read_all()
    assert [entry.name for entry in entries] == ["survey"]
    assert list(broken) == ["torn"]
    with pytest.raises(ConformanceError, match="memory://catalog/torn/ does not keep to"):
        catalog.read("torn")


def test_a_place_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="holds a password") as refused:
        Catalog("s3://key:hush-hush@bucket/entries")
    assert "hush" not in str(refused.value)


def test_a_place_that_nothing_opens() -> None:
    with pytest.raises(InputError, match="unheard-of://place cannot be opened"):
        Catalog("unheard-of://place")


def test_a_dataset_may_be_called_as_any_name(make_entry: Callable[..., Entry]) -> None:
    catalog = Catalog(PLACE)
    catalog.publish(make_entry(name="catalog.json"))
    assert catalog.names() == ["catalog.json"]
    assert catalog.read_all()[0] == [make_entry(name="catalog.json")]


def test_an_object_that_another_writer_is_at_is_asked_for_again(
    make_entry: Callable[..., Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, refused = Catalog(PLACE), []
    catalog.check_writable()
    create = MemoryFileSystem.pipe_file

    def refuse_once(self: MemoryFileSystem, path: str, value: bytes, **kwargs: Any) -> None:
        if not refused:
            refused.append(path)
            raise OSError("409 ConditionalRequestConflict")
        create(self, path, value, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse_once)
    catalog.publish(make_entry())
    assert catalog.names() == ["survey"]
