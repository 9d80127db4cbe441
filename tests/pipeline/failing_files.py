"""A read-only fsspec file system that fails on purpose: `failing:///PATH` is the local file at `/PATH`.

`/PATH.faults` says how, as JSON, and may be changed at any time: each read that touches one of some ranges of bytes
(`ranges`, first and last plus one), or every so many-th read of a process (`every`), ends with an input/output error.
Without that file none does. An entry point tells processes of all this (fixture `failing_files`), so that workers know
the protocol like the client.
"""

import errno
import io
import itertools
import json
import os
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem

_reads = itertools.count(1)


class FailingFile(io.FileIO):
    """A local file, open for reading."""

    def readinto(self, buffer: Any) -> int:
        self._fail_if_told(memoryview(buffer).nbytes)
        return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        whole = size is None or size < 0
        self._fail_if_told(os.fstat(self.fileno()).st_size if whole else size)
        return super().read(size)

    def _fail_if_told(self, nbytes: int) -> None:
        try:
            faults = json.loads(Path(f"{self.name}.faults").read_text())
        except FileNotFoundError:
            return
        start, stop = self.tell(), self.tell() + nbytes
        is_bad = any(first < stop and start < end for first, end in faults.get("ranges", []))
        if is_bad or ("every" in faults and next(_reads) % faults["every"] == 0):
            raise OSError(errno.EIO, os.strerror(errno.EIO), self.name)


class FailingFileSystem(AbstractFileSystem):
    """The local disk, with faults."""

    protocol = "failing"

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        found = Path(path).stat()
        return {"name": path, "size": found.st_size, "type": "file", "mtime": found.st_mtime}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        return [self.info(path) if detail else path]

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> FailingFile:
        return FailingFile(path, mode)
