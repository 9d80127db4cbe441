"""Ranges of remote objects, kept as files on a local disk up to a number of bytes; any number of processes share them.

A range is written beside its place and renamed, so that no reader sees half of it, and its CRC-32C behind it: what a
disk has damaged is fetched anew. Whoever has written enough looks through the folder and removes what was used longest
ago; one at a time does so. Prepared datasets do not change, and the dataset's own date is part of each name: a store
that was made anew finds nothing of the old one.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import crc32c

from data_catalog import InputError
from trainer.reads.objects import Bytes, Objects

KEPT = 0.9
"""Share of the limit that is left when old ranges are removed: the next removal is not due at once."""

CHECKSUM_NBYTES = 4

LOOKS = 20
"""How often the folder is looked through while as much is written as it may hold."""


class CachedObjects:
    """Reads ranges from a folder where they are there, and else from where they are."""

    def __init__(self, objects: Objects, *, folder: Path, limit_nbytes: int, dataset: str) -> None:
        """Makes the folder.

        Args:
            objects: Where they are.
            folder: Where they are kept, whichever process and dataset they are of.
            limit_nbytes: Most bytes in the folder, but for what is written between two looks.
            dataset: What tells one making of a dataset from another.

        Raises:
            InputError: If it cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"config.feed.cache.folder: {folder} cannot be made ({error.strerror}).") from None
        self._objects, self._folder, self._limit, self._dataset = objects, folder, limit_nbytes, dataset
        self._written, self._lock = limit_nbytes, Lock()  # the first range written has a look

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Bytes:
        """A range of an object; raises what its storage raises."""
        name = hashlib.sha256(f"{self._dataset}\n{path}\n{start}\n{length}".encode()).hexdigest()
        kept = self._folder / name[:2] / name
        with suppress(OSError):
            content = kept.read_bytes()
            content, checksum = content[:-CHECKSUM_NBYTES], content[-CHECKSUM_NBYTES:]
            if checksum == _checksum(content):
                os.utime(kept)  # used now: others go first
                return content
        content = bytes(self._objects.read(path, start=start, length=length))
        with suppress(OSError):  # a full disk is no reason to stop reading
            self._keep(kept, content)
        return content

    def _keep(self, kept: Path, content: bytes) -> None:
        kept.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=kept.parent, prefix=".")
        try:
            with open(handle, "wb") as file:
                file.write(content + _checksum(content))
            Path(temporary).replace(kept)
        except BaseException:
            Path(temporary).unlink()
            raise
        with self._lock:
            self._written += len(content)
            is_due = self._written * LOOKS >= self._limit
            if is_due:
                self._written = 0
        if is_due:
            self._remove_old()

    def _remove_old(self) -> None:
        with _alone(self._folder / ".lock"):
            found = []
            for path in self._folder.glob("*/*"):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    found.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in found)
            if total <= self._limit:
                return
            for _, size, path in sorted(found):
                if total <= KEPT * self._limit:
                    break
                path.unlink(missing_ok=True)
                total -= size


def _checksum(content: bytes) -> bytes:
    return crc32c.crc32c(content).to_bytes(CHECKSUM_NBYTES, "little")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process, nor thread, is in such a block meanwhile: whoever wrote last looks last."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
