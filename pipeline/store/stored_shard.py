"""One stored object of a sharded array, fetched once: its chunks as they are stored, and as readers decode them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.buffer import cpu
from zarr.storage import MemoryStore

from pipeline.storage.codec import chunk_ranges, index_nbytes
from pipeline.storage.objects import find_object, read_object

DECODING_ERRORS = (RuntimeError, SystemError, ValueError)
"""What zarr and its codecs raise for bytes that they cannot make anything of."""

_NOT_STORED = 2**64 - 1


class DamagedObject(Exception):  # noqa: N818 (no error of the work: what a check is there to find)
    """An object of the store cannot be understood; says which, and why."""


@dataclass(frozen=True, slots=True)
class StoredShard:
    """A shard as it was fetched.

    Attributes:
        path: The object, relative to the store.
        is_there: Whether there is such an object; where there is none, all of the shard is the fill value.
        is_stored: bool (chunks of a shard): which chunks are in it.
    """

    path: str
    is_there: bool
    is_stored: NDArray[np.bool_]
    _content: bytes
    _ranges: NDArray[np.uint64]
    _array: zarr.Array[Any]

    def chunk(self, index: tuple[int, ...]) -> bytes:
        """A chunk as it is stored.

        Args:
            index: Its index in the shard; it is stored.
        """
        start, nbytes = (int(value) for value in self._ranges[index])
        return self._content[start : start + nbytes]

    def values(self, where: tuple[slice, ...]) -> NDArray[Any]:
        """Values as zarr decodes them.

        Args:
            where: Part of the array that lies in this shard.

        Raises:
            DamagedObject: If zarr cannot.
        """
        return read_values(self._array, where, path=self.path)


def fetch_shard(store: str, path: str, shard: tuple[int, ...], *, chunks_per_shard: tuple[int, ...]) -> StoredShard:
    """Fetches one shard of a sharded array whose index stands at the end.

    Args:
        store: URL of the store.
        path: Of the array in it.
        shard: Index of the object on all dimensions.
        chunks_per_shard: Chunks along each dimension of a whole shard.

    Raises:
        DamagedObject: If the index of the shard is damaged.
        OSError: If the array is not there, or it cannot be read.
    """
    metadata = read_object(f"{store}/{path}/zarr.json")  # where the whole store is out of sight, no shard is missing
    key = f"c/{'/'.join(map(str, shard))}"
    content = find_object(f"{store}/{path}/{key}")
    ranges = np.full((*chunks_per_shard, 2), _NOT_STORED, np.uint64)
    if content is not None:
        try:
            ranges = chunk_ranges(content[-index_nbytes(chunks_per_shard) :], chunks_per_shard)
        except ValueError as error:
            raise DamagedObject(f"{path}/{key} holds nothing that can be read: {error}") from None
    objects = {"zarr.json": metadata} | ({} if content is None else {key: content})
    # Decoded from what was fetched: what is compared is what the checksums were taken of, and one request gets both.
    store_of_one = MemoryStore({name: cpu.Buffer.from_bytes(value) for name, value in objects.items()}, read_only=True)
    return StoredShard(
        path=f"{path}/{key}",
        is_there=content is not None,
        is_stored=ranges[..., 0] != _NOT_STORED,
        _content=content or b"",
        _ranges=ranges,
        _array=zarr.open_array(store_of_one, mode="r"),
    )


def read_values(array: zarr.Array[Any], where: tuple[slice, ...], *, path: str) -> NDArray[Any]:
    """Reads a part of an array, contiguous.

    Args:
        array: Where from.
        where: Which part.
        path: What to call the array.

    Raises:
        DamagedObject: If it cannot be decoded.
    """
    try:
        return np.ascontiguousarray(array[where])
    except DECODING_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedObject(f"{path} cannot be decoded ({reason.rstrip('.')})") from None
