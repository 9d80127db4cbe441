"""Objects that are written piece by piece, and are there whole or not at all.

on a disk   pieces go to a temporary file, and on to the disk while the next ones are made; at the end all files of a
            batch are flushed, and then renamed into place
elsewhere   pieces are kept in memory until the object is complete, and go out in one request
"""

import os
import uuid
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from data_catalog.storage import is_local, open_storage
from pipeline.storage.partial_io import BUFFERS_PER_CALL, after

Part = bytes | memoryview

WRITE_BACK_NBYTES = 4 * 2**20
"""So much is left to gather in memory before the disk is set to work on it. Waiting for the end would leave it idle."""


class NewObject(Protocol):
    """An object that is being written; of no pieces there will be no object.

    Attributes:
        nbytes: Appended so far.
    """

    nbytes: int

    def append(self, *parts: Part) -> None:
        """Adds pieces at the end; their memory may be used for something else afterwards."""

    def complete(self) -> None:
        """Says that nothing will be appended any more."""


class NewObjects:
    """Objects that belong together: those on a disk get their names at the same time, once all are flushed.

    Leaving it as a context without `publish` leaves nothing of them on a disk.
    """

    def __init__(self, *, unfinished: str | None = None) -> None:
        """Begins with none.

        Args:
            unfinished: Folder on the same disk for what is not complete yet. It has to be there, and nothing is written
                once it is not: whoever discards what writers are at, who may be frozen, removes it. None takes the
                folder of each object, and makes it.
        """
        self._unfinished = unfinished
        self._files: list[_NewFile] = []

    def create(self, url: str) -> NewObject:
        """Begins an object, which replaces one of that name if there is one."""
        filesystem, path = open_storage(url)
        if not is_local(filesystem):
            return _NewRemoteObject(url)
        folder = None if self._unfinished is None else Path(open_storage(self._unfinished)[1])
        self._files.append(_NewFile(Path(path), folder))
        return self._files[-1]

    def publish(self) -> None:
        """Gives all of them their names.

        Raises:
            OSError: If one of them cannot be written.
        """
        for file in self._files:
            file.flush()
        for file in self._files:
            file.rename()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for file in self._files:
            file.discard()


def is_streamed(url: str) -> bool:
    """Whether pieces of objects below a URL leave memory when they are appended."""
    return is_local(open_storage(url)[0])


def write_object(url: str, content: bytes | Sequence[Part]) -> int:
    """Writes an object, or writes it anew.

    Args:
        url: Of the object.
        content: Its bytes, whole or piece by piece.

    Returns:
        Bytes written.

    Raises:
        OSError: If it cannot be written; what was there before still is.
    """
    with NewObjects() as objects:
        new = objects.create(url)
        new.append(*([content] if isinstance(content, bytes) else content))
        new.complete()
        objects.publish()
    return new.nbytes


class _NewRemoteObject:
    def __init__(self, url: str) -> None:
        self.nbytes = 0
        self._url = url
        self._parts: list[bytes] = []

    def append(self, *parts: Part) -> None:
        self._parts += [bytes(part) for part in parts]
        self.nbytes += sum(len(part) for part in parts)

    def complete(self) -> None:
        if self.nbytes:
            filesystem, path = open_storage(self._url)
            filesystem.pipe_file(path, b"".join(self._parts))
            self._parts = []


class _NewFile:
    def __init__(self, target: Path, folder: Path | None) -> None:
        self.nbytes = 0
        self._target = target
        self._makes_folder = folder is None
        self._temporary = (folder or target.parent) / f".{uuid.uuid4().hex}.tmp"
        self._descriptor: int | None = None
        self._on_its_way = 0  # bytes that the disk was set to work on

    def append(self, *parts: Part) -> None:
        waiting = iter([memoryview(part) for part in parts if len(part)])
        while batch := list(islice(waiting, BUFFERS_PER_CALL)):
            descriptor = self._open()
            while batch:
                done = os.writev(descriptor, batch)
                batch = after(batch, done)
                self.nbytes += done
            self._write_back(descriptor, at_least=WRITE_BACK_NBYTES)

    def complete(self) -> None:
        # Of all files before the first is flushed: one commit of the file system's journal is then enough for them.
        if self._descriptor is not None:
            self._write_back(self._descriptor, at_least=1)

    def flush(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def rename(self) -> None:
        if self._descriptor is not None:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.replace(self._target)
            self._close()

    def discard(self) -> None:
        if self._descriptor is not None:
            self._temporary.unlink(missing_ok=True)
            self._close()

    def _open(self) -> int:
        if self._descriptor is None:
            if self._makes_folder:
                self._temporary.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write_back(self, descriptor: int, *, at_least: int) -> None:
        # Linux begins to write what it is told that nobody needs. Pages that are not written yet stay in its cache.
        waiting = self.nbytes - self._on_its_way
        if waiting >= at_least and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, self._on_its_way, waiting, os.POSIX_FADV_DONTNEED)
            self._on_its_way += waiting
