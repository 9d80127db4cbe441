"""Objects are there whole or not at all, and what was appended does not depend on what its memory is used for later."""

import shutil
import uuid
from pathlib import Path

import fsspec
import pytest

from pipeline.storage.new_objects import WRITE_BACK_NBYTES, NewObjects, is_streamed, write_object
from pipeline.storage.objects import find_object, object_names

OLD = b"what was there before"


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty folder: on a disk, or where an object is one request."""
    return str(tmp_path / "objects") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"


def test_pieces_follow_one_another(place: str) -> None:
    piece = bytearray(WRITE_BACK_NBYTES // 2 + 7)  # several, so that the disk is set to work in between
    expected = b""
    with NewObjects() as objects:
        new = objects.create(f"{place}/a/b")
        for value in range(5):
            piece[:] = bytes([value]) * len(piece)
            expected += bytes(piece)
            new.append(b"", memoryview(piece), b"|")
            expected += b"|"
        new.complete()
        assert new.nbytes == len(expected)
        objects.publish()
    assert find_object(f"{place}/a/b") == expected
    assert object_names(f"{place}/a") == {"b"}


def test_an_object_of_thousands_of_pieces(place: str) -> None:
    pieces = [str(number).encode() for number in range(5000)]
    assert write_object(f"{place}/many", pieces) == len(b"".join(pieces))
    assert find_object(f"{place}/many") == b"".join(pieces)


def test_of_no_pieces_there_is_no_object(place: str) -> None:
    with NewObjects() as objects:
        for name in ("never", "empty"):
            new = objects.create(f"{place}/{name}")
            if name == "empty":
                new.append(b"")
            new.complete()
            assert new.nbytes == 0
        write_object(f"{place}/other", b"x")
        objects.publish()
    assert object_names(place) == {"other"}


@pytest.mark.parametrize("is_complete", [False, True])
def test_what_is_not_published_leaves_nothing_on_a_disk(tmp_path: Path, is_complete: bool) -> None:
    write_object(f"{tmp_path}/one", OLD)
    (tmp_path / "unfinished").mkdir()

    def begin(objects: NewObjects) -> None:
        for name in ("one", "two"):
            new = objects.create(f"{tmp_path}/{name}")
            new.append(b"new")
            if is_complete:
                new.complete()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), NewObjects(unfinished=f"{tmp_path}/unfinished") as objects:
        begin(objects)
    assert (tmp_path / "one").read_bytes() == OLD
    assert object_names(str(tmp_path)) == {"one", "unfinished"}
    assert object_names(f"{tmp_path}/unfinished") == set()


def test_names_are_given_together_and_after_everything_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    (tmp_path / "unfinished").mkdir()

    def look(descriptor: int) -> None:
        flushed.append(descriptor)
        assert object_names(str(tmp_path)) == {"unfinished"}

    monkeypatch.setattr("os.fsync", look)
    with NewObjects(unfinished=f"{tmp_path}/unfinished") as objects:
        for name in ("one", "two"):
            new = objects.create(f"{tmp_path}/{name}")
            new.append(name.encode())
            new.complete()
        objects.publish()
    assert len(set(flushed)) == 2
    assert [(tmp_path / name).read_bytes() for name in ("one", "two")] == [b"one", b"two"]


def test_once_its_folder_is_gone_a_writer_writes_nothing(tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished"
    with pytest.raises(FileNotFoundError), NewObjects(unfinished=str(unfinished)) as objects:
        objects.create(f"{tmp_path}/one").append(b"new")
    unfinished.mkdir()
    with NewObjects(unfinished=str(unfinished)) as objects:
        objects.create(f"{tmp_path}/one").append(b"new")
        shutil.rmtree(unfinished)
        with pytest.raises(FileNotFoundError):
            objects.publish()
    assert object_names(str(tmp_path)) == set()


def test_elsewhere_an_object_is_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"memory://{uuid.uuid4().hex}/object"
    requests = []
    filesystem = fsspec.filesystem("memory")
    monkeypatch.setattr(type(filesystem), "pipe_file", lambda self, path, value, **_: requests.append(value))
    with NewObjects() as objects:
        new = objects.create(url)
        new.append(b"some ", b"pieces")
        assert requests == []
        new.complete()
        assert requests == [b"some pieces"]
        objects.publish()
    assert requests == [b"some pieces"]


def test_where_pieces_leave_memory(place: str) -> None:
    assert is_streamed(place) is not place.startswith("memory")
