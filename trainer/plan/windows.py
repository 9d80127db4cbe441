"""Where windows lie: a plan of integers, O(1) for each window and small whatever their number.

Axes: a *window* spans all dimensions of the variable, slowest first, in samples; dimensions that the network does not
see have extent 1. Ranges are half-open. Windows count box by box, the last dimension fastest.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from data_catalog import InputError

Extents = tuple[int, ...]
Ranges = tuple[tuple[int, int], ...]
Indices = npt.NDArray[np.int64]
Repeats = npt.NDArray[np.uint16]

MOST_REPEATS = 2**16 - 1


class Edges(StrEnum):
    """What becomes of the samples at a box's end where windows and strides do not come out even."""

    SHIFT = "shift"
    """The last window is shifted back until it ends with the box."""

    DROP = "drop"
    """They belong to no window."""

    PAD = "pad"
    """The last window reaches beyond the box; what lies there counts as not live. Boxes of any size hold a window."""


@dataclass(frozen=True)
class BoxWindows:
    """The windows of one box: a regular grid of origins.

    Attributes:
        ranges: The box, a range for each dimension.
        window: Window extents.
        stride: Samples between neighbouring origins.
        edges: What becomes of the rest.
    """

    ranges: Ranges
    window: Extents
    stride: Extents
    edges: Edges = Edges.SHIFT

    @cached_property
    def counts(self) -> Extents:
        """Windows along each dimension; 0 where the window is larger than the box and must not reach beyond it."""
        return tuple(
            self._count(stop - start - extent, step=step)
            for (start, stop), extent, step in zip(self.ranges, self.window, self.stride, strict=True)
        )

    def origins_along(self, dimension: int, places: Indices | None = None) -> Indices:
        """First samples of windows along one dimension, ascending with their places; of all of them by default."""
        start, stop = self.ranges[dimension]
        places = np.arange(self.counts[dimension], dtype=np.int64) if places is None else places
        regular = start + places * self.stride[dimension]
        if self.edges is Edges.SHIFT:
            regular = np.minimum(regular, stop - self.window[dimension])
        return np.asarray(regular, dtype=np.int64)

    def ranges_of(self, windows: Indices) -> tuple[Indices, Indices]:
        """First samples and ends of windows, cut at the box, (window, dimension) each."""
        places = np.unravel_index(windows, self.counts)
        starts = [self.origins_along(dimension, place) for dimension, place in enumerate(places)]
        along = zip(starts, self.window, self.ranges, strict=True)
        ends = [np.minimum(start + extent, stop) for start, extent, (_, stop) in along]
        return np.stack(starts, axis=1), np.stack(ends, axis=1)

    def runs_along(self, dimension: int, *, extent: int) -> Indices:
        """Windows whose origins lie in the same block along one dimension; blocks begin at multiples of their extent.

        Returns:
            The place of the first window of each run, and at the end the number of all, (run + 1,); costs as much as
            there are blocks, not windows.
        """
        count = self.counts[dimension]
        ends = self.origins_along(dimension, np.array([0, count - 1]))
        borders = np.arange(ends[0] // extent + 1, ends[1] // extent + 1, dtype=np.int64) * extent
        start, step = self.ranges[dimension][0], self.stride[dimension]
        places = np.minimum(-(-(borders - start) // step), count - 1)
        ascending = np.concatenate([[0], places, [count]])
        return np.asarray(ascending[np.append(True, np.diff(ascending) > 0)], dtype=np.int64)

    def _count(self, room: int, *, step: int) -> int:
        if self.edges is Edges.PAD:
            return 1 + math.ceil(max(0, room) / step)
        if room < 0:
            return 0
        return 1 + (room // step if self.edges is Edges.DROP else math.ceil(room / step))


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """All windows of one split.

    Attributes:
        boxes: Their grids, one for each box of the split that holds a window.
        window: Window extents.
        repeats: How often an epoch takes each window, (window,): 0 leaves it out; None takes each of them once.
    """

    boxes: tuple[BoxWindows, ...]
    window: Extents
    repeats: Repeats | None = None

    def __len__(self) -> int:
        return int(self.first_of_box[-1])

    def repeated(self, times: int | Indices) -> "WindowPlan":
        """The same windows, each so many times as often; a number for all of them, or (window,).

        Raises:
            InputError: If that is more often than can be counted.
        """
        if np.ndim(times) == 0 and times == 1:
            return self
        before = 1 if self.repeats is None else self.repeats.astype(np.int64)
        repeats = np.broadcast_to(before * times, len(self))
        if repeats.max(initial=0) > MOST_REPEATS:
            raise InputError(
                f"an epoch would take a window {repeats.max()} times, at most {MOST_REPEATS} are possible."
            )
        return WindowPlan(self.boxes, self.window, repeats.astype(np.uint16))

    @cached_property
    def epoch_length(self) -> int:
        """Windows that an epoch takes."""
        return len(self) if self.repeats is None else int(self.repeats.sum(dtype=np.int64))

    @cached_property
    def first_of_box(self) -> Indices:
        """Number of the first window of each box, and at the end the number of all windows."""
        return np.cumsum([0, *(math.prod(box.counts) for box in self.boxes)], dtype=np.int64)

    def ranges(self, windows: Indices) -> tuple[Indices, Indices]:
        """Where windows lie, cut at their boxes.

        Args:
            windows: Their numbers, (window,).

        Returns:
            First samples and ends, (window, dimension) each. Where an end is less than the window's extent away, the
            window reaches beyond its box.

        Raises:
            IndexError: If there is no such window.
        """
        if len(windows) and not (windows.min() >= 0 and windows.max() < len(self)):
            raise IndexError(f"windows {windows.min()} to {windows.max()} of {len(self)}")
        if len(self.boxes) == 1:
            return self.boxes[0].ranges_of(windows)
        starts = np.empty((len(windows), len(self.window)), dtype=np.int64)
        ends = np.empty_like(starts)
        box_of = np.searchsorted(self.first_of_box, windows, side="right") - 1
        for number in np.unique(box_of):
            chosen = box_of == number
            in_box = windows[chosen] - self.first_of_box[number]
            starts[chosen], ends[chosen] = self.boxes[number].ranges_of(in_box)
        return starts, ends

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan: two plans with the same digest give the same windows as often."""
        boxes = [[box.ranges, box.window, box.stride, box.edges] for box in self.boxes]
        digest = hashlib.sha256(json.dumps(boxes, separators=(",", ":")).encode())
        if self.repeats is not None:
            digest.update(self.repeats.tobytes())
        return digest.hexdigest()


def plan_windows(
    boxes: Sequence[Ranges], *, window: Extents, stride: Extents, edges: Edges = Edges.SHIFT
) -> WindowPlan:
    """Plans the windows of some boxes; none of them touches another box than its own."""
    grids = (BoxWindows(ranges, window, stride, edges) for ranges in boxes)
    return WindowPlan(boxes=tuple(grid for grid in grids if all(grid.counts)), window=window)


def guard_between(one: Ranges, other: Ranges) -> Extents:
    """Samples between two boxes along each dimension; negative where they overlap along it."""
    return tuple(max(first[0], second[0]) - min(first[1], second[1]) for first, second in zip(one, other, strict=True))
