"""How large groups should be: what a rank may hold decides, and then how often chunks are read.

A window that crosses into a neighbouring block takes chunks of it along, its *halo*. Halos are read again for each
group that needs them, so large blocks read less and hold more; a block that is long along its walk reads less and holds
no more. Nothing is simulated: the chunks that a block touches are a product over dimensions, and their sum over all
blocks is a product of sums.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, product

import numpy as np
from pydantic import BaseModel, ConfigDict

from data_catalog import InputError
from trainer.plan.groups import Groups, JoinedGroups
from trainer.plan.windows import BoxWindows, Extents, Indices, WindowPlan

MOST_GROUPS = 2**20
"""More take seconds to permute, and mix no better."""

MOST_LANES = 4
"""Of a slot: neighbouring batches then correlate by about 1/16, even where the windows of a group are all alike."""

FEW_READS = 2.0
"""Rather fewer lanes than reading chunks more often than this, on average."""

EVERYTHING = 2**62
"""Samples of a block that nothing is larger than."""

ENOUGH = 1.05
"""Blocks are not made larger for the last five per cent of reading: more of them mix better."""


@dataclass(frozen=True, slots=True)
class ChunkGrid:
    """The chunks of a variable, as windows meet them.

    Attributes:
        chunk: Samples of a chunk along each dimension of the plan; None where the variable does not have it.
        nbytes: Decoded bytes of a chunk; of all those together that follow each other along dimensions that the plan
            does not have, since those are read whole.
    """

    chunk: tuple[int | None, ...]
    nbytes: int


@dataclass(frozen=True, slots=True)
class ChunkedPlan:
    """The windows of one dataset and the chunks under them.

    Attributes:
        plan: The windows.
        grids: Chunks of all variables that are read; the first one has all dimensions of the plan.
    """

    plan: WindowPlan
    grids: Sequence[ChunkGrid]


class Block(BaseModel):
    """What makes the groups of one dataset of its plan: see `Groups`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    extents: Extents
    walk: int
    slab: int


class GroupShape(BaseModel):
    """The choice that an order depends on; a run keeps it, and goes on with it on any budget that has room for it.

    Attributes:
        lanes: Lanes of a slot.
        blocks: Of each dataset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    lanes: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """Groups and lanes that fit.

    Attributes:
        groups: The groups.
        shape: The choice that made them.
        lane_nbytes: Most bytes of decoded chunks that a lane needs at once.
        amplification: Decoded bytes of an epoch over those of the chunks that it touches.
        well_mixed_nbytes: Budget with room for `MOST_LANES` lanes.
    """

    groups: JoinedGroups
    shape: GroupShape
    lane_nbytes: int
    amplification: float
    well_mixed_nbytes: int


def choose_grouping(
    parts: Sequence[ChunkedPlan],
    *,
    batch_size: int,
    ranks: int,
    threads: int,
    budget_nbytes: int,
    lanes: int | None = None,
    shape: GroupShape | None = None,
) -> Grouping:
    """Chooses, of the blocks that fit, those that read hardly more than the best of them, and are as small as can be.

    Args:
        parts: The windows of each dataset.
        batch_size: Windows of a step over all ranks.
        ranks: The fewest that the run shall fit on.
        threads: Readers of a rank, each of which may decode a chunk that no lane holds.
        budget_nbytes: Most bytes of decoded chunks that a rank may hold.
        lanes: Lanes of a slot; None takes as many as fit, up to `MOST_LANES`, unless chunks are read often for it.
        shape: An earlier choice to keep to, if it fits; None chooses.

    Raises:
        InputError: With the bytes needed, where not even the smallest blocks fit.
    """
    if shape and lanes not in (None, shape.lanes):
        raise InputError(f"config.order.lanes is {lanes}, and the run began with {shape.lanes}: set it back.")
    decoding_nbytes = threads * max(grid.nbytes for part in parts for grid in part.grids)
    slots = math.ceil(batch_size / ranks)
    numbers = [shape.lanes] if shape else [lanes] if lanes else list(range(MOST_LANES, 0, -1))

    once_nbytes = sum(map(_read_once_nbytes, parts))
    all_held = once_nbytes + decoding_nbytes <= budget_nbytes
    candidates = _all_candidates(parts, kept=shape, all_held=all_held)

    def nbytes(candidate: _Candidate, *, lanes: int) -> int:
        return min(candidate.lane_nbytes * slots * lanes, once_nbytes) + decoding_nbytes

    def least_nbytes(lanes: int) -> int:
        return max(min(nbytes(each, lanes=lanes) for each in of) for of in candidates)

    def amplification(chosen: Sequence[_Candidate]) -> float:
        return sum(each.read_nbytes for each in chosen) / once_nbytes

    found = []
    for number in numbers:
        fitting = [[each for each in of if nbytes(each, lanes=number) <= budget_nbytes] for of in candidates]
        if all(fitting):
            found.append((number, _chosen(parts, fitting, batch_size=batch_size, lanes=number)))
    if not found:
        needed = least_nbytes(numbers[-1])
        raise InputError(
            f"config.feed.resident_nbytes is {budget_nbytes}, and the chunks that {slots} windows of a batch need at "
            f"once can take {needed} bytes: allow at least that, or choose a smaller batch_size or smaller windows, or "
            "more processes by config.order.ranks."
        )
    few = [each for each in found if amplification(each[1]) <= FEW_READS]
    number, chosen = few[0] if few else min(found, key=lambda each: amplification(each[1]))
    pairs = [(part.plan, each.block) for part, each in zip(parts, chosen, strict=True)]
    return Grouping(
        groups=JoinedGroups(tuple(Groups(plan, block.extents, block.walk, block.slab) for plan, block in pairs)),
        shape=GroupShape(lanes=number, blocks=tuple(each.block for each in chosen)),
        lane_nbytes=max(each.lane_nbytes for each in chosen),
        amplification=amplification(chosen),
        well_mixed_nbytes=least_nbytes(MOST_LANES),
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    block: Block
    group_count: int
    lane_nbytes: int
    read_nbytes: int


def _all_candidates(parts: Sequence[ChunkedPlan], *, kept: GroupShape | None, all_held: bool) -> list[list[_Candidate]]:
    """Of each dataset; where memory holds everything, nothing is read again, however large blocks are."""
    blocks = kept.blocks if kept else [None] * len(parts)
    found = [list(_candidates(part.plan, part.grids, block)) for part, block in zip(parts, blocks, strict=True)]
    if not all_held:
        return found
    once = map(_read_once_nbytes, parts)
    return [[replace(each, read_nbytes=nbytes) for each in of] for of, nbytes in zip(found, once, strict=True)]


def _chosen(
    parts: Sequence[ChunkedPlan], fitting: Sequence[Sequence[_Candidate]], *, batch_size: int, lanes: int
) -> list[_Candidate]:
    """One of each dataset, with its share of the groups that all lanes want."""
    windows = sum(part.plan.epoch_length for part in parts)
    return [
        _smallest_of_the_best(each, enough_groups=batch_size * lanes * part.plan.epoch_length / windows)
        for part, each in zip(parts, fitting, strict=True)
    ]


def _smallest_of_the_best(fitting: Sequence[_Candidate], *, enough_groups: float) -> _Candidate:
    candidates = [each for each in fitting if each.group_count >= enough_groups] or fitting
    least = min(each.read_nbytes for each in candidates)
    enough = [each for each in candidates if each.read_nbytes <= ENOUGH * least]
    return max(enough, key=lambda each: (each.group_count, -each.lane_nbytes))


def _read_once_nbytes(part: ChunkedPlan) -> int:
    """Decoded bytes of all chunks that are touched."""
    axes = range(len(part.plan.window))
    whole = [_blocks(part.plan, part.grids, axis=axis, extent=EVERYTHING) for axis in axes]
    return _read_nbytes(whole, part.grids)


def _candidates(plan: WindowPlan, grids: Sequence[ChunkGrid], kept: Block | None) -> Iterator[_Candidate]:
    """Every block worth a look, or the one that is kept; where all would make too many groups, the largest."""
    axes = range(len(plan.window))
    windows = [_windows(plan, grids, axis=axis) for axis in axes]
    if kept:
        options = [[_blocks(plan, grids, axis=axis, extent=kept.extents[axis])] for axis in axes]
    else:
        options = [_options(plan, grids, axis=axis, windows=windows[axis]) for axis in axes]
    one_window_nbytes = _most_nbytes([each.most for each in windows], grids)
    shares = any(each.share for each in windows)
    for parts in product(*options):
        group_count = sum(math.prod(runs) for runs in zip(*(part.runs for part in parts), strict=True))
        if group_count > MOST_GROUPS and any(
            part is not of_axis[-1] for part, of_axis in zip(parts, options, strict=True)
        ):
            continue
        for walk in [kept.walk] if kept else axes:
            slab = _blocks(plan, grids, axis=walk, extent=kept.slab) if kept else options[walk][0]
            held = [slab.most if axis == walk else part.most for axis, part in enumerate(parts)]
            # Going from one slab to the next, a lane holds what is left of the one and begins the other.
            lane_nbytes = _most_nbytes(held, grids) + one_window_nbytes if shares else 0
            block = Block(extents=tuple(part.extent for part in parts), walk=walk, slab=slab.extent)
            yield _Candidate(block, group_count, lane_nbytes, _read_nbytes(parts, grids))


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Windows along one dimension, whatever the others are.

    Attributes:
        most: Chunks that one of them touches at most, (grid,).
        cross: Whether one of them touches several.
        share: Whether neighbours touch the same chunk.
    """

    most: Indices
    cross: bool
    share: bool


def _windows(plan: WindowPlan, grids: Sequence[ChunkGrid], *, axis: int) -> _Windows:
    most, share = np.ones(len(grids), dtype=np.int64), False
    for box, (at, grid) in product(plan.boxes, enumerate(grids)):
        chunk, count = grid.chunk[axis], box.counts[axis]
        if chunk is None:
            share |= count > 1
            continue
        # How origins lie in chunks recurs after no more than `chunk` windows; only the last one may be shifted.
        places = np.unique(np.append(np.arange(min(count, chunk + 1)), [max(0, count - 2), count - 1]))
        first = box.origins_along(axis, places)
        first_chunk, last_chunk = _chunk_span(first, first, box=box, chunk=chunk, axis=axis)
        most[at] = max(most[at], (last_chunk - first_chunk + 1).max())
        share |= bool((last_chunk[:-1] >= first_chunk[1:]).any())
    return _Windows(most, cross=bool((most > 1).any()), share=share)


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Blocks of one extent along one dimension, whatever the others are.

    Attributes:
        extent: Samples of a block.
        runs: How many of them hold windows, for each box.
        touched: Chunks that they touch, added up, (box, grid).
        most: Chunks that one of them touches at most, (grid,).
    """

    extent: int
    runs: tuple[int, ...]
    touched: Indices
    most: Indices


def _options(plan: WindowPlan, grids: Sequence[ChunkGrid], *, axis: int, windows: _Windows) -> list[_Blocks]:
    """Blocks of ever more chunks along a dimension; where nothing crosses, of no more than keeps groups few."""
    chunk = grids[0].chunk[axis]
    assert chunk is not None, "the first variable has all dimensions"
    if not windows.cross:
        blocks = sum(-(-(stop - start) // chunk) for start, stop in (box.ranges[axis] for box in plan.boxes))
        together = 2 ** max(0, math.ceil(math.log2(blocks / MOST_GROUPS)))
        return [_blocks(plan, grids, axis=axis, extent=chunk * together)]
    options = [_blocks(plan, grids, axis=axis, extent=chunk)]
    for chunks in (part << half for half in count() for part in (2, 3)):
        if max(options[-1].runs) == 1:
            return options
        options.append(_blocks(plan, grids, axis=axis, extent=chunk * chunks))
    raise AssertionError("blocks grow for ever")


def _blocks(plan: WindowPlan, grids: Sequence[ChunkGrid], *, axis: int, extent: int) -> _Blocks:
    runs, touched = [], []
    for box in plan.boxes:
        places = box.runs_along(axis, extent=extent)
        first, last = box.origins_along(axis, places[:-1]), box.origins_along(axis, places[1:] - 1)
        runs.append(len(first))
        spans = [_chunk_span(first, last, box=box, chunk=grid.chunk[axis], axis=axis) for grid in grids]
        touched.append([last_chunk - first_chunk + 1 for first_chunk, last_chunk in spans])
    return _Blocks(
        extent=extent,
        runs=tuple(runs),
        touched=np.array([[int(each.sum()) for each in of_box] for of_box in touched]),
        most=np.array([[int(each.max()) for each in of_box] for of_box in touched]).max(axis=0),
    )


def _chunk_span(
    first: Indices, last: Indices, *, box: BoxWindows, chunk: int | None, axis: int
) -> tuple[Indices, Indices]:
    """First and last chunk under the windows that begin from ``first`` to ``last``, both included."""
    if chunk is None:
        return np.zeros_like(first), np.zeros_like(last)
    ends = np.minimum(last + box.window[axis], box.ranges[axis][1])
    return first // chunk, (ends - 1) // chunk


def _read_nbytes(parts: Sequence[_Blocks], grids: Sequence[ChunkGrid]) -> int:
    """Decoded bytes that all groups read together."""
    chunks = np.prod([part.touched for part in parts], axis=0, dtype=object).sum(axis=0)
    return _nbytes(chunks, grids)


def _most_nbytes(most: Sequence[Indices], grids: Sequence[ChunkGrid]) -> int:
    """Decoded bytes under one box, from its chunks along each dimension."""
    return _nbytes(np.prod(most, axis=0, dtype=object), grids)


def _nbytes(chunks: Sequence[int], grids: Sequence[ChunkGrid]) -> int:
    return int(sum(number * grid.nbytes for number, grid in zip(chunks, grids, strict=True)))
