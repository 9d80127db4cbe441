"""Which reader serves an array."""

import logging

from data_catalog.storage import is_local, open_storage
from trainer.reads.boxes import ChunkedArray
from trainer.reads.codec import chunk_codec
from trainer.reads.objects import FileSystemObjects, MappedFiles, Objects
from trainer.reads.places import ChunkPlaces, can_find
from trainer.reads.readers import ChunkReader, DirectReader, Expected, ZarrReader
from trainer.zarr_array import ZarrArray

log = logging.getLogger(__name__)


def open_chunks(array: ZarrArray, *, url: str, expected: Expected) -> ChunkedArray:
    """Opens an array for reading chunk by chunk.

    Args:
        array: As Zarr opened it.
        url: Where it lies.
        expected: What the manifest says of its chunks.
    """
    return ChunkedArray(array.shape, array.chunks, array.dtype, _reader(array, url=url, expected=expected))


def _reader(array: ZarrArray, *, url: str, expected: Expected) -> ChunkReader:
    codec = chunk_codec(array)
    if codec is None or not can_find(array):
        log.info("%s: read through Zarr, since its codecs are not among those that are decoded here", url)
        return ZarrReader(array)
    filesystem, path = open_storage(url)
    objects: Objects = MappedFiles() if is_local(filesystem) else FileSystemObjects(filesystem)
    return DirectReader(array, ChunkPlaces(array, folder=path, objects=objects), objects, codec, expected)
