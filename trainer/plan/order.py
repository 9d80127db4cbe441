"""Which windows make which global batch: a pure function of (seed, epoch, step), whatever the number of ranks.

Each place in a batch, a *slot*, is filled from *lanes* of its own. The groups of an epoch are permuted, their windows
strung together and cut into as many equal runs as there are lanes; a lane walks its run from one end to the other:

    groups   7 . . . | 2 . . | 9 . . . . | 0 . . | 4 . . . | 1 . . ...     permuted by (seed, epoch)
    lanes    [ slot 0, lane 0 ][ slot 0, lane 1 ][ slot 1, lane 0 ][ slot 1, lane 1 ] ...
    slot 0   takes one window from each of its lanes in turn, in an order drawn anew for each turn
    batch t  is what all slots take at step t; rank r of W serves the slots r, r + W, r + 2 W ...

So all windows of a batch come from different places, and so do those of neighbouring batches; a chunk is decoded by one
rank, but for halos and the groups that are cut between lanes; each lane holds the chunks of one slab; and all that is
arithmetic on the step, so that a run goes on anywhere on any number of ranks.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from data_catalog import InputError
from trainer.plan.groups import JoinedGroups
from trainer.plan.windows import Indices
from trainer.randomness import Purpose, hashed, stream

PADDING = -1
"""Stands for no window: fills up the last batch of an epoch and weighs nothing."""


@dataclass(frozen=True, eq=False)
class Order:
    """The windows of each epoch in batches.

    Attributes:
        groups: The windows, and which of them share chunks.
        batch_size: Windows of a step over all ranks: slots.
        lanes: Lanes of each slot: more of them mix better and hold more chunks.
        seed: Of the run; None keeps the order of the plan, in every epoch, for scoring.
    """

    groups: JoinedGroups
    batch_size: int
    lanes: int
    seed: int | None

    @property
    def steps_per_epoch(self) -> int:
        """Global batches of an epoch; the last one may hold `PADDING`."""
        return math.ceil(self.groups.epoch_length / self.batch_size)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the global batches follow from, the step aside."""
        text = f"{self.groups.text} {self.batch_size} {self.lanes} {self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def lane_lengths(self) -> Indices:
        """Windows of each lane."""
        return np.diff(self._cuts)

    def turns(self, place: int, *, epoch: int) -> tuple[Indices, Indices]:
        """Which lane each slot takes its window from, and the how manieth of that lane it is.

        Args:
            place: Of the step in its epoch.
            epoch: Counts from 0.

        Returns:
            The lane of each slot, (slot,), counted over all slots, and the place in it, (slot,); both `PADDING` where
            an epoch has no window left.
        """
        turn, which = divmod(place, self.lanes)
        lanes = _lanes_of_turn(self, epoch, turn)[:, which]
        return lanes, np.where(lanes == PADDING, PADDING, turn)

    def stretch(self, lane: int, place: int, *, epoch: int) -> Indices:
        """The windows of a lane from a place on, as far as they are of one group."""
        first, end = self._cuts[lane : lane + 2].tolist()
        groups, first_of_group, begin = _permuted(self, epoch)
        start = (begin + first + place) % self.groups.epoch_length
        at = int(np.searchsorted(first_of_group, start, side="right")) - 1
        offset = start - int(first_of_group[at])
        return _windows_of_group(self, epoch, int(groups[at]))[offset : offset + end - first - place]

    def single(self, lanes: Indices, places: Indices, *, epoch: int) -> Indices:
        """The windows of lanes at places, where each group is a single one; `PADDING` where a lane is."""
        groups, _, begin = _permuted(self, epoch)
        windows = groups[(begin + self._cuts[lanes] + places) % self.groups.epoch_length]
        return np.where(lanes == PADDING, PADDING, windows)

    def batch(self, step: int) -> tuple[int, Indices]:
        """The windows of one step over all ranks.

        Args:
            step: Counts from 0 over the whole run.

        Returns:
            The epoch, and window numbers, (batch_size,), with `PADDING` at the end of an epoch.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        lanes, places = self.turns(place, epoch=epoch)
        windows = [
            PADDING if lane == PADDING else self.stretch(lane, at, epoch=epoch)[0]
            for lane, at in zip(lanes.tolist(), places.tolist(), strict=True)
        ]
        return epoch, np.asarray(windows, dtype=np.int64)

    @cached_property
    def _cuts(self) -> Indices:
        """Where each lane begins in the string of all windows of an epoch, and at the end the length of that."""
        slots = [
            _even_cut(self.groups.epoch_length, parts=self.batch_size, part=slot) for slot in range(self.batch_size)
        ]
        lanes = [
            first + _even_cut(end - first, parts=self.lanes, part=number)[0]
            for first, end in slots
            for number in range(self.lanes)
        ]
        return np.array([*lanes, self.groups.epoch_length], dtype=np.int64)


def slots_of_rank(batch_size: int, *, rank: int, world_size: int) -> range:
    """The slots that a rank serves."""
    return range(rank, batch_size, world_size)


def largest_share(batch_size: int, *, world_size: int) -> int:
    """Slots of the rank that serves most."""
    return len(slots_of_rank(batch_size, rank=0, world_size=world_size))


def check_share(batch_size: int, *, world_size: int) -> None:
    """Refuses more ranks than there are windows in a batch.

    Raises:
        InputError: If a rank would have none.
    """
    if world_size > batch_size:
        raise InputError(
            f"config.batch_size is {batch_size} windows over all ranks, too few for {world_size} processes: start at "
            f"most {batch_size}, or choose a larger batch_size."
        )


def _even_cut(length: int, *, parts: int, part: int) -> tuple[int, int]:
    """First and end of one of the parts of a length; the first ones are longer by one where it does not divide."""
    each, longer = divmod(length, parts)
    first = part * each + min(part, longer)
    return first, first + each + (part < longer)


@lru_cache(maxsize=16)
def _lanes_of_turn(order: Order, epoch: int, turn: int) -> Indices:
    """The lane that each slot takes at each step of a turn, (slot, lane); `PADDING` behind those with nothing left."""
    lanes = np.arange(order.batch_size * order.lanes)
    if order.seed is None:
        keys = lanes.astype(np.uint64)
    else:
        seed = int(stream(order.seed, epoch, turn, purpose=Purpose.LANES).integers(2**63))
        keys = hashed(lanes.astype(np.uint64), key=seed)
    ended = order.lane_lengths <= turn
    shape = order.batch_size, order.lanes
    in_turn = np.lexsort((keys.reshape(shape), ended.reshape(shape)), axis=1)
    taken = np.take_along_axis(lanes.reshape(shape), in_turn, axis=1)
    return np.where(ended[taken], PADDING, taken)


@lru_cache(maxsize=4)
def _permuted(order: Order, epoch: int) -> tuple[Indices, Indices, int]:
    """The groups of an epoch in its order, the first window of each in the string of all, and where the string begins.

    The string is closed to a ring and opened elsewhere in each epoch: groups, of equal length as they often are, would
    be cut at the same windows in all of them.
    """
    lengths = order.groups.lengths
    taken, begin = np.flatnonzero(lengths), 0
    if order.seed is not None:
        generator = stream(order.seed, epoch, purpose=Purpose.GROUPS)
        taken, begin = generator.permutation(taken), int(generator.integers(order.groups.epoch_length))
    of_taken = lengths[taken]
    return taken, np.cumsum(of_taken) - of_taken, begin


@lru_cache(maxsize=256)
def _windows_of_group(order: Order, epoch: int, group: int) -> Indices:
    slabs = list(order.groups.slabs(group))
    if order.seed is not None and any(len(slab) > 1 for slab in slabs):
        generator = stream(order.seed, epoch, group, purpose=Purpose.SLAB)
        slabs = [generator.permutation(slab) for slab in slabs]
    return np.concatenate(slabs)
