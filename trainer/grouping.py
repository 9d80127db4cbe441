"""How large groups should be: what a rank may hold decides, and then how often chunks are read.

A window that crosses into a neighbouring block takes chunks of it along, its *halo*. Halos are read again for each
group that needs them, so large blocks read less and hold more; a block that is long along its walk reads less and holds
no more. Nothing is simulated: the chunks that a block touches are a product over dimensions, and their sum over all
blocks is a product of sums.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, product

import numpy as np

from data_catalog import InputError
from trainer.groups import Groups
from trainer.windows import BoxWindows, Extents, Indices, WindowPlan

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
class Grouping:
    """Groups and lanes that fit.

    Attributes:
        groups: The groups.
        lanes: Lanes of a slot.
        lane_nbytes: Most bytes of decoded chunks that a lane needs at once.
        amplification: Decoded bytes of an epoch over those of the chunks that it touches.
    """

    groups: Groups
    lanes: int
    lane_nbytes: int
    amplification: float


def choose_grouping(
    plan: WindowPlan,
    grids: Sequence[ChunkGrid],
    *,
    batch_size: int,
    ranks: int,
    threads: int,
    budget_nbytes: int,
    lanes: int | None = None,
) -> Grouping:
    """Chooses, of the blocks that fit, one that reads hardly more than the best of them, and is as small as can be.

    Args:
        plan: The windows.
        grids: Chunks of all variables that are read; the first one has all dimensions of the plan.
        batch_size: Windows of a step over all ranks.
        ranks: The fewest that the run shall fit on.
        threads: Readers of a rank, each of which may decode a chunk that no lane holds.
        budget_nbytes: Most bytes of decoded chunks that a rank may hold.
        lanes: Lanes of a slot; None takes as many as fit, up to `MOST_LANES`, unless chunks are read often for it.

    Raises:
        InputError: With the bytes needed, where not even the smallest block fits.
    """
    candidates, slots = list(_candidates(plan, grids)), math.ceil(batch_size / ranks)
    decoding_nbytes = threads * max(grid.nbytes for grid in grids)
    numbers = [lanes] if lanes else list(range(MOST_LANES, 0, -1))
    found = []
    for number in numbers:
        fitting = [each for each in candidates if each.lane_nbytes * slots * number + decoding_nbytes <= budget_nbytes]
        for_all_lanes = [each for each in fitting if each.group_count >= batch_size * number]
        if fitting:
            found.append(_grouping(plan, grids, _smallest_of_the_best(for_all_lanes or fitting), lanes=number))
    if not found:
        needed = min(each.lane_nbytes for each in candidates) * slots * numbers[-1] + decoding_nbytes
        raise InputError(
            f"config.feed.resident_nbytes is {budget_nbytes}, and the chunks that {slots} windows of a batch need at "
            f"once can take {needed} bytes: allow at least that, or choose a smaller batch_size or smaller windows."
        )
    few = [grouping for grouping in found if grouping.amplification <= FEW_READS]
    return few[0] if few else min(found, key=lambda grouping: grouping.amplification)


@dataclass(frozen=True, slots=True)
class _Candidate:
    block: Extents
    walk: int
    slab: int
    group_count: int
    lane_nbytes: int
    read_nbytes: int


def _smallest_of_the_best(candidates: Sequence[_Candidate]) -> _Candidate:
    least = min(each.read_nbytes for each in candidates)
    enough = [each for each in candidates if each.read_nbytes <= ENOUGH * least]
    return max(enough, key=lambda each: (each.group_count, -each.lane_nbytes))


def _grouping(plan: WindowPlan, grids: Sequence[ChunkGrid], chosen: _Candidate, *, lanes: int) -> Grouping:
    axes = range(len(plan.window))
    once = _read_nbytes([_blocks(plan, grids, axis=axis, extent=EVERYTHING) for axis in axes], grids)
    groups = Groups(plan, chosen.block, chosen.walk, chosen.slab)
    return Grouping(groups, lanes, chosen.lane_nbytes, chosen.read_nbytes / once)


def _candidates(plan: WindowPlan, grids: Sequence[ChunkGrid]) -> Iterator[_Candidate]:
    """Every block worth a look; where all would make too many groups, the largest."""
    axes = range(len(plan.window))
    windows = [_windows(plan, grids, axis=axis) for axis in axes]
    options = [_options(plan, grids, axis=axis, windows=windows[axis]) for axis in axes]
    one_window_nbytes = _most_nbytes([each.most for each in windows], grids)
    shares = any(each.share for each in windows)
    for parts in product(*options):
        group_count = sum(math.prod(runs) for runs in zip(*(part.runs for part in parts), strict=True))
        if group_count > MOST_GROUPS and any(
            part is not of_axis[-1] for part, of_axis in zip(parts, options, strict=True)
        ):
            continue
        for walk in axes:
            slab = options[walk][0]
            held = [slab.most if axis == walk else part.most for axis, part in enumerate(parts)]
            # Going from one slab to the next, a lane holds what is left of the one and begins the other.
            lane_nbytes = _most_nbytes(held, grids) + one_window_nbytes if shares else 0
            block = tuple(part.extent for part in parts)
            read_nbytes = _read_nbytes(parts, grids)
            yield _Candidate(block, walk, slab.extent, group_count, lane_nbytes, read_nbytes)


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
