"""Decoded inner chunks under a hard byte budget, shared by the threads that read.

A thread holds at most one chunk at a time: it copies its part out and lets go before it asks for the next. So whoever
waits for room holds nothing that others wait for, and a budget of one chunk is enough to make progress.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from threading import Condition

import numpy as np
import numpy.typing as npt

from data_catalog import InputError
from trainer.store import ZarrArray
from trainer.windows import Extents, Ranges

Samples = npt.NDArray[np.generic]
Key = tuple[str, Extents]


@dataclass
class _Chunk:
    """A chunk in the cache: no samples yet while its first reader decodes it.

    Attributes:
        nbytes: Room that it takes, known before decoding.
        samples: Decoded.
        readers: Threads that hold or wait for it; it stays while there are any.
        error: Why decoding failed.
    """

    nbytes: int
    samples: Samples | None = None
    readers: int = 0
    error: BaseException | None = field(default=None, repr=False)


class ChunkCache:
    """Reads boxes of Zarr arrays through a least-recently-used cache of decoded inner chunks.

    Attributes:
        arrays: What it reads, by name.
        budget_nbytes: Most bytes of decoded chunks at any time.
        resident_nbytes: Bytes of decoded chunks, and of those being decoded.
        peak_nbytes: Most there ever were.
        decoded_nbytes: Bytes decoded since the start: over the bytes of the dataset, how often it was read.
    """

    def __init__(self, arrays: Mapping[str, ZarrArray], *, budget_nbytes: int) -> None:
        self.budget_nbytes = budget_nbytes
        self.resident_nbytes = self.peak_nbytes = self.decoded_nbytes = 0
        self.arrays = dict(arrays)
        self._chunks: OrderedDict[Key, _Chunk] = OrderedDict()  # least recently used first
        self._changed = Condition()

    def read(self, name: str, *, box: Ranges) -> Samples:
        """A box of an array, as an array of its own.

        Args:
            name: One of the arrays.
            box: A range for each dimension, inside the array.

        Raises:
            InputError: If a chunk cannot be read.
        """
        array = self.arrays[name]
        out = np.empty([stop - start for start, stop in box], dtype=array.dtype)
        for index in chunks_of(box, chunk=array.chunks):
            self._copy_chunk(name, index, box=box, out=out)
        return out

    def _copy_chunk(self, name: str, index: Extents, *, box: Ranges, out: Samples) -> None:
        # A frame of its own: no name outlives it that would keep the chunk's memory once it is evicted.
        with self._held(name, index) as samples:
            inside, outside = [], []
            corner = [place * extent for place, extent in zip(index, self.arrays[name].chunks, strict=True)]
            for first, size, (start, stop) in zip(corner, samples.shape, box, strict=True):
                low, high = max(start, first), min(stop, first + size)
                inside.append(slice(low - first, high - first))
                outside.append(slice(low - start, high - start))
            out[tuple(outside)] = samples[tuple(inside)]

    @contextmanager
    def _held(self, name: str, index: Extents) -> Iterator[Samples]:
        key = (name, index)
        with self._changed:
            chunk = self._chunks.get(key)
            ours = chunk is None
            if chunk is None:
                chunk = self._chunks[key] = _Chunk(nbytes=_nbytes(self.arrays[name], index))
            chunk.readers += 1
            self._chunks.move_to_end(key)
        try:
            yield self._decode(key, chunk) if ours else self._wait(chunk)
        finally:
            with self._changed:
                chunk.readers -= 1
                self._changed.notify_all()

    def _decode(self, key: Key, chunk: _Chunk) -> Samples:
        self._make_room(chunk.nbytes)
        try:
            samples = _read_chunk(self.arrays[key[0]], key[1])
        except BaseException as error:
            with self._changed:
                chunk.error = error
                self.resident_nbytes -= chunk.nbytes
                del self._chunks[key]
            raise
        with self._changed:
            chunk.samples = samples
            self.decoded_nbytes += chunk.nbytes
            self._changed.notify_all()
        return samples

    def _wait(self, chunk: _Chunk) -> Samples:
        with self._changed:
            self._changed.wait_for(lambda: chunk.samples is not None or chunk.error is not None)
            if chunk.samples is None:
                raise InputError(str(chunk.error)) from chunk.error
            return chunk.samples

    def _make_room(self, nbytes: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._evict_until(self.budget_nbytes - nbytes))
            self.resident_nbytes += nbytes
            self.peak_nbytes = max(self.peak_nbytes, self.resident_nbytes)

    def _evict_until(self, nbytes: int) -> bool:
        for key in list(self._chunks):
            if self.resident_nbytes <= nbytes:
                break
            if self._chunks[key].readers == 0:
                self.resident_nbytes -= self._chunks.pop(key).nbytes
        return self.resident_nbytes <= nbytes


def chunks_of(box: Ranges, *, chunk: Extents) -> Iterator[Extents]:
    """Grid indices of the chunks that share samples with a box."""
    return product(
        *(range(start // extent, -(-stop // extent)) for (start, stop), extent in zip(box, chunk, strict=True))
    )


def _nbytes(array: ZarrArray, index: Extents) -> int:
    return math.prod(stop - start for start, stop in _ranges(array, index)) * array.dtype.itemsize


def _ranges(array: ZarrArray, index: Extents) -> Ranges:
    return tuple(
        (place * extent, min((place + 1) * extent, size))
        for place, extent, size in zip(index, array.chunks, array.shape, strict=True)
    )


def _read_chunk(array: ZarrArray, index: Extents) -> Samples:
    try:
        return np.asarray(array[tuple(slice(*bounds) for bounds in _ranges(array, index))])
    except Exception as error:  # whatever a store or a codec raises
        raise InputError(
            f"chunk {index} of {array.store_path} cannot be read: {type(error).__name__}: {error}"
        ) from error
