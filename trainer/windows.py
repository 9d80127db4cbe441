"""Where windows lie: a plan of integers, O(1) for each window and small whatever their number.

Axes: a *window* spans all dimensions of the variable, slowest first, in samples; dimensions that the network does not
see have extent 1. Ranges are half-open. Windows count box by box, the last dimension fastest.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Extents = tuple[int, ...]
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class BoxWindows:
    """The windows of one box: a regular grid of origins whose last row along each dimension is flush with the end.

    Attributes:
        ranges: The box, a range for each dimension.
        window: Window extents.
        stride: Samples between neighbouring origins.
    """

    ranges: Ranges
    window: Extents
    stride: Extents

    @property
    def counts(self) -> Extents:
        """Windows along each dimension; 0 where the window is larger than the box."""
        return tuple(
            0 if stop - start < extent else 1 + math.ceil((stop - start - extent) / step)
            for (start, stop), extent, step in zip(self.ranges, self.window, self.stride, strict=True)
        )

    def origins_along(self, dimension: int) -> npt.NDArray[np.int64]:
        """First samples of the windows along one dimension, ascending."""
        start, stop = self.ranges[dimension]
        regular = start + np.arange(self.counts[dimension], dtype=np.int64) * self.stride[dimension]
        return np.minimum(regular, stop - self.window[dimension])


@dataclass(frozen=True)
class WindowPlan:
    """All windows of one split.

    Attributes:
        boxes: Their grids, one for each box of the split that holds a window.
        window: Window extents.
    """

    boxes: tuple[BoxWindows, ...]
    window: Extents

    def __len__(self) -> int:
        return int(self.first_of_box[-1])

    @cached_property
    def first_of_box(self) -> npt.NDArray[np.int64]:
        """Number of the first window of each box, and at the end the number of all windows."""
        return np.cumsum([0, *(math.prod(box.counts) for box in self.boxes)], dtype=np.int64)

    def origin(self, index: int) -> Extents:
        """First sample of window ``index`` along each dimension.

        Raises:
            IndexError: If there is no such window.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        number = int(np.searchsorted(self.first_of_box, index, side="right")) - 1
        box = self.boxes[number]
        places = np.unravel_index(index - int(self.first_of_box[number]), box.counts)
        return tuple(
            min(start + int(place) * step, stop - extent)
            for place, (start, stop), step, extent in zip(places, box.ranges, box.stride, box.window, strict=True)
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan as canonical JSON: two plans with the same digest give the same windows."""
        canonical = json.dumps([[box.ranges, box.window, box.stride] for box in self.boxes], separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def plan_windows(boxes: Sequence[Ranges], *, window: Extents, stride: Extents) -> WindowPlan:
    """Plans the windows that lie wholly inside one of the boxes; boxes smaller than a window hold none."""
    grids = (BoxWindows(ranges=ranges, window=window, stride=stride) for ranges in boxes)
    return WindowPlan(boxes=tuple(grid for grid in grids if all(grid.counts)), window=window)


def guard_between(one: Ranges, other: Ranges) -> Extents:
    """Samples between two boxes along each dimension; negative where they overlap along it."""
    return tuple(max(first[0], second[0]) - min(first[1], second[1]) for first, second in zip(one, other, strict=True))
