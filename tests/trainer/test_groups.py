import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.plan.groups import Groups
from trainer.plan.windows import Edges, WindowPlan, plan_windows


@st.composite
def grouped(draw):
    rank = draw(st.integers(1, 3))
    sizes = st.tuples(*[st.integers(1, 16)] * rank)
    starts = draw(st.lists(st.tuples(*[st.integers(0, 9)] * rank), min_size=1, max_size=2))
    boxes = [tuple((a, a + n) for a, n in zip(start, draw(sizes), strict=True)) for start in starts]
    window, stride, chunk = (draw(st.tuples(*[st.integers(1, 5)] * rank)) for _ in range(3))
    plan = plan_windows(boxes, window=window, stride=stride, edges=Edges.PAD)
    repeats = draw(st.none() | st.integers(0, 2**32 - 1))
    if repeats is not None:
        counts = np.random.default_rng(repeats).integers(0, 3, len(plan)).astype(np.uint8)
        plan = WindowPlan(plan.boxes, plan.window, counts)
    walk = draw(st.integers(0, rank - 1))
    block = tuple(extent * draw(st.integers(1, 3)) for extent in chunk)
    return Groups(plan, block, walk, chunk[walk])


@given(grouped())
@settings(deadline=None)
def test_groups_are_the_windows_of_each_block_slab_by_slab(groups):
    plan = groups.plan
    starts, _ = plan.ranges(np.arange(len(plan)))
    box_of = np.searchsorted(plan.first_of_box, np.arange(len(plan)), side="right") - 1
    times = np.ones(len(plan), int) if plan.repeats is None else plan.repeats
    taken = []
    for group, length in enumerate(groups.lengths):
        slabs = list(groups.slabs(group))
        windows = np.concatenate(slabs)
        assert len(windows) == length
        taken.append(windows)
        inside = starts[windows]
        assert len({(box, *block) for box, *block in np.c_[box_of[windows], inside // groups.block].tolist()}) <= 1
        of_slab = [set((starts[slab][:, groups.walk] // groups.slab).tolist()) for slab in slabs]
        assert all(len(each) <= 1 for each in of_slab)
        filled = list(itertools.chain(*of_slab))
        assert filled == sorted(set(filled))
    np.testing.assert_array_equal(np.bincount(np.concatenate(taken), minlength=len(plan)), times)
