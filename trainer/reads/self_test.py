"""Which of several readers serves an array: each reads a few of its chunks, all must agree, the fastest is taken."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from trainer.plan.windows import Extents
from trainer.reads.faults import ChunkFaultError
from trainer.reads.readers import ChunkReader, Expected, Samples
from trainer.reads.zarr_array import ZarrArray

log = logging.getLogger(__name__)

CHUNKS, ATTEMPTS = 2, 3
"""Chunks that are tried, and how often: the shortest time counts, when what is read lies in the page cache."""

CLEARLY = 0.8
"""A reader is preferred to those named before it where it takes less than this share of their time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A reader, and how it was found.

    Attributes:
        name: What it does.
        reader: The reader.
        chunk_s: Seconds that each candidate took for a chunk; nothing where there was no choice.
    """

    name: str
    reader: ChunkReader
    chunk_s: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.chunk_s:
            return self.name
        others = (f"{name} {1000 * seconds:.2f}" for name, seconds in self.chunk_s.items() if name != self.name)
        return f"{self.name}, {1000 * self.chunk_s[self.name]:.2f} ms a chunk ({', '.join(others)})"


def choose(candidates: Mapping[str, ChunkReader], *, trusted: str, array: ZarrArray, expected: Expected) -> Choice:
    """The fastest of those that read what a trusted one reads.

    Args:
        candidates: By name; where times are alike the first of them is preferred.
        trusted: Name of the one that all others must agree with, Zarr itself. It tells no fault from another, and is
            taken only where no other can be.
        array: What they read.
        expected: Which of its chunks hold samples.
    """
    first = Choice(next(iter(candidates)), next(iter(candidates.values())))
    if len(candidates) == 1:
        return first
    try:
        known = list(islice(_readable(candidates, trusted, array=array, chunks=_stored(array, expected)), CHUNKS))
        trials = {name: _try(reader, array, known) for name, reader in candidates.items()}
    except ChunkFaultError:  # storage that fails now and then
        return first
    if not known:  # all fill, or all damaged: whoever needs them will say so
        return first
    for name, (_, alike) in trials.items():
        if not alike:
            log.warning("%s: %s reads otherwise than %s, and is not used", array.store_path, name, trusted)
    best, *others = [name for name, (_, alike) in trials.items() if alike and name != trusted] or [trusted]
    for name in others:
        best = name if trials[name][0] < CLEARLY * trials[best][0] else best
    return Choice(best, candidates[best], {name: seconds for name, (seconds, _) in trials.items()})


def _stored(array: ZarrArray, expected: Expected) -> list[Extents]:
    """A few chunks that hold samples, far from each other."""
    grid = tuple(-(-size // extent) for size, extent in zip(array.shape, array.chunks, strict=True))
    numbers = np.arange(math.prod(grid)) if expected.is_fill is None else np.flatnonzero(~expected.is_fill)
    chosen = numbers[np.unique(np.linspace(0, len(numbers) - 1, 2 * CHUNKS).astype(int))] if len(numbers) else []
    return [tuple(int(at) for at in np.unravel_index(number, grid)) for number in chosen]


def _readable(
    candidates: Mapping[str, ChunkReader], trusted: str, *, array: ZarrArray, chunks: Sequence[Extents]
) -> Iterator[tuple[Extents, Samples]]:
    """Those chunks that all can read, as the trusted one does."""
    for chunk in chunks:
        try:
            found = {name: _read(reader, chunk, out=_empty(array)) for name, reader in candidates.items()}
        except ChunkFaultError:
            continue
        yield chunk, found[trusted]


def _try(reader: ChunkReader, array: ZarrArray, known: Sequence[tuple[Extents, Samples]]) -> tuple[float, bool]:
    """Seconds for a chunk, and whether the samples are those that are known."""
    out, times, alike = _empty(array), [], True
    for _ in range(ATTEMPTS):
        elapsed = 0.0
        for chunk, samples in known:
            begun = time.perf_counter()
            _read(reader, chunk, out=out)
            elapsed += time.perf_counter() - begun
            inside = tuple(slice(size - at * n) for at, n, size in zip(chunk, array.chunks, array.shape, strict=True))
            alike &= out[inside].tobytes() == samples[inside].tobytes()
        times.append(elapsed / max(1, len(known)))
    return min(times), alike


def _empty(array: ZarrArray) -> Samples:
    return np.zeros(array.chunks, dtype=array.dtype)


def _read(reader: ChunkReader, chunk: Extents, *, out: Samples) -> Samples:
    encoded = reader.fetch(chunk)
    view = reader.view(chunk, encoded)
    if view is None:
        reader.decode(chunk, encoded, out=out)
    else:
        np.copyto(out, view)
    return out
