"""Which windows make which global batch: a pure function of (seed, epoch, plan), whatever the number of ranks.

Windows whose origins lie in the same block of chunks form a *group*. The groups of an epoch are permuted; a *pool* is a
few neighbours in that permutation, and inside it windows are shuffled. So a batch mixes several places, while the
chunks in use stay those of one pool, or of two where one ends:

    groups   7 2 9 0 | 4 1 8 3 | 6 5        permuted by (seed, epoch)
    pools    shuffled  shuffled  shuffled   by (seed, epoch, number of the pool)
    batches  ---- ---- ---- ---- ---- ----  cut from the sequence; the last one is filled with PADDING
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data_catalog import InputError
from trainer.randomness import Purpose, stream
from trainer.windows import BoxWindows, Extents, WindowPlan

PADDING = -1
"""Stands for no window: fills up the last batch of an epoch and weighs nothing."""

Indices = npt.NDArray[np.int64]


class Order(Protocol):
    """A sequence of windows for each epoch."""

    @property
    def plan(self) -> WindowPlan:
        """The windows that are ordered."""

    def sequence(self, epoch: int, *, start: int, stop: int) -> Indices:
        """Window numbers at places ``start`` to ``stop`` of an epoch, both inside it."""


@dataclass(frozen=True)
class PlanOrder:
    """The order of the plan, the same in every epoch: for validation.

    Attributes:
        plan: The windows.
    """

    plan: WindowPlan

    def sequence(self, epoch: int, *, start: int, stop: int) -> Indices:
        """Window numbers at places ``start`` to ``stop``, which are the places themselves."""
        return np.arange(start, stop, dtype=np.int64)


@dataclass(frozen=True)
class ShuffledOrder:
    """A random order that keeps windows of the same chunks together: for training.

    Attributes:
        plan: The windows.
        block: Samples of a block of chunks along each dimension.
        pool_groups: Groups whose windows are mixed.
        seed: Of the run.
    """

    plan: WindowPlan
    block: Extents
    pool_groups: int
    seed: int

    @cached_property
    def group_sizes(self) -> Indices:
        """Windows in each group, (group,), box by box."""
        return np.concatenate([_outer_product(_run_lengths(self, box)) for box in self.plan.boxes])

    def digest(self, *, batch_size: int) -> str:
        """SHA-256 of all that the global batches follow from, the epoch and the step aside."""
        text = f"{self.plan.digest} {self.block} {self.pool_groups} {self.seed} {batch_size}"
        return hashlib.sha256(text.encode()).hexdigest()

    def sequence(self, epoch: int, *, start: int, stop: int) -> Indices:
        """Window numbers at places ``start`` to ``stop`` of an epoch."""
        first_of_pool = _epoch_layout(self, epoch)[1]
        first, last = np.searchsorted(first_of_pool, [start, stop - 1], side="right") - 1
        pools = np.concatenate([_pool_windows(self, epoch, pool) for pool in range(first, last + 1)])
        offset = int(first_of_pool[first])
        return pools[start - offset : stop - offset]


def steps_per_epoch(order: Order, *, batch_size: int) -> int:
    """Global batches of an epoch; the last one may hold `PADDING`."""
    return math.ceil(len(order.plan) / batch_size)


def global_batch(order: Order, *, step: int, batch_size: int) -> tuple[int, Indices]:
    """The windows of one step over all ranks.

    Args:
        order: The sequence of each epoch.
        step: Counts from 0 over the whole run.
        batch_size: Windows of a step over all ranks.

    Returns:
        The epoch, and window numbers, (batch_size,), filled up with `PADDING` at the end of an epoch.
    """
    epoch, place = divmod(step, steps_per_epoch(order, batch_size=batch_size))
    start = place * batch_size
    windows = order.sequence(epoch, start=start, stop=min(start + batch_size, len(order.plan)))
    return epoch, np.pad(windows, (0, batch_size - len(windows)), constant_values=PADDING)


def share_of_rank(windows: Indices, *, rank: int, world_size: int) -> Indices:
    """A rank's part of a global batch: equal contiguous parts."""
    share = len(windows) // world_size
    return windows[rank * share : (rank + 1) * share]


def check_divides(batch_size: int, *, world_size: int) -> None:
    """Refuses a global batch that cannot be dealt evenly.

    Raises:
        InputError: If ``world_size`` does not divide ``batch_size``.
    """
    if batch_size % world_size:
        divisors = ", ".join(str(count) for count in range(1, batch_size + 1) if batch_size % count == 0)
        raise InputError(
            f"batch_size is {batch_size} windows over all ranks, and {world_size} processes cannot share it evenly: "
            f"start {divisors} processes, or choose a multiple of {world_size}."
        )


@lru_cache(maxsize=2)
def _epoch_layout(order: ShuffledOrder, epoch: int) -> tuple[Indices, Indices]:
    groups = stream(order.seed, epoch, purpose=Purpose.GROUPS).permutation(len(order.group_sizes))
    first_of_group = np.cumsum(order.group_sizes[groups]) - order.group_sizes[groups]
    return groups, first_of_group[:: order.pool_groups]


@lru_cache(maxsize=4)
def _pool_windows(order: ShuffledOrder, epoch: int, pool: int) -> Indices:
    groups = _epoch_layout(order, epoch)[0][pool * order.pool_groups : (pool + 1) * order.pool_groups]
    windows = np.concatenate([_group_windows(order, int(group)) for group in groups])
    return stream(order.seed, epoch, pool, purpose=Purpose.POOL).permutation(windows)


def _group_windows(order: ShuffledOrder, group: int) -> Indices:
    groups_of_box = [math.prod(map(len, _run_lengths(order, box))) for box in order.plan.boxes]
    first_of_box = np.cumsum([0, *groups_of_box])
    number = int(np.searchsorted(first_of_box, group, side="right")) - 1
    box = order.plan.boxes[number]
    lengths = _run_lengths(order, box)
    runs = np.unravel_index(group - first_of_box[number], tuple(map(len, lengths)))
    places = [length[:run].sum() + np.arange(length[run]) for run, length in zip(runs, lengths, strict=True)]
    in_box = np.ravel_multi_index(np.ix_(*places), box.counts).ravel()
    return np.asarray(in_box + order.plan.first_of_box[number], dtype=np.int64)


@lru_cache(maxsize=1024)
def _run_lengths(order: ShuffledOrder, box: BoxWindows) -> tuple[Indices, ...]:
    """Windows whose origins share a block, along each dimension: runs, as origins ascend."""
    return tuple(
        np.unique(box.origins_along(dimension) // extent, return_counts=True)[1].astype(np.int64)
        for dimension, extent in enumerate(order.block)
    )


def _outer_product(lengths: tuple[Indices, ...]) -> Indices:
    product = np.ones(1, dtype=np.int64)
    for along in lengths:
        product = np.multiply.outer(product, along).ravel()
    return product
