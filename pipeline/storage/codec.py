"""How chunks are compressed, and whole shards put together as Zarr's sharding codec lays them out.

Zarr's own writer encodes a shard chunk by chunk through several copies; here each chunk is encoded once, into the piece
of the object that it becomes. Zarr reads what comes out (sharding codec of Zarr v3; index at the end, with CRC-32C).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from pipeline.storage.new_objects import Part

CodecName = Literal["lz4", "zstd", "none"]

_LEVELS = {"lz4": 5, "zstd": 1}
_BLOCK_NBYTES = {"lz4": 16 * 2**10, "zstd": 0}
"""What Blosc is asked for; it takes four times that for lz4, whose own choice of 512 KiB compresses much worse."""

_NOT_STORED = np.uint64(2**64 - 1)
"""Offset and length of a chunk that holds the fill value alone."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Blosc over shuffled bits, or nothing.

    Attributes:
        name: ``lz4``, ``zstd`` or ``none``.
        itemsize: Bytes of an element.
    """

    name: CodecName
    itemsize: int

    def encode(self, block: NDArray[Any]) -> Part:
        """A chunk as it is stored: what Zarr's ``bytes`` codec (little endian) and ``compressors`` make of it.

        Args:
            block: Contiguous, of little-endian elements; the whole chunk, padding included.

        Returns:
            The bytes; without compression the block's own memory.
        """
        content = block.reshape(-1).view(np.uint8)
        if self.name == "none":
            return content.data
        shuffle = blosc.BITSHUFFLE if self._shuffles else blosc.NOSHUFFLE
        encoded: bytes = blosc.compress(
            content, self.name.encode(), _LEVELS[self.name], shuffle, _BLOCK_NBYTES[self.name], self.itemsize
        )
        return encoded

    def compressors(self) -> tuple[BloscCodec, ...]:
        """The same for ``zarr.create_array``."""
        if self.name == "none":
            return ()
        shuffle: Any = "bitshuffle" if self._shuffles else "noshuffle"
        return (
            BloscCodec(
                cname=self.name,
                clevel=_LEVELS[self.name],
                shuffle=shuffle,
                typesize=self.itemsize,
                blocksize=_BLOCK_NBYTES[self.name],
            ),
        )

    @property
    def _shuffles(self) -> bool:
        # Bytes have no bits that run together across samples: bit-shuffling pays for wider types only.
        return self.itemsize > 1


def checksum(content: Part) -> int:
    """CRC-32C of bytes (Castagnoli, RFC 3720)."""
    return crc32c.crc32c(content)


class ShardEncoder:
    """Puts the object of one shard together, from encoded chunks in any order."""

    def __init__(self, chunk_counts: tuple[int, ...], append: Callable[[Part], None]) -> None:
        """Begins a shard.

        Args:
            chunk_counts: Chunks along each dimension of a whole shard, also where the array ends before it.
            append: Takes the object's bytes, piece by piece.
        """
        self._chunk_counts = chunk_counts
        self._append = append
        self._index = np.full((prod(chunk_counts), 2), _NOT_STORED, "<u8")
        self._nbytes = 0

    def add(self, chunk: tuple[int, ...], content: Part) -> None:
        """Adds one chunk; those that are never added hold the fill value.

        Args:
            chunk: Its index in the shard.
            content: As it is stored.
        """
        self._index[np.ravel_multi_index(chunk, self._chunk_counts)] = self._nbytes, len(content)
        self._append(content)
        self._nbytes += len(content)

    def finish(self) -> None:
        """Adds the index; where every chunk holds the fill value nothing at all, since that is not stored."""
        if self._nbytes:
            index = self._index.tobytes()
            self._append(index + checksum(index).to_bytes(4, "little"))


def chunk_ranges(tail: bytes, chunk_counts: tuple[int, ...]) -> NDArray[np.uint64]:
    """Where each chunk lies in a shard.

    Args:
        tail: The last ``index_nbytes(chunk_counts)`` bytes of the object.
        chunk_counts: Chunks along each dimension of a shard.

    Returns:
        uint64 (*chunk_counts, 2): offset and length; both 2^64 - 1 where a chunk is not stored.

    Raises:
        ValueError: If the index is damaged.
    """
    index, expected = tail[:-4], int.from_bytes(tail[-4:], "little")
    if len(tail) != index_nbytes(chunk_counts) or checksum(index) != expected:
        raise ValueError("the index at the end of the shard is damaged")
    return np.frombuffer(index, "<u8").reshape(*chunk_counts, 2)


def index_nbytes(chunk_counts: tuple[int, ...]) -> int:
    """Size of the index at the end of a shard."""
    return 16 * prod(chunk_counts) + 4
