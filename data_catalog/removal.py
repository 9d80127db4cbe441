"""Deleting a store, and nothing that is not one."""

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import fsspec

from data_catalog import layout
from data_catalog.errors import InputError, WorkError
from data_catalog.lease import Lease
from data_catalog.storage import is_local, open_storage, reached
from data_catalog.zarr_metadata import is_group

REMOVAL_ATTEMPTS = 20
SECONDS_BETWEEN_ATTEMPTS = 0.1


def store_exists(url: str) -> bool:
    """Whether a store is at ``url``, be it complete, half-written or half-deleted; False where nothing is.

    Raises:
        InputError: If something else is there, or it cannot be read.
    """
    with reached(url):
        filesystem, path = open_storage(url)
        work = f"{path}/{layout.WORK_GROUP}"
        found = [child for child in _children(filesystem, path) if child != work or _children(filesystem, work)]
        if not found:
            return False
        if is_group(url) or any(
            filesystem.exists(f"{path}/{name}") for name in (layout.LEASE, layout.PLAN, layout.LEDGER)
        ):
            return True
    raise InputError(
        f"{url} is neither a Zarr group nor a store that was being written (it holds {Path(found[0]).name!r}), so "
        "nothing in it is deleted: correct the url in the catalog, or delete by hand what should go."
    )


def empty_store(url: str, *, lease: Lease) -> None:
    """Deletes everything in a store except the lease on it.

    The ledger goes first, so that no conversion can go on with what is left, and the root's metadata last: until then
    the rest is known as a store.

    Args:
        url: The store.
        lease: The caller's lease on it.

    Raises:
        WorkError: If something cannot be deleted, or another process took over the store.
    """
    with reached(url):
        filesystem, path = open_storage(url)
        work, root_metadata = f"{path}/{layout.WORK_GROUP}", f"{path}/zarr.json"
        _delete_children(filesystem, f"{path}/{layout.LEDGER}", lease=lease)
        _delete_children(filesystem, work, keep={f"{path}/{layout.LEASE}"}, lease=lease)
        _delete_children(filesystem, path, keep={work, root_metadata}, lease=lease)
        _delete_children(filesystem, path, keep={work}, lease=lease)


def remove_empty_folder(url: str) -> None:
    """Removes what is left of an emptied store on a local disk; object stores have no folders."""
    filesystem, path = open_storage(url)
    if is_local(filesystem):
        for folder in (Path(path) / layout.WORK_GROUP, Path(path)):
            with suppress(OSError):  # gone already, or another writer began there
                folder.rmdir()


def _children(filesystem: fsspec.AbstractFileSystem, folder: str) -> list[str]:
    try:
        return [child.rstrip("/") for child in filesystem.ls(folder, detail=False)]
    except FileNotFoundError:
        return []


def _delete_children(
    filesystem: fsspec.AbstractFileSystem, folder: str, *, keep: Collection[str] = (), lease: Lease
) -> None:
    """Deletes what is in a folder; again, if a thread that was interrupted put one more file into it meanwhile."""
    failure: OSError | None = None
    for _ in range(REMOVAL_ATTEMPTS):
        left = [child for child in _children(filesystem, folder) if child not in keep]
        if not left:
            return
        for child in left:
            lease.check()
            try:
                filesystem.rm(child, recursive=True)
            except OSError as error:
                failure = error
        time.sleep(SECONDS_BETWEEN_ATTEMPTS if failure else 0)
    raise WorkError(
        f"{left[0]} could not be deleted ({failure or 'it keeps coming back'}): see to it, then repeat the command."
    )
