"""Where the inner chunks of an array lie: which object, and which bytes of it.

A shard ends with its index, an offset and a length for each of its chunks, and the index's CRC-32C (Zarr v3, sharding
codec). Indices are read once and kept: 16 bytes a chunk.
"""

import math
from dataclasses import dataclass
from typing import Any

import crc32c
import numpy as np
import numpy.typing as npt
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

from trainer.plan.windows import Extents
from trainer.reads.faults import Fault
from trainer.reads.objects import Objects, ShortObjectError
from trainer.reads.zarr_array import ZarrArray, codecs_of

NOT_STORED = 2**64 - 1

Index = npt.NDArray[np.uint64]


class DamagedShardError(Exception):
    """A shard whose index cannot be used."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of an object.

    Attributes:
        path: Of the object.
        start: First byte.
        length: How many; None for all.
    """

    path: str
    start: int = 0
    length: int | None = None


class ChunkPlaces:
    """Finds chunks by their index on the grid of inner chunks; safe in any number of threads."""

    def __init__(self, array: ZarrArray, *, folder: str, objects: Objects) -> None:
        """Reads nothing yet.

        Args:
            array: Its metadata.
            folder: Where its objects are, as ``objects`` names it.
            objects: Reads them.
        """
        self._encode_key = array.metadata.encode_chunk_key
        self._folder = folder
        self._objects = objects
        self._per_shard: Extents | None = None
        if array.shards is not None:
            self._per_shard = tuple(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
        self._shards: dict[Extents, tuple[str, Index | None]] = {}

    def find(self, chunk: Extents) -> Place | None:
        """Where a chunk lies; None where it is not stored.

        Raises:
            DamagedShardError: If the index of its shard cannot be used.
            OSError: If it cannot be read.
        """
        if self._per_shard is None:
            return Place(self._path(chunk))
        shard, inside = zip(*map(divmod, chunk, self._per_shard), strict=True)
        try:
            path, index = self._shards[shard]
        except KeyError:
            path, index = self._shards[shard] = self._path(shard), self._read_index(shard)
        if index is None:
            return None
        start, length = index[inside].tolist()
        return None if start == NOT_STORED else Place(path, start, length)

    def _path(self, index: Extents) -> str:
        return f"{self._folder}/{self._encode_key(index)}"

    def _read_index(self, shard: Extents) -> Index | None:
        assert self._per_shard is not None, "only shards have an index"
        nbytes = 16 * math.prod(self._per_shard)
        try:
            tail = self._objects.read(self._path(shard), start=-nbytes - 4, length=nbytes + 4)
        except FileNotFoundError:
            return None
        except ShortObjectError as error:
            raise DamagedShardError(Fault.SHORT, str(error)) from error
        if crc32c.crc32c(tail[:nbytes]) != int.from_bytes(tail[nbytes:], "little"):
            raise DamagedShardError(Fault.CHECKSUM, f"the index of its shard, {self._path(shard)}, was not written so")
        return np.frombuffer(tail[:nbytes], dtype="<u8").reshape(*self._per_shard, 2)


def can_find(array: ZarrArray) -> bool:
    """Whether the array's shards are laid out as `ChunkPlaces` expects them."""
    codecs = codecs_of(array)
    sharding: Any = next((codec for codec in codecs if isinstance(codec, ShardingCodec)), None)
    if sharding is None:
        return True
    kinds = tuple(type(codec) for codec in sharding.index_codecs)
    return len(codecs) == 1 and sharding.index_location.value == "end" and kinds == (BytesCodec, Crc32cCodec)
