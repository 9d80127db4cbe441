"""Groups of windows that share chunks: what is decoded together, and in which order its windows come.

A *block* is a box of whole chunks, and a *group* is the windows whose origins lie in one. A group is walked slab by
slab along one dimension, and only inside a slab are windows shuffled: so a lane that reads it holds the chunks of a
slab and of what its windows reach over, not those of the whole block:

              walk ▸
        ┌──────┬──────┬──────┬──────┐
        │ slab │ slab │ slab │ slab │   one block; all its windows are one group
        │  0   │  1   │  2   │  3   │   held at a time: a slab, and the halo that its windows reach into
        └──────┴──────┴──────┴──────┘

What neighbouring blocks share, their halo, is read for each of them: large blocks read less, long ones cost no memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from trainer.plan.windows import BoxWindows, Extents, Indices, WindowPlan


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a plan; they count box by box, and in each box like windows do.

    Attributes:
        plan: The windows.
        block: Samples of a block along each dimension, whole chunks.
        walk: The dimension along which slabs follow each other.
        slab: Samples of a slab along it, whole chunks.
    """

    plan: WindowPlan
    block: Extents
    walk: int
    slab: int

    @cached_property
    def lengths(self) -> Indices:
        """Windows that an epoch takes of each group, (group,)."""
        return np.concatenate([self._lengths_in_box(number) for number in range(len(self.plan.boxes))])

    @property
    def text(self) -> str:
        """All that the groups follow from."""
        return f"{self.plan.digest} {self.block} {self.walk} {self.slab}"

    @cached_property
    def are_single(self) -> bool:
        """Whether each group is one window, the one of the same number."""
        return len(self.lengths) == len(self.plan) and self.plan.repeats is None

    def slabs(self, group: int) -> Iterator[Indices]:
        """The windows of a group, slab by slab, each as often as an epoch takes it."""
        if self.are_single:
            yield np.array([group])
            return
        number, places = self._places(group)
        box, repeats = self.plan.boxes[number], self.plan.repeats
        slab_of = box.origins_along(self.walk, places[self.walk]) // self.slab
        for cut in np.split(places[self.walk], np.flatnonzero(np.diff(slab_of)) + 1):
            of_slab = [cut if dimension == self.walk else along for dimension, along in enumerate(places)]
            windows = np.ravel_multi_index(np.ix_(*of_slab), box.counts).ravel() + self.plan.first_of_box[number]
            yield windows if repeats is None else np.repeat(windows, repeats[windows])

    def _places(self, group: int) -> tuple[int, list[Indices]]:
        number = int(np.searchsorted(self._first_of_box, group, side="right")) - 1
        starts = self._runs(number)
        run = np.unravel_index(group - self._first_of_box[number], tuple(len(along) - 1 for along in starts))
        return number, [np.arange(along[at], along[at + 1]) for along, at in zip(starts, run, strict=True)]

    @cached_property
    def _first_of_box(self) -> Indices:
        counts = [math.prod(len(along) - 1 for along in self._runs(box)) for box in range(len(self.plan.boxes))]
        return np.cumsum([0, *counts], dtype=np.int64)

    def _lengths_in_box(self, number: int) -> Indices:
        starts = self._runs(number)
        if self.plan.repeats is None:
            lengths = np.ones(1, dtype=np.int64)
            for along in starts:
                lengths = np.multiply.outer(lengths, np.diff(along)).ravel()
            return lengths
        first, end = self.plan.first_of_box[number : number + 2]
        sums = self.plan.repeats[first:end].reshape(self.plan.boxes[number].counts)
        for dimension, along in enumerate(starts):
            sums = np.add.reduceat(sums, along[:-1], axis=dimension, dtype=np.int64)
        return np.asarray(sums, dtype=np.int64).ravel()

    def _runs(self, number: int) -> list[Indices]:
        box = self.plan.boxes[number]
        return [_runs_along(box, dimension, extent) for dimension, extent in enumerate(self.block)]


@dataclass(frozen=True, eq=False)
class JoinedGroups:
    """The groups of one dataset after the other, and the windows likewise.

    Attributes:
        parts: Those of each dataset.
    """

    parts: tuple[Groups, ...]

    @cached_property
    def window_count(self) -> int:
        """Windows of all plans."""
        return int(self.first_windows[-1])

    @cached_property
    def epoch_length(self) -> int:
        """Windows that an epoch takes."""
        return sum(part.plan.epoch_length for part in self.parts)

    @cached_property
    def first_windows(self) -> Indices:
        """Number of the first window of each part, and at the end that of all windows."""
        return np.cumsum([0, *(len(part.plan) for part in self.parts)], dtype=np.int64)

    @cached_property
    def lengths(self) -> Indices:
        """Windows that an epoch takes of each group, (group,)."""
        return np.concatenate([part.lengths for part in self.parts])

    @cached_property
    def times(self) -> Indices:
        """How often an epoch takes each window, (window,)."""
        plans = (part.plan for part in self.parts)
        return np.concatenate([np.ones(len(p), np.int64) if p.repeats is None else p.repeats for p in plans])

    @cached_property
    def repeat(self) -> bool:
        """Whether an epoch takes a window more than once."""
        return any(part.plan.repeats is not None and bool((part.plan.repeats > 1).any()) for part in self.parts)

    @cached_property
    def taken(self) -> Indices:
        """The windows that an epoch takes at all."""
        return np.flatnonzero(self.times)

    @property
    def text(self) -> str:
        """All that the groups follow from."""
        return " ".join(part.text for part in self.parts)

    @cached_property
    def are_single(self) -> bool:
        """Whether each group is one window, the one of the same number."""
        return all(part.are_single for part in self.parts)

    def slabs(self, group: int) -> Iterator[Indices]:
        """The windows of a group, slab by slab, each as often as an epoch takes it."""
        part = int(np.searchsorted(self._first_groups, group, side="right")) - 1
        for slab in self.parts[part].slabs(group - int(self._first_groups[part])):
            yield slab + self.first_windows[part]

    @cached_property
    def _first_groups(self) -> Indices:
        return np.cumsum([0, *(len(part.lengths) for part in self.parts)], dtype=np.int64)


@lru_cache(maxsize=1024)
def _runs_along(box: BoxWindows, dimension: int, extent: int) -> Indices:
    return box.runs_along(dimension, extent=extent)
