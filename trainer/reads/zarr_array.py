"""Zarr as it is used here: the type of an array, and how many threads of its own it may start."""

from typing import Any, TypeAlias

import zarr

ZarrArray: TypeAlias = zarr.Array[Any]

zarr.config.set({"async.concurrency": 2, "threading.max_workers": 2})  # the feed's own threads are the parallelism


def codecs_of(array: ZarrArray) -> tuple[Any, ...]:
    """Codecs of an array, in the order in which they encode."""
    metadata: Any = array.metadata
    return tuple(metadata.codecs)
