"""A place for a new store, given back if what is done there fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from data_catalog import InputError


@contextmanager
def new_store(url: str) -> Iterator[str]:
    """A place for a new store; emptied again if what is done there fails.

    Yields:
        The store's URL, absolute if it is a local path.

    Raises:
        InputError: If something is there already, or it cannot be written.
    """
    filesystem, path = fsspec.url_to_fs(url)
    is_local = "://" not in url
    try:
        if filesystem.exists(path) and (not filesystem.isdir(path) or filesystem.ls(path)):
            raise InputError(f"{url} is already in use: choose another --out, or remove it first.")
        filesystem.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"{url} cannot be written ({error.strerror or error}): choose another --out.") from None
    try:
        yield str(Path(url).absolute()) if is_local else url
    except BaseException:
        filesystem.rm(path, recursive=True)
        raise
