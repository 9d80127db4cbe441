"""Which reader serves an array."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path

from data_catalog.storage import is_local, open_storage
from trainer.reads.boxes import ChunkedArray
from trainer.reads.codec import chunk_codec
from trainer.reads.encoded_cache import CachedObjects
from trainer.reads.objects import FileSystemObjects, MappedFiles, Objects, PlainFiles
from trainer.reads.places import ChunkPlaces, can_find
from trainer.reads.readers import ChunkReader, DirectReader, Expected, ZarrReader
from trainer.reads.self_test import choose
from trainer.reads.zarr_array import ZarrArray

log = logging.getLogger(__name__)

ZARR = "Zarr"

FAR_LARGER = 2
"""Times the memory of the machine: of arrays as large as that nothing is kept in the page cache."""

LOOKED_AT = 32
"""Objects whose sizes are asked for, to tell how many bytes an array takes."""


@dataclass(frozen=True, slots=True)
class RemoteCache:
    """Where encoded chunks of remote datasets are kept.

    Attributes:
        folder: On a local disk.
        limit_nbytes: Most bytes kept there.
        dataset: What tells one making of a dataset from another.
    """

    folder: Path
    limit_nbytes: int
    dataset: str


def open_chunks(
    array: ZarrArray,
    *,
    url: str,
    expected: Expected,
    cache: RemoteCache | None = None,
    keep_cached: bool | None = None,
) -> ChunkedArray:
    """Opens an array for reading chunk by chunk, by the reader that a self-test finds fastest.

    Args:
        array: As Zarr opened it.
        url: Where it lies.
        expected: What the manifest says of its chunks.
        cache: Where its encoded chunks are kept if they are not on this machine.
        keep_cached: Whether local files may stay in the page cache; None decides by their size.
    """
    candidates = _candidates(array, url=url, expected=expected, cache=cache, keep_cached=keep_cached)
    *_, trusted = candidates
    choice = choose(candidates, trusted=trusted, array=array, expected=expected)
    log.info("%s: %s", url, choice)
    return ChunkedArray(array.shape, array.chunks, array.dtype, choice.reader, about=str(choice))


def _candidates(
    array: ZarrArray, *, url: str, expected: Expected, cache: RemoteCache | None, keep_cached: bool | None
) -> Mapping[str, ChunkReader]:
    codec = chunk_codec(array)
    if codec is None or not can_find(array):
        return {f"{ZARR}, whose codecs are not among those that are decoded here": ZarrReader(array)}
    filesystem, path = open_storage(url)
    objects: dict[str, Objects]
    if not is_local(filesystem):
        objects = {"byte ranges": FileSystemObjects(filesystem)}
        if cache is not None:
            kept = CachedObjects(
                objects["byte ranges"], folder=cache.folder, limit_nbytes=cache.limit_nbytes, dataset=cache.dataset
            )
            objects = {"byte ranges, kept on disk": kept}
    elif keep_cached or (keep_cached is None and not _is_far_larger(array, path)):
        objects = {"mapped files": MappedFiles(), "byte ranges": PlainFiles(keep_cached=True)}
    else:
        objects = {"byte ranges, dropped from the page cache": PlainFiles(keep_cached=False)}
    direct = {
        name: DirectReader(array, ChunkPlaces(array, folder=path, objects=each), each, codec, expected)
        for name, each in objects.items()
    }
    return direct | {ZARR: ZarrReader(array)}


def _is_far_larger(array: ZarrArray, folder: str) -> bool:
    """Whether the files of an array are far larger than memory, judged by a few of them."""
    files = (path for path in Path(folder).rglob("*") if path.name != "zarr.json" and path.is_file())
    sizes = [path.stat().st_size for path in islice(files, LOOKED_AT)]
    extents = zip(array.shape, array.shards or array.chunks, strict=True)
    objects = prod(-(-size // extent) for size, extent in extents)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return bool(sizes) and objects * sum(sizes) / len(sizes) > FAR_LARGER * memory
