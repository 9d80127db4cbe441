import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import InputError
from trainer.plan import grouping
from trainer.plan.grouping import ChunkedPlan, ChunkGrid
from trainer.plan.windows import Edges, plan_windows

PLENTY = 2**60


def choose_grouping(plan, grids, **settings):
    return grouping.choose_grouping([ChunkedPlan(plan, grids)], **settings)


@st.composite
def cases(draw):
    rank = draw(st.integers(1, 3))
    boxes = [
        tuple((a, a + n) for a, n in zip(start, size, strict=True))
        for start, size in draw(
            st.lists(
                st.tuples(st.tuples(*[st.integers(0, 9)] * rank), st.tuples(*[st.integers(1, 20)] * rank)),
                min_size=1,
                max_size=1,
            )
        )
    ]
    window, stride, chunk, other = (draw(st.tuples(*[st.integers(1, 6)] * rank)) for _ in range(4))
    plan = plan_windows(boxes, window=window, stride=tuple(map(min, stride, window)), edges=Edges.PAD)
    lacks = draw(st.integers(-1, rank - 1))
    other = tuple(None if axis == lacks else extent for axis, extent in enumerate(other))
    grids = [ChunkGrid(chunk, math.prod(chunk) * 4), ChunkGrid(other, math.prod(filter(None, other)))]
    return plan, grids, draw(st.sampled_from([1, 1000, 10**4, 10**5, PLENTY]))


def chunks_of(plan, grids, window):
    (start,), (end,) = plan.ranges(np.array([window]))
    for number, grid in enumerate(grids):
        spans = [
            range(1) if chunk is None else range(a // chunk, (b - 1) // chunk + 1)
            for chunk, a, b in zip(grid.chunk, start.tolist(), end.tolist(), strict=True)
        ]
        yield from ((number, chunk) for chunk in itertools.product(*spans))


def nbytes(chunks, grids):
    return sum(grids[number].nbytes for number, _ in chunks)


@given(cases())
@settings(deadline=None)
def test_figures_are_those_of_the_windows_themselves(case):
    plan, grids, budget = case
    try:
        chosen = choose_grouping(plan, grids, batch_size=2, ranks=1, threads=1, budget_nbytes=budget)
    except InputError:
        return
    groups = [np.concatenate(list(chosen.groups.slabs(group))) for group in range(len(chosen.groups.lengths))]
    of_window = {window: set(chunks_of(plan, grids, window)) for windows in groups for window in windows.tolist()}
    read = sum(nbytes(set().union(*(of_window[window] for window in windows.tolist())), grids) for windows in groups)
    # Where a variable lacks a dimension it counts as read once for each block along it.
    once = nbytes({chunk for chunks in of_window.values() for chunk in chunks}, grids)
    decoding = max(grid.nbytes for grid in grids)
    all_held = once + decoding <= budget
    assert chosen.amplification == pytest.approx(1.0 if all_held else read / once)
    assert all_held or chosen.lane_nbytes * chosen.shape.lanes * 2 + decoding <= budget
    for windows in groups:
        uses = [of_window[window] for window in windows.tolist()]
        shared = [chunk for chunk, times in _times(uses).items() if times > 1]
        for place in range(len(uses)):
            before, after = set().union(*uses[: place + 1]), set().union(*uses[place:])
            held = {chunk for chunk in shared if chunk in before and chunk in after}
            assert nbytes(held, grids) <= chosen.lane_nbytes


def _times(uses):
    times = {}
    for chunk in itertools.chain(*uses):
        times[chunk] = times.get(chunk, 0) + 1
    return times


def a_section_plan():
    return plan_windows([((0, 2000), (0, 2000))], window=(64, 64), stride=(32, 32))


def grids_of(*chunk):
    return [ChunkGrid(chunk, math.prod(chunk) * 4)]


def test_more_memory_reads_less_and_keeps_to_it():
    found = []
    for budget in (2**20, 2**22, 2**24):
        chosen = choose_grouping(
            a_section_plan(), grids_of(64, 64), batch_size=2, ranks=1, threads=2, budget_nbytes=budget, lanes=2
        )
        found.append(chosen.amplification)
        assert chosen.lane_nbytes * 4 < budget
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.2
    assert found[-1] < 1.15


def test_no_more_memory_is_wanted_than_all_of_the_chunks_take():
    everything = 32 * 32 * grids_of(64, 64)[0].nbytes + 2 * grids_of(64, 64)[0].nbytes
    chosen = choose_grouping(
        a_section_plan(), grids_of(64, 64), batch_size=1000, ranks=1, threads=2, budget_nbytes=everything
    )
    assert (chosen.amplification, chosen.shape.lanes, chosen.well_mixed_nbytes) == (1.0, 4, everything)
    with pytest.raises(InputError, match=rf"can take {everything} bytes"):
        choose_grouping(
            a_section_plan(), grids_of(64, 64), batch_size=1000, ranks=1, threads=2, budget_nbytes=everything - 1
        )


def test_lanes_are_as_many_as_fit():
    lanes = [
        choose_grouping(
            a_section_plan(), grids_of(64, 64), batch_size=4, ranks=1, threads=1, budget_nbytes=budget
        ).shape.lanes
        for budget in (800_000, 1_600_000, 2**24)
    ]
    assert lanes[0] == 1 < lanes[1] < lanes[2] == grouping.MOST_LANES


def test_what_good_mixing_takes_is_told():
    def choose(budget):
        return choose_grouping(
            a_section_plan(), grids_of(64, 64), batch_size=4, ranks=1, threads=1, budget_nbytes=budget
        )

    needed = choose(800_000).well_mixed_nbytes
    assert choose(needed).shape.lanes == grouping.MOST_LANES
    assert choose(needed - 1).shape.lanes < grouping.MOST_LANES


def test_ranks_share_what_has_to_be_held():
    def lane_nbytes(ranks):
        return choose_grouping(
            a_section_plan(), grids_of(64, 64), batch_size=8, ranks=ranks, threads=1, budget_nbytes=1_200_000, lanes=1
        ).lane_nbytes

    assert lane_nbytes(8) > 2 * lane_nbytes(1)


def test_windows_that_share_no_chunk_hold_none():
    plan = plan_windows([((0, 1000), (0, 64), (0, 64))], window=(1, 64, 64), stride=(1, 64, 64))
    chosen = choose_grouping(plan, grids_of(1, 32, 64), batch_size=64, ranks=1, threads=2, budget_nbytes=2**14)
    assert (chosen.lane_nbytes, chosen.amplification, chosen.shape.lanes) == (0, 1, grouping.MOST_LANES)


def test_a_budget_too_small_is_refused_with_the_figure_that_does():
    def choose(budget):
        return choose_grouping(
            a_section_plan(), grids_of(64, 64), batch_size=16, ranks=1, threads=2, budget_nbytes=budget
        )

    with pytest.raises(InputError, match=r"resident_nbytes is 1000, and the chunks that 16 windows .* can take (\d+)"):
        choose(1000)
    needed = 16 * (4 + 4) * 64 * 64 * 4 + 2 * 64 * 64 * 4
    with pytest.raises(InputError, match=f"can take {needed} bytes"):
        choose(needed - 1)
    assert choose(needed).shape.lanes == 1


def test_ten_million_windows_make_no_more_groups_than_can_be_permuted():
    plan = plan_windows([((0, 10_000_000), (0, 8))], window=(1, 8), stride=(1, 8))
    chosen = choose_grouping(plan, grids_of(1, 8), batch_size=16, ranks=1, threads=2, budget_nbytes=2**20)
    assert 2**18 < len(chosen.groups.lengths) <= grouping.MOST_GROUPS
