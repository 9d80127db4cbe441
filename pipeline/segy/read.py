"""Bytes out of a file on any fsspec file system: ranges into buffers, and what tells that a file changed."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from data_catalog import InputError
from pipeline.storage.partial_io import BUFFERS_PER_CALL, after
from pipeline.work.failure import SourceError, is_of_storage

REQUEST_NBYTES = 8 * 2**20
"""Asked for at once from a remote file system: long ranges become several requests that run side by side."""

REQUESTS_AT_ONCE = 8
_VERSION_KEYS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "md5Hash")
"""Under one of these names file systems say which version of a file it is."""


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells that a file is still the one that was opened.

    Attributes:
        nbytes: Its size.
        version: Time of modification, or what the file system has instead of it; empty where it has nothing.
    """

    nbytes: int
    version: str


def file_state(url: str) -> FileState:
    """Size and version of a file, as they are now.

    Raises:
        InputError: If there is no such file.
    """
    with _reported(url):
        filesystem, path = fsspec.url_to_fs(url, use_listings_cache=False)
        filesystem.invalidate_cache(path)
        info = filesystem.info(path)
    if info["type"] != "file":
        raise InputError(f"{url} is a folder; name the SEG-Y files in it.")
    version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key) is not None), "")
    return FileState(nbytes=int(info["size"]), version=version)


def read_bytes(url: str, start: int, nbytes: int) -> bytes:
    """At most ``nbytes`` from byte ``start`` on.

    Raises:
        InputError: If the file cannot be read.
    """
    with _reported(url):
        filesystem, path = fsspec.url_to_fs(url)
        return cast(bytes, filesystem.cat_file(path, start=start, end=start + nbytes))


def read_into(url: str, start: int, pieces: Sequence[memoryview]) -> None:
    """Fills buffers, one after another, with the bytes of a file from ``start`` on.

    Args:
        url: Path or fsspec URL.
        start: Byte of the file that comes first.
        pieces: Where the bytes go, in the order of the file.

    Raises:
        InputError: If the file ends early.
        SourceError: If the file cannot be read.
    """
    wanted = sum(piece.nbytes for piece in pieces)
    with source_errors(url):
        filesystem, path = fsspec.url_to_fs(url)
        if isinstance(filesystem, LocalFileSystem):
            found = _read_local(path, start, pieces)
        elif filesystem.async_impl:
            found = _read_side_by_side(filesystem, path, start, pieces)
        else:
            found = _read_stream(filesystem, path, start, pieces)
    if found != wanted:
        raise shorter(url, start + found)


def shorter(url: str, nbytes: int) -> InputError:
    """Says that a file has fewer bytes than it had when it was opened."""
    return InputError(f"{url} ends at byte {nbytes}: it became shorter since it was opened.")


def fill(descriptor: int, start: int, pieces: Sequence[memoryview]) -> int:
    """Fills buffers, one after another, with the bytes of an open file from ``start`` on, as far as it goes.

    Who reads on with the same descriptor is noticed by the kernel, which then reads ahead, more and more at a time.

    Returns:
        How many bytes there were.
    """
    done = 0
    waiting = iter(pieces)
    while batch := list(islice(waiting, BUFFERS_PER_CALL)):
        while batch:
            count = os.preadv(descriptor, batch, start + done)
            if count == 0:
                return done
            done += count
            batch = after(batch, count)
    return done


def _read_local(path: str, start: int, pieces: Sequence[memoryview]) -> int:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return fill(descriptor, start, pieces)
    finally:
        os.close(descriptor)


def _read_stream(filesystem: Any, path: str, start: int, pieces: Sequence[memoryview]) -> int:
    done = 0
    with filesystem.open(path, "rb") as file:
        file.seek(start)
        for piece in pieces:
            rest = piece
            while rest.nbytes:
                count = file.readinto(rest)
                if not count:
                    return done
                done += count
                rest = rest[count:]
    return done


def _read_side_by_side(filesystem: Any, path: str, start: int, pieces: Sequence[memoryview]) -> int:
    end = start + sum(piece.nbytes for piece in pieces)
    starts = range(start, end, REQUEST_NBYTES)
    done = 0
    rest = list(pieces)
    for first in range(0, len(starts), REQUESTS_AT_ONCE):
        batch = starts[first : first + REQUESTS_AT_ONCE]
        ends = [min(begin + REQUEST_NBYTES, end) for begin in batch]
        for content in filesystem.cat_ranges([path] * len(batch), list(batch), ends, on_error="raise"):
            rest = _take(rest, memoryview(content))
            done += len(content)
    return done


def _take(pieces: list[memoryview], content: memoryview) -> list[memoryview]:
    while content.nbytes:
        count = min(content.nbytes, pieces[0].nbytes)
        pieces[0][:count] = content[:count]
        content = content[count:]
        pieces = after(pieces, count)
    return pieces


@contextmanager
def source_errors(url: str) -> Iterator[None]:
    """Makes a `SourceError` of what storage says while a file is read."""
    try:
        yield
    except Exception as error:
        if not is_of_storage(error):
            raise
        raise SourceError(
            f"{url} cannot be read ({_reason(error)}): it must be reachable from where the work is done."
        ) from error


@contextmanager
def _reported(url: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not (is_of_storage(error) or isinstance(error, ValueError | ImportError)):
            raise
        raise InputError(f"{url} cannot be opened ({_reason(error)}): check the path.") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
