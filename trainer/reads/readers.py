"""Readers of inner chunks: one small interface, and two ways to serve it.

`DirectReader` finds a chunk's bytes itself and decodes them straight into memory that is used again and again; it knows
the layouts and codecs that the contract suggests. `ZarrReader` asks Zarr, and so reads whatever Zarr can.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import crc32c
import numpy as np
import numpy.typing as npt

from data_catalog.storage import DefiniteError, patiently
from trainer.plan.windows import Extents
from trainer.reads.codec import ChunkCodec
from trainer.reads.faults import ChunkFaultError, Fault
from trainer.reads.objects import Bytes, Objects, ShortObjectError
from trainer.reads.places import ChunkPlaces, DamagedShardError
from trainer.reads.zarr_array import ZarrArray

Samples = npt.NDArray[Any]
Grid = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the manifest says of an array's chunks.

    Attributes:
        checksums: CRC-32C of each chunk as stored, on the chunk grid; None where it was not kept.
        is_fill: Which chunks are not stored since they hold the fill value alone; None where that was not kept.
        every_time: Whether checksums are compared whenever a chunk is read, rather than when it is read first.
    """

    checksums: Grid | None = None
    is_fill: Grid | None = None
    every_time: bool = False


class ChunkReader(Protocol):
    """Reads inner chunks of one array by their index on the chunk grid; safe in any number of threads.

    Each method raises `ChunkFaultError` for a chunk that is not stored although it should be, is damaged, or cannot be
    read.
    """

    def fetch(self, chunk: Extents) -> Any:
        """A chunk as it is stored, for the other two methods."""

    def view(self, chunk: Extents, encoded: Any) -> Samples | None:
        """A chunk's samples where they lie in a mapped file; None where they have to be decoded."""

    def decode(self, chunk: Extents, encoded: Any, *, out: Samples) -> int:
        """Decodes a chunk into an array of its extents and data type, contiguous; returns the encoded bytes read."""


class ZarrReader:
    """Reads through Zarr."""

    def __init__(self, array: ZarrArray) -> None:
        self._array = array

    def fetch(self, chunk: Extents) -> None:
        """Nothing: Zarr reads and decodes in one go."""

    def view(self, chunk: Extents, encoded: None) -> None:
        """None: Zarr makes arrays of its own."""

    def decode(self, chunk: Extents, encoded: None, *, out: Samples) -> int:
        """Reads a chunk, at the array's edge as far as it goes; counts its samples, since only Zarr knows better."""
        region = tuple(
            slice(at * extent, min((at + 1) * extent, size))
            for at, extent, size in zip(chunk, self._array.chunks, self._array.shape, strict=True)
        )
        try:
            samples = patiently(lambda: self._read(region))
        except DefiniteError as error:
            raise _fault(self._array, chunk, Fault.UNDECODABLE, str(error)) from error
        except OSError as error:
            raise _fault(self._array, chunk, Fault.UNREADABLE, str(error)) from error
        out[tuple(map(slice, samples.shape))] = samples
        return samples.nbytes

    def _read(self, region: tuple[slice, ...]) -> Samples:
        try:
            return np.asarray(self._array[region])
        except (RuntimeError, TypeError, ValueError) as error:  # codecs, rather than storage
            raise DefiniteError(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class DirectReader:
    """Reads ranges of objects.

    Attributes:
        array: Its metadata.
        places: Where chunks lie.
        objects: Reads ranges.
        codec: Of a chunk.
        expected: What the manifest says.
    """

    array: ZarrArray
    places: ChunkPlaces
    objects: Objects
    codec: ChunkCodec
    expected: Expected

    @cached_property
    def _dtype(self) -> "np.dtype[Any]":
        return self.array.dtype  # Zarr works it out anew whenever it is asked, and so it does the extents

    @cached_property
    def _extents(self) -> Extents:
        return self.array.chunks

    @cached_property
    def _found_right(self) -> Grid:
        """Which chunks need no comparison any more."""
        return np.zeros_like(self.expected.checksums, dtype=np.bool_)

    def fetch(self, chunk: Extents) -> Bytes | None:
        """A chunk's bytes, found to be those that were written; None where it holds the fill value alone."""
        try:
            place = self.places.find(chunk)
            content = None if place is None else self.objects.read(place.path, start=place.start, length=place.length)
        except FileNotFoundError:
            content = None
        except DamagedShardError as error:
            raise _fault(self.array, chunk, error.fault, str(error)) from error
        except ShortObjectError as error:
            raise _fault(self.array, chunk, Fault.SHORT, str(error)) from error
        except OSError as error:
            raise _fault(self.array, chunk, Fault.UNREADABLE, str(error)) from error
        self._check(chunk, content)
        return content

    def view(self, chunk: Extents, encoded: Bytes | None) -> Samples | None:
        """The samples themselves, where a mapped file holds them as they are."""
        if self.codec.decompress is not None or not isinstance(encoded, memoryview):
            return None
        try:
            return np.frombuffer(encoded, dtype=self._dtype).reshape(self._extents)
        except ValueError as error:
            raise _fault(self.array, chunk, Fault.UNDECODABLE, str(error)) from error

    def decode(self, chunk: Extents, encoded: Bytes | None, *, out: Samples) -> int:
        """Decodes a chunk's bytes."""
        if encoded is None:
            out[...] = self.array.fill_value
            return 0
        try:
            self.codec.decode(encoded, out=out)
        except Exception as error:  # codecs raise kinds of their own
            raise _fault(self.array, chunk, Fault.UNDECODABLE, f"{type(error).__name__}: {error}") from error
        return len(encoded)

    def _check(self, chunk: Extents, content: Bytes | None) -> None:
        is_fill, checksums = self.expected.is_fill, self.expected.checksums
        if content is None:
            if is_fill is not None and not is_fill[chunk]:
                raise _fault(self.array, chunk, Fault.MISSING, "the manifest says that it holds samples")
        elif checksums is not None and not self._found_right[chunk]:
            if crc32c.crc32c(content) != checksums[chunk]:
                raise _fault(self.array, chunk, Fault.CHECKSUM, "its bytes are not those that were written")
            self._found_right[chunk] = not self.expected.every_time


def _fault(array: ZarrArray, chunk: Extents, fault: Fault, detail: str) -> ChunkFaultError:
    return ChunkFaultError(fault, place=f"chunk {chunk} of {array.store_path}", detail=detail)
