"""Objects on any file system: read in ranges, listed, removed. `new_objects` writes them."""

import os
from contextlib import suppress
from typing import cast

from data_catalog.storage import is_local, open_storage


def absolute(url: str) -> str:
    """A URL that says where it is by itself, for workers in other folders; local ones become paths."""
    filesystem, path = open_storage(url)
    return str(path) if is_local(filesystem) else url


def read_object(url: str, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes from ``start`` up to ``stop``, or to the end.

    Raises:
        OSError: If it is not there (FileNotFoundError) or cannot be read.
    """
    filesystem, path = open_storage(url)
    return cast(bytes, filesystem.cat_file(path, start=start, end=stop))


def find_object(url: str) -> bytes | None:
    """The bytes of an object; None where there is none."""
    try:
        return read_object(url)
    except FileNotFoundError:
        return None


def remove_object(url: str) -> None:
    """Removes an object, if it is there."""
    filesystem, path = open_storage(url)
    with suppress(FileNotFoundError):
        filesystem.rm_file(path)


def remove_folder(url: str) -> None:
    """Removes all objects whose URLs begin with ``url`` and a slash, if there are any."""
    filesystem, path = open_storage(url)
    with suppress(FileNotFoundError):
        filesystem.rm(path, recursive=True)


def object_names(url: str) -> set[str]:
    """Names of the objects and folders right below a URL; empty where there is nothing."""
    filesystem, path = open_storage(url)
    try:
        found = filesystem.ls(path, detail=False)
    except FileNotFoundError:
        return set()
    return {name.rstrip("/").rpartition("/")[2] for name in found}


def flush_folder(url: str) -> None:
    """Sees that all that lies below a URL is on the disk, its names included; object stores have done so already.

    Raises:
        OSError: If it cannot be.
    """
    filesystem, path = open_storage(url)
    if not is_local(filesystem):
        return
    for folder, _, names in os.walk(path):
        for name in (*names, "."):
            descriptor = os.open(f"{folder}/{name}", os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
