"""Which reader serves an array."""

import logging
from dataclasses import dataclass
from pathlib import Path

from data_catalog.storage import is_local, open_storage
from trainer.reads.boxes import ChunkedArray
from trainer.reads.codec import chunk_codec
from trainer.reads.encoded_cache import CachedObjects
from trainer.reads.objects import FileSystemObjects, MappedFiles, Objects
from trainer.reads.places import ChunkPlaces, can_find
from trainer.reads.readers import ChunkReader, DirectReader, Expected, ZarrReader
from trainer.zarr_array import ZarrArray

log = logging.getLogger(__name__)


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


def open_chunks(array: ZarrArray, *, url: str, expected: Expected, cache: RemoteCache | None = None) -> ChunkedArray:
    """Opens an array for reading chunk by chunk.

    Args:
        array: As Zarr opened it.
        url: Where it lies.
        expected: What the manifest says of its chunks.
        cache: Where its encoded chunks are kept if they are not on this machine.
    """
    return ChunkedArray(array.shape, array.chunks, array.dtype, _reader(array, url, expected, cache))


def _reader(array: ZarrArray, url: str, expected: Expected, cache: RemoteCache | None) -> ChunkReader:
    codec = chunk_codec(array)
    if codec is None or not can_find(array):
        log.info("%s: read through Zarr, since its codecs are not among those that are decoded here", url)
        return ZarrReader(array)
    filesystem, path = open_storage(url)
    objects: Objects = MappedFiles() if is_local(filesystem) else FileSystemObjects(filesystem)
    if cache is not None and not is_local(filesystem):
        objects = CachedObjects(objects, folder=cache.folder, limit_nbytes=cache.limit_nbytes, dataset=cache.dataset)
    return DirectReader(array, ChunkPlaces(array, folder=path, objects=objects), objects, codec, expected)
