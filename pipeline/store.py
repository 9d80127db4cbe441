"""A place for a new store, given back if what is done there fails."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec

from data_catalog import InputError, WorkError

REMOVAL_ATTEMPTS = 20
SECONDS_BETWEEN_ATTEMPTS = 0.1


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
    check_unused(url)
    try:
        filesystem.makedirs(path, exist_ok=True)
    except OSError as error:
        raise InputError(f"{url} cannot be written ({error.strerror or error}): choose another --out.") from None
    try:
        yield str(Path(url).absolute()) if is_local else url
    except BaseException:
        _remove(filesystem, path)
        raise


def check_unused(url: str) -> None:
    """Sees that a place is free for a new store.

    Raises:
        InputError: If something is there, which may be what a killed conversion left.
    """
    filesystem, path = fsspec.url_to_fs(url)
    if filesystem.exists(path) and (not filesystem.isdir(path) or filesystem.ls(path)):
        raise InputError(
            f"{url} is already in use: choose another --out, or remove it if a conversion that was killed left it."
        )


def _remove(filesystem: fsspec.AbstractFileSystem, path: str) -> None:
    """Removes a folder; again, if a thread that was interrupted put one more file into it meanwhile."""
    for _ in range(REMOVAL_ATTEMPTS):
        with suppress(OSError):
            filesystem.rm(path, recursive=True)
        if not filesystem.exists(path):
            return
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)
    raise WorkError(f"{path} could not be removed after a failure: remove it before trying again.")
