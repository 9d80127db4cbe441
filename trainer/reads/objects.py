"""Byte ranges of stored objects: from mapped files, or through fsspec."""

import mmap
import os
from threading import Lock
from typing import Protocol

import fsspec

from data_catalog.storage import DefiniteError, patiently

Bytes = bytes | memoryview

MOST_MAPPINGS = 1024
"""Files of an array that are mapped at the same time; the system allows 65530 mappings a process."""


class ShortObjectError(DefiniteError):
    """An object ends before the range that was asked for."""


class Objects(Protocol):
    """Reads parts of objects; safe in any number of threads."""

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Bytes:
        """A range of an object.

        Args:
            path: Of the object.
            start: First byte; negative numbers count from the end.
            length: Bytes wanted; None for all that follow.

        Raises:
            FileNotFoundError: If there is no such object.
            ShortObjectError: If it ends before.
            OSError: If it cannot be read.
        """


class MappedFiles:
    """Local files, mapped into memory: what is in the page cache is decoded from there, without a copy.

    Prepared datasets do not change. A file that is cut short while it is mapped ends the process all the same.
    """

    def __init__(self) -> None:
        self._files: dict[str, memoryview] = {}
        self._lock = Lock()

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Bytes:
        """A range of a file, as a view that keeps its mapping alive."""
        content = self._files.get(path)
        if content is None:
            content = self._map(path)
        first = start if start >= 0 else len(content) + start
        end = len(content) if length is None else first + length
        if not 0 <= first <= end <= len(content):
            raise ShortObjectError(f"{path} has {len(content)} bytes")
        return content[first:end]

    def _map(self, path: str) -> memoryview:
        with open(path, "rb") as file:
            nbytes = os.fstat(file.fileno()).st_size
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if nbytes else b"")
        with self._lock:
            while len(self._files) >= MOST_MAPPINGS:
                del self._files[next(iter(self._files))]
            return self._files.setdefault(path, content)


class PlainFiles:
    """Local files, read range by range into memory of their own."""

    def __init__(self, *, keep_cached: bool) -> None:
        """Opens nothing yet.

        Args:
            keep_cached: Whether the system may keep what was read in its page cache. Data that are far larger than
                memory are gone from there before they are read again, and push out what others need.
        """
        self._keep_cached = keep_cached

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Bytes:
        """A range of a file, as bytes of its own."""
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            first = start if start >= 0 else size + start
            end = size if length is None else first + length
            if not 0 <= first <= end <= size:
                raise ShortObjectError(f"{path} has {size} bytes")
            content = os.pread(file.fileno(), end - first, first)
            while len(content) < end - first:
                if not (more := os.pread(file.fileno(), end - first - len(content), first + len(content))):
                    raise ShortObjectError(f"{path} gave {len(content)} bytes of {end - first}")
                content += more
            if not self._keep_cached and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), first, end - first, os.POSIX_FADV_DONTNEED)
        return content


class FileSystemObjects:
    """Objects of any fsspec file system."""

    def __init__(self, filesystem: fsspec.AbstractFileSystem) -> None:
        self._filesystem = filesystem

    def read(self, path: str, *, start: int = 0, length: int | None = None) -> Bytes:
        """A range of an object, as bytes of its own."""
        return patiently(lambda: self._read(path, start=start, length=length))

    def _read(self, path: str, *, start: int, length: int | None) -> bytes:
        end = None if length is None or start < 0 else start + length
        content: bytes = self._filesystem.cat_file(path, start=start or None, end=end)
        if length is not None and len(content) < length:
            raise ShortObjectError(f"{path} gave {len(content)} bytes of {length}")
        return content[:length]
