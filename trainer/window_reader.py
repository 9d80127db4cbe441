"""From a box in index space to samples that a task can use."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

import numpy as np

from data_catalog import InputError
from trainer.chunk_cache import ChunkCache
from trainer.normalise import Normalisation
from trainer.store import Dataset, StoredVariable, ZarrArray
from trainer.tasks.task import Window
from trainer.windows import Extents, Ranges

INPUT, LABEL, LIVE = "input", "label", "live"


@dataclass(frozen=True)
class WindowReader:
    """Reads input, label and live traces of a box, all through one cache.

    Attributes:
        cache: Of decoded chunks.
        normalisation: Of the input.
        has_live: Whether the dataset says which traces are live.
        has_label: Whether there is a label to read.
    """

    cache: ChunkCache
    normalisation: Normalisation
    has_live: bool
    has_label: bool

    @classmethod
    def open(
        cls,
        dataset: Dataset,
        *,
        stored: StoredVariable,
        label: StoredVariable | None,
        normalisation: Normalisation,
        budget_nbytes: int,
    ) -> Self:
        """A reader with a cache of its own; without a label it reads none."""
        arrays = {INPUT: stored.array}
        live = dataset.live(stored.variable)
        if live is not None:
            arrays[LIVE] = live
        if label is not None:
            arrays[LABEL] = label.array
        cache = ChunkCache(arrays, budget_nbytes=budget_nbytes)
        return cls(cache, normalisation, has_live=live is not None, has_label=label is not None)

    def read(self, box: Ranges) -> Window:
        """The samples of a box on all dimensions of the variable."""
        stored = np.asarray(self.cache.read(INPUT, box=box), dtype=np.float32)
        live = np.isfinite(stored)
        if self.has_live:
            live &= self.cache.read(LIVE, box=box[:-1])[..., None].astype(np.bool_)
        amplitude = np.where(live, self.normalisation.apply(stored), np.float32(0))
        label = self.cache.read(LABEL, box=box) if self.has_label else None
        return Window(stored=stored, amplitude=amplitude, live=live, label=label, box=box)


def sections(window: Window, *, axes: tuple[int, ...]) -> Iterator[Window]:
    """Cuts a window into sections along the axes that the network sees, the last of the others fastest.

    Args:
        window: On all dimensions of the variable.
        axes: Dimensions that the network sees, ascending.
    """
    others = [range(*bounds) if axis not in axes else [None] for axis, bounds in enumerate(window.box)]
    for place in product(*others):
        cut = tuple(slice(None) if at is None else at - start for at, (start, _) in zip(place, window.box, strict=True))
        box = tuple(bounds if at is None else (at, at + 1) for at, bounds in zip(place, window.box, strict=True))
        yield replace(
            window,
            stored=window.stored[cut],
            amplitude=window.amplitude[cut],
            live=window.live[cut],
            label=None if window.label is None else window.label[cut],
            box=box,
        )


def check_budget(reader: WindowReader, *, window: Extents) -> None:
    """Refuses a budget that the chunks of a single window would exceed.

    Raises:
        InputError: With the budget needed.
    """
    needed = sum(most_chunks_nbytes(array, window=window[: array.ndim]) for array in reader.cache.arrays.values())
    if needed > reader.cache.budget_nbytes:
        raise InputError(
            f"config.feed.budget_nbytes is {reader.cache.budget_nbytes}, and the chunks of one window can take "
            f"{needed} bytes: allow at least that, or choose smaller windows."
        )


def most_chunks_nbytes(array: ZarrArray, *, window: Extents) -> int:
    """Most bytes of decoded chunks that a window can touch, wherever it lies."""
    extents = [
        min(size, (-(-(extent - 1) // chunk) + 1) * chunk)
        for size, chunk, extent in zip(array.shape, array.chunks, window, strict=True)
    ]
    return int(np.prod(extents, dtype=np.int64)) * array.dtype.itemsize


def box_at(origin: Extents, *, extents: Extents) -> Ranges:
    """The box of given extents whose first sample is ``origin``."""
    return tuple((start, start + extent) for start, extent in zip(origin, extents, strict=True))
