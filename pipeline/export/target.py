"""Files that an export writes: on a disk at any offset, elsewhere from the first byte to the last.

A file is seen only when it is complete.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from fsspec.spec import AbstractBufferedFile

from data_catalog import InputError
from data_catalog.storage import is_local, open_storage

Target = Path | str
"""A path, or an fsspec URL of another file system."""


class OpenTarget(Protocol):
    """A file that is being written.

    Attributes:
        is_sequential: Whether what is written has to come in order.
    """

    is_sequential: bool

    def write(self, content: memoryview | bytes, offset: int) -> None:
        """Writes bytes at an offset; what would lie beyond the file's end is left out."""


def as_target(out: str | Path) -> Target:
    """A path for what is on a disk of this machine, and else the URL."""
    filesystem, path = open_storage(str(out))
    return Path(path) if is_local(filesystem) else str(out)


def within(folder: Target, name: str) -> Target:
    """A file in a folder."""
    return folder / name if isinstance(folder, Path) else f"{folder.rstrip('/')}/{name}"


def exists(target: Target) -> bool:
    """Whether there is such a file."""
    if isinstance(target, Path):
        return target.exists()
    filesystem, path = open_storage(target)
    filesystem.invalidate_cache()
    return bool(filesystem.exists(path))


def nbytes_of(target: Target) -> int:
    """Size of a file."""
    filesystem, path = open_storage(str(target))
    filesystem.invalidate_cache()
    return int(filesystem.size(path))


@contextmanager
def replaced_when_complete(target: Target, nbytes: int) -> Iterator[OpenTarget]:
    """A file of a known size, which takes the place of an earlier one if all goes well.

    Raises:
        InputError: If it cannot be written.
    """
    opened = _on_disk(target, nbytes) if isinstance(target, Path) else _elsewhere(target, nbytes)
    try:
        with opened as file:
            yield file
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror or error}): choose another --out.") from None


class _Disk:
    is_sequential = False

    def __init__(self, descriptor: int, nbytes: int) -> None:
        self._descriptor = descriptor
        self._nbytes = nbytes

    def write(self, content: memoryview | bytes, offset: int) -> None:
        rest = memoryview(content)[: max(0, self._nbytes - offset)]
        while rest:
            done = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[done:], offset + done


@contextmanager
def _on_disk(target: Path, nbytes: int) -> Iterator[OpenTarget]:
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            os.truncate(file.fileno(), nbytes)
            yield _Disk(file.fileno(), nbytes)
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


class _Stream:
    is_sequential = True

    def __init__(self, file: Any, nbytes: int) -> None:
        self._file = file
        self._nbytes = nbytes
        self._position = 0

    def write(self, content: memoryview | bytes, offset: int) -> None:
        if offset != self._position:
            raise RuntimeError(f"byte {offset} comes after byte {self._position}")
        rest = memoryview(content)[: max(0, self._nbytes - offset)]
        self._file.write(rest)
        self._position += len(rest)


@contextmanager
def _elsewhere(target: str, nbytes: int) -> Iterator[OpenTarget]:
    filesystem, path = open_storage(target)
    file = filesystem.open(path, "wb")
    try:
        yield _Stream(file, nbytes)
    except BaseException:
        with suppress(Exception):  # what failed is told, whatever else does
            _abandon(file, filesystem, path)
        raise
    file.close()


def _abandon(file: Any, filesystem: Any, path: str) -> None:
    """Leaves no file: of an upload in parts by giving it up, since closing it would make one of them."""
    if isinstance(file, AbstractBufferedFile):
        with suppress(Exception):
            file.discard()
        file.closed = True
        return
    file.close()
    filesystem.rm_file(path)
