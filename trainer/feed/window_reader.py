"""From a box in index space to samples that a task can use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.config import FeedConfig
from trainer.data.data_source import DataSource
from trainer.data.normalise import Normalisation
from trainer.data.store import Dataset, StoredVariable
from trainer.plan.grouping import ChunkGrid
from trainer.plan.windows import Extents, Indices, Ranges
from trainer.reads.boxes import BoxReader, ChunkedArray
from trainer.reads.opening import RemoteCache, open_chunks
from trainer.tasks.task import Window

INPUT, LABEL, LIVE = "input", "label", "live"

Samples = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A variable as windows of the input meet it.

    Attributes:
        number: Of its array in the reader.
        shape: Of the array.
        axes: For each of its dimensions the same one of the input; None for one that the input has not: windows take it
            whole.
        absent: What stands where nothing was recorded: 0, or the ignore value of classes.
    """

    number: int
    shape: Extents
    axes: tuple[int | None, ...]
    absent: int = 0

    def extents(self, window: Extents) -> Extents:
        """Of this variable in a window."""
        return tuple(size if axis is None else window[axis] for size, axis in zip(self.shape, self.axes, strict=True))

    def firsts(self, firsts: Indices) -> Indices:
        """From first samples of boxes in the input, (..., dimension), to those in this variable."""
        return np.stack([0 * firsts[..., 0] if axis is None else firsts[..., axis] for axis in self.axes], axis=-1)

    def ends(self, ends: Indices) -> Indices:
        """From ends of boxes in the input, (..., dimension), to those in this variable."""
        along = zip(self.shape, self.axes, strict=True)
        return np.stack([0 * ends[..., 0] + size if axis is None else ends[..., axis] for size, axis in along], axis=-1)


@dataclass(frozen=True)
class WindowReader:
    """Reads input, label and live traces of windows, each chunk once for all that were announced.

    Attributes:
        boxes: Reads the arrays.
        parts: What is read: `INPUT`, and `LIVE` and `LABEL` where there are any.
        normalisation: Of the input.
        is_finite: Whether the manifest says that no sample of the input is NaN or infinite.
    """

    boxes: BoxReader
    parts: Mapping[str, Part]
    normalisation: Normalisation
    is_finite: bool

    def grids(self, rank: int) -> list[ChunkGrid]:
        """The chunks of all that is read, the input's first, for windows of so many dimensions."""
        grids = []
        for part in self.parts.values():
            array = self.boxes.arrays[part.number]
            chunk: list[int | None] = [None] * rank
            nbytes = array.dtype.itemsize
            for axis, extent, count in zip(part.axes, array.chunk, array.grid, strict=True):
                nbytes *= extent if axis is not None else extent * count
                if axis is not None:
                    chunk[axis] = extent
            grids.append(ChunkGrid(tuple(chunk), nbytes))
        return grids

    @property
    def about(self) -> dict[str, str]:
        """How the chunks of each part are read: the reader that a self-test chose, the others, and their times."""
        return {name: self.boxes.arrays[part.number].about for name, part in self.parts.items()}

    def requests(self, firsts: Indices, ends: Indices) -> "list[Request]":
        """What to read of some windows.

        Args:
            firsts: Their first samples in the input, (window, dimension).
            ends: Their ends, cut at their boxes.
        """
        boxes = [
            zip(part.firsts(firsts).tolist(), part.ends(ends).tolist(), strict=True) for part in self.parts.values()
        ]
        ranges = (dict(zip(self.parts, of_window, strict=True)) for of_window in zip(*boxes, strict=True))
        return [Request(self, of_parts) for of_parts in ranges]

    def announce(self, firsts: Indices, ends: Indices) -> None:
        """Says that windows will be read, each of them once.

        Args:
            firsts: Their first samples in the input, (window, dimension).
            ends: Their ends, cut at their boxes.
        """
        for part in self.parts.values():
            self.boxes.announce(part.number, part.firsts(firsts), part.ends(ends))

    def withdraw(self, firsts: Indices, ends: Indices) -> None:
        """Says that windows that were announced will not be read after all.

        Args:
            firsts: Their first samples in the input, (window, dimension).
            ends: Their ends, cut at their boxes.
        """
        for part in self.parts.values():
            self.boxes.withdraw(part.number, part.firsts(firsts), part.ends(ends))

    def empty(self, window: Extents) -> dict[str, Samples]:
        """Arrays that hold a window's samples."""
        return {
            name: np.empty(part.extents(window), dtype=self.boxes.arrays[part.number].dtype)
            for name, part in self.parts.items()
        }

    def read_box(self, box: Ranges) -> Window:
        """The samples of a box, in arrays of their own."""
        firsts, ends = (np.array([bounds]) for bounds in zip(*box, strict=True))
        request = self.requests(firsts, ends)[0]
        samples = self.empty(tuple((ends - firsts)[0].tolist()))
        request.read(into=samples, announced=False)
        return self.window(samples, ranges=request.ranges)

    def window(self, samples: Mapping[str, Samples], *, ranges: "PartRanges") -> Window:
        """What a task sees of samples as they were read: ``amplitude`` and ``live`` are its own."""
        stored = samples[INPUT].astype(np.float32, copy=False)
        first, end = ranges[INPUT]
        live = np.zeros(stored.shape, dtype=np.bool_)
        live[tuple(slice(stop - start) for start, stop in zip(first, end, strict=True))] = True
        if LIVE in samples:
            live &= samples[LIVE][..., None]
        if not self.is_finite:
            live &= np.isfinite(stored)
        amplitude = self.normalisation.apply(stored)
        if not live.all():
            amplitude[~live] = 0
        box = tuple((start, start + extent) for start, extent in zip(first, stored.shape, strict=True))
        return Window(stored=stored, amplitude=amplitude, live=live, label=samples.get(LABEL), box=box)

    def label_axes(self, unseen: tuple[int, ...]) -> tuple[int | None, ...]:
        """For each dimension of the label, as `without` leaves it, the axis of such a window; None for its own ones."""
        if LABEL not in self.parts:
            return ()
        seen = [axis for axis in range(len(self.parts[INPUT].axes)) if axis not in unseen]
        axes = (axis for axis in self.parts[LABEL].axes if axis not in unseen)
        return tuple(None if axis is None else seen.index(axis) for axis in axes)

    def without(self, unseen: tuple[int, ...], *, window: Window) -> Window:
        """A window without some dimensions of the input along which it is one sample wide."""
        label = window.label
        if label is not None:
            axes = self.parts[LABEL].axes
            label = label.squeeze(tuple(at for at, axis in enumerate(axes) if axis in unseen))
        return replace(
            window,
            stored=window.stored.squeeze(unseen),
            amplitude=window.amplitude.squeeze(unseen),
            live=window.live.squeeze(unseen),
            label=label,
        )


PartRanges = Mapping[str, tuple[list[int], list[int]]]
"""For each part the first samples and ends of a box in its array."""


@dataclass(frozen=True, slots=True)
class Request:
    """A window to be read.

    Attributes:
        reader: Reads it.
        ranges: Where its parts lie.
    """

    reader: WindowReader
    ranges: PartRanges

    def read(self, *, into: Mapping[str, Samples], announced: bool) -> None:
        """Reads it.

        Args:
            into: Takes the samples of each part; where it is larger than the box, the rest becomes what its part says.
            announced: Whether this is one of the windows that were announced; all its uses are over then.

        Raises:
            ChunkFaultError: If a chunk cannot be used.
        """
        boxes, parts = self.reader.boxes, self.reader.parts
        left = dict(self.ranges)
        try:
            for name, (first, end) in self.ranges.items():
                del left[name]
                out = into[name]
                extents = tuple(map(int.__sub__, end, first))
                if out.shape != extents:
                    out.fill(parts[name].absent)
                    out = out[tuple(map(slice, extents))]
                boxes.copy(parts[name].number, first, end, out=out, announced=announced)
        finally:
            if announced:
                for name, bounds in left.items():
                    boxes.withdraw(parts[name].number, *(np.array([bound]) for bound in bounds))


def open_readers(sources: Sequence[DataSource], *, config: FeedConfig, with_label: bool = True) -> list[WindowReader]:
    """Readers of some datasets, with one shelf for all.

    Args:
        sources: What to read of each.
        config: How.
        with_label: Whether to read labels, where there are any.

    Raises:
        InputError: If the folder of the cache cannot be made.
    """
    arrays: list[ChunkedArray] = []
    parts_of: list[dict[str, Part]] = []
    for source in sources:
        dataset, stored = source.dataset, source.stored
        label = source.label if with_label else None
        dims, parts = stored.variable.dims, {}
        for name, each in {INPUT: stored, LIVE: dataset.live(stored), LABEL: label}.items():
            if each is not None:
                axes = tuple(dims.index(dim) if dim in dims else None for dim in each.variable.dims)
                parts[name] = Part(len(arrays), each.variable.shape, axes, each.variable.ignore_value or 0)
                arrays.append(_open_array(dataset, each, main=stored, config=config))
        parts_of.append(parts)
    boxes = BoxReader(arrays, budget_nbytes=config.resident_nbytes)
    return [
        WindowReader(
            boxes,
            parts,
            source.normalisation,
            is_finite=not source.dataset.manifest(source.stored, "nonfinite_count").any(),
        )
        for source, parts in zip(sources, parts_of, strict=True)
    ]


def _open_array(dataset: Dataset, stored: StoredVariable, *, main: StoredVariable, config: FeedConfig) -> ChunkedArray:
    kept = None
    if config.cache is not None:
        made = f"{dataset.entry.url} {dataset.entry.created.isoformat()}"
        kept = RemoteCache(config.cache.folder, config.cache.limit_nbytes, made)
    expected = dataset.expected_chunks(stored, main=main, every_time=config.verify == "always")
    keep_cached = None if config.page_cache == "auto" else config.page_cache == "keep"
    url = dataset.url_of(stored)
    return open_chunks(stored.array, url=url, expected=expected, cache=kept, keep_cached=keep_cached)
