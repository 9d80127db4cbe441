import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.plan.windows import BoxWindows, Edges, WindowPlan, guard_between, plan_windows


@pytest.mark.parametrize(
    ("ranges", "window", "stride", "edges", "origins"),
    [
        ((0, 10), 4, 2, Edges.SHIFT, [0, 2, 4, 6]),
        ((0, 10), 4, 4, Edges.SHIFT, [0, 4, 6]),
        ((3, 7), 4, 2, Edges.SHIFT, [3]),
        ((3, 8), 4, 100, Edges.SHIFT, [3, 4]),
        ((0, 3), 4, 2, Edges.SHIFT, []),
        ((0, 10), 4, 4, Edges.DROP, [0, 4]),
        ((3, 8), 4, 100, Edges.DROP, [3]),
        ((0, 3), 4, 2, Edges.DROP, []),
        ((0, 10), 4, 4, Edges.PAD, [0, 4, 8]),
        ((0, 12), 4, 4, Edges.PAD, [0, 4, 8]),
        ((5, 8), 4, 2, Edges.PAD, [5]),
    ],
)
def test_origins_along_one_dimension(ranges, window, stride, edges, origins):
    plan = plan_windows([(ranges,)], window=(window,), stride=(stride,), edges=edges)
    assert plan.ranges(np.arange(len(plan)))[0].tolist() == [[origin] for origin in origins]


@st.composite
def plans(draw):
    rank = draw(st.integers(1, 3))
    extents = st.tuples(*[st.integers(1, 6)] * rank)
    boxes = []
    for _ in range(draw(st.integers(1, 3))):
        starts, sizes = draw(st.tuples(*[st.integers(0, 20)] * rank)), draw(st.tuples(*[st.integers(1, 12)] * rank))
        boxes.append(tuple((start, start + size) for start, size in zip(starts, sizes, strict=True)))
    return boxes, draw(extents), draw(extents)


@given(plans(), st.sampled_from([Edges.SHIFT, Edges.PAD]))
def test_windows_lie_inside_a_box_and_cover_it(case, edges):
    boxes, window, stride = case
    plan = plan_windows(boxes, window=window, stride=tuple(map(min, stride, window)), edges=edges)
    starts, ends = plan.ranges(np.arange(len(plan)))
    for number, box in enumerate(plan.boxes):
        first, last = plan.first_of_box[number : number + 2]
        covered = np.zeros([stop for _, stop in box.ranges], bool)
        for start, end in zip(starts[first:last], ends[first:last], strict=True):
            covered[tuple(map(slice, start, end))] = True
            assert edges is Edges.PAD or (end - start == window).all()
            assert all(low <= a < b <= high for (low, high), a, b in zip(box.ranges, start, end, strict=True))
        assert covered[tuple(slice(*bounds) for bounds in box.ranges)].all()
    left_out = [
        box for box in boxes if any(stop - start < extent for (start, stop), extent in zip(box, window, strict=True))
    ]
    assert len(plan.boxes) == len(boxes) - (len(left_out) if edges is Edges.SHIFT else 0)


@given(plans(), st.sampled_from(Edges))
def test_ranges_are_the_plain_enumeration(case, edges):
    boxes, window, stride = case
    plan = plan_windows(boxes, window=window, stride=stride, edges=edges)
    enumerated = [
        list(origin)
        for box in plan.boxes
        for origin in itertools.product(*(box.origins_along(axis).tolist() for axis in range(len(window))))
    ]
    assert plan.ranges(np.arange(len(plan)))[0].tolist() == enumerated
    shuffled = np.random.default_rng(0).permutation(len(plan))
    assert plan.ranges(shuffled)[0].tolist() == [enumerated[index] for index in shuffled]
    with pytest.raises(IndexError):
        plan.ranges(np.array([len(plan)]))


@given(
    start=st.integers(0, 20),
    size=st.integers(1, 40),
    window=st.integers(1, 12),
    stride=st.integers(1, 14),
    extent=st.integers(1, 15),
    edges=st.sampled_from(Edges),
)
def test_runs_are_those_of_equal_blocks(start, size, window, stride, extent, edges):
    box = BoxWindows(((start, start + size),), (window,), (stride,), edges)
    if all(box.counts):
        blocks = box.origins_along(0) // extent
        expected = [0, *(np.flatnonzero(np.diff(blocks)) + 1), len(blocks)]
        assert box.runs_along(0, extent=extent).tolist() == expected


def test_a_plan_of_a_trillion_windows_costs_nothing():
    side = 10**6
    plan = plan_windows([((0, side), (0, side), (0, 128))], window=(1, 1, 128), stride=(1, 1, 64))
    assert len(plan) == plan.epoch_length == side**2
    assert plan.ranges(np.array([side**2 - 1]))[0].tolist() == [[side - 1, side - 1, 0]]


def test_digest_tells_plans_apart():
    plans = [
        plan_windows([((0, 66),)], window=(window,), stride=(stride,), edges=edges)
        for window, stride, edges in [(8, 4, "shift"), (8, 8, "shift"), (16, 4, "shift"), (8, 4, "drop"), (8, 4, "pad")]
    ]
    plans.append(WindowPlan(plans[0].boxes, plans[0].window, np.full(len(plans[0]), 2, np.uint8)))
    assert len({plan.digest for plan in plans}) == 6


def test_guard_is_negative_where_boxes_overlap():
    assert guard_between(((0, 10), (0, 5)), ((12, 20), (3, 9))) == (2, -2)
