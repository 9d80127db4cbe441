"""A place for a new store: free, or where the same conversion was broken off."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from data_catalog import InputError, layout
from data_catalog.storage import is_local, open_storage, reached
from pipeline.storage.objects import find_object, object_names

_PASSING = (".", "lease.", "probe-")
"""How names begin of what is in a work folder for a moment only, unless a process was killed."""


def check_target(url: str) -> None:
    """Sees that a place is free, or holds an unfinished store.

    Raises:
        InputError: If something else is there, or it cannot be read.
    """
    with reached(url):
        filesystem, path = open_storage(url)
        is_file = filesystem.exists(path) and filesystem.isfile(path)
        names = set() if is_file else object_names(url)
        in_work = object_names(f"{url}/{layout.WORK_GROUP}") if layout.WORK_GROUP in names else set()
        is_ours = all(name in layout.WORK_NAMES or name.startswith(_PASSING) for name in in_work)
        is_unfinished = is_ours and bool(in_work) and find_object(f"{url}/{layout.PLAN}") is not None
    if is_file or not is_ours or (names - {layout.WORK_GROUP} and not is_unfinished):
        raise InputError(f"{url} is already in use: choose another --out, or remove what is there.")


def remove_partial_files(url: str) -> None:
    """Removes what processes that were killed left of files that Zarr writes beside their place and then renames.

    Args:
        url: A store that nobody writes to.
    """
    filesystem, path = open_storage(url)
    if is_local(filesystem):
        for partial in Path(path).rglob("*.partial"):
            partial.unlink()


def absent_folders(url: str) -> list[Path]:
    """The folder of a local store and those above it that are not there yet, the innermost first."""
    filesystem, path = open_storage(url)
    if not is_local(filesystem):
        return []
    return list(takewhile(lambda folder: not folder.exists(), (Path(path), *Path(path).parents)))


def remove_again(folders: Iterable[Path]) -> None:
    """Removes folders that were made for nothing, as far as they are empty.

    Args:
        folders: What `absent_folders` said before they were made.
    """
    with suppress(OSError):  # gone already, or something else is in it
        for folder in folders:
            folder.rmdir()


def make_folder(url: str) -> None:
    """Makes the folder of a local store.

    Raises:
        InputError: If it cannot be written.
    """
    filesystem, path = open_storage(url)
    if is_local(filesystem):
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{url} cannot be written ({error.strerror or error}): choose another --out.") from None
