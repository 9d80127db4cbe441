"""Boxes copied out of arrays, through chunks that are decoded once for all boxes that were announced."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from threading import Lock
from typing import Any

import numpy as np

from trainer.plan.windows import Extents, Indices
from trainer.reads.readers import ChunkReader, Samples
from trainer.reads.shelf import ChunkShelf, Key


@dataclass(frozen=True)
class ChunkedArray:
    """An array that is read chunk by chunk.

    Attributes:
        shape: Its sizes.
        chunk: Extents of its inner chunks.
        dtype: Of its samples.
        reader: Of its chunks.
        about: How it was chosen.
    """

    shape: Extents
    chunk: Extents
    dtype: "np.dtype[Any]"
    reader: ChunkReader
    about: str = ""

    @cached_property
    def grid(self) -> Extents:
        """Chunks along each dimension."""
        return tuple(-(-size // extent) for size, extent in zip(self.shape, self.chunk, strict=True))

    @cached_property
    def chunk_nbytes(self) -> int:
        """Decoded bytes of a whole chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize

    def chunks_of(self, first: Sequence[int], end: Sequence[int]) -> list[tuple[int, Extents]]:
        """The chunks under a box: the number of each, the last dimension fastest, and its index."""
        spans = [range(a // extent, -(-b // extent)) for a, b, extent in zip(first, end, self.chunk, strict=True)]
        numbers = [0]
        for span, count in zip(spans, self.grid, strict=True):
            numbers = [number * count + at for number in numbers for at in span]
        return list(zip(numbers, product(*spans), strict=True))

    def uses(self, firsts: Indices, ends: Indices) -> tuple[Indices, Indices]:
        """How many of some boxes each chunk is under.

        Args:
            firsts: First samples of the boxes, (box, dimension).
            ends: Their ends.

        Returns:
            Numbers of chunks, ascending, and for each of them the boxes that it is under.
        """
        low, high = firsts // self.chunk, (ends - 1) // self.chunk
        numbers = []
        for step in product(*(range(most + 1) for most in (high - low).max(axis=0, initial=0))):
            chunks = low + step
            reached = (chunks <= high).all(axis=1)
            numbers.append(np.ravel_multi_index(tuple(chunks[reached].T), self.grid))
        chunks, counts = np.unique(np.concatenate(numbers), return_counts=True)
        return chunks, counts


@dataclass(slots=True)
class ReadCounts:
    """What was read so far.

    Attributes:
        chunks: Decoded, or found in a mapped file as they are.
        decoded_nbytes: Bytes of their samples.
        encoded_nbytes: Bytes read for them; those of their samples where only Zarr knows.
        distinct_nbytes: The same without what was read before.
        lock: Held while counting.
    """

    chunks: int = 0
    decoded_nbytes: int = 0
    encoded_nbytes: int = 0
    distinct_nbytes: int = 0
    lock: Lock = field(default_factory=Lock, repr=False)


class BoxReader:
    """Copies boxes; any number of threads may do so.

    Attributes:
        arrays: What it reads; below, a number stands for each of them.
        shelf: Where chunks are held.
        counts: What was read so far.
    """

    def __init__(self, arrays: Sequence[ChunkedArray], *, budget_nbytes: int) -> None:
        """Reads nothing yet.

        Args:
            arrays: What to read.
            budget_nbytes: Most bytes of decoded chunks at any time.
        """
        self.arrays = tuple(arrays)
        self.shelf = ChunkShelf(budget_nbytes=budget_nbytes)
        self.counts = ReadCounts()
        self._first_key = np.cumsum([0, *(math.prod(array.grid) for array in self.arrays)]).tolist()
        self._was_read = np.zeros(self._first_key[-1], dtype=np.bool_)

    def announce(self, number: int, firsts: Indices, ends: Indices) -> None:
        """Says that boxes will be copied out of an array, each of them once.

        Args:
            number: Of the array.
            firsts: First samples of the boxes, (box, dimension).
            ends: Their ends.
        """
        self.shelf.announce(self._uses(number, firsts, ends))

    def withdraw(self, number: int, firsts: Indices, ends: Indices) -> None:
        """Says that boxes that were announced will not be copied after all; arguments as of `announce`."""
        for key, count in self._uses(number, firsts, ends):
            self.shelf.end_use(key, count)

    def copy(self, number: int, first: Sequence[int], end: Sequence[int], *, out: Samples, announced: bool) -> None:
        """Copies a box.

        Args:
            number: Of the array.
            first: First sample of the box along each dimension.
            end: Its end.
            out: Takes the samples; of the box's extents.
            announced: Whether this is one of the boxes that were announced; it is over then, whatever happens.

        Raises:
            ChunkFaultError: If a chunk cannot be used.
        """
        array, first_key = self.arrays[number], self._first_key[number]
        chunks = array.chunks_of(first, end)
        done = 0
        try:
            for chunk_number, chunk in chunks:
                key = first_key + chunk_number
                is_whole = len(chunks) == 1 and out.shape == array.chunk and out.flags.c_contiguous
                if is_whole and self.shelf.uses(key) <= announced:
                    self._copy_whole(array, key, chunk, out=out)
                else:
                    self._copy_part(array, key, chunk, first=first, end=end, out=out)
                if announced:
                    self.shelf.end_use(key)
                done += 1
        finally:
            if announced:
                for chunk_number, _ in chunks[done:]:
                    self.shelf.end_use(first_key + chunk_number)

    def _uses(self, number: int, firsts: Indices, ends: Indices) -> Iterator[tuple[Key, int]]:
        chunks, uses = self.arrays[number].uses(firsts, ends)
        return zip((chunks + self._first_key[number]).tolist(), uses.tolist(), strict=True)

    def _copy_part(
        self, array: ChunkedArray, key: Key, chunk: Extents, *, first: Sequence[int], end: Sequence[int], out: Samples
    ) -> None:
        samples = self.shelf.hold(key)
        if samples is None:
            samples = self._make(array, key, chunk)
        try:
            inside, outside = [], []
            for at, extent, a, b in zip(chunk, array.chunk, first, end, strict=True):
                low, high = max(a, at * extent), min(b, (at + 1) * extent)
                inside.append(slice(low - at * extent, high - at * extent))
                outside.append(slice(low - a, high - a))
            out[tuple(outside)] = samples[tuple(inside)]
        finally:
            self.shelf.let_go(key)

    def _copy_whole(self, array: ChunkedArray, key: Key, chunk: Extents, *, out: Samples) -> None:
        """Decodes a chunk that no other box needs straight into the only one; copies it if it is there already."""
        samples = self.shelf.hold_if_there(key)
        if samples is None:
            encoded = array.reader.fetch(chunk)
            self._count(array, key, array.reader.decode(chunk, encoded, out=out))
            return
        np.copyto(out, samples)
        self.shelf.let_go(key)

    def _make(self, array: ChunkedArray, key: Key, chunk: Extents) -> Samples:
        memory = None
        try:
            encoded = array.reader.fetch(chunk)
            samples = array.reader.view(chunk, encoded)
            if samples is None:
                memory = self.shelf.room(array.chunk_nbytes)
                samples = memory.view(array.dtype).reshape(array.chunk)
                self._count(array, key, array.reader.decode(chunk, encoded, out=samples))
            else:
                self._count(array, key, samples.nbytes)
        except BaseException:
            self.shelf.withdraw(key, memory=memory)
            raise
        self.shelf.put(key, samples, memory=memory)
        return samples

    def _count(self, array: ChunkedArray, key: Key, encoded_nbytes: int) -> None:
        with self.counts.lock:
            self.counts.chunks += 1
            self.counts.decoded_nbytes += array.chunk_nbytes
            self.counts.encoded_nbytes += encoded_nbytes
            self.counts.distinct_nbytes += 0 if self._was_read[key] else encoded_nbytes
            self._was_read[key] = True
