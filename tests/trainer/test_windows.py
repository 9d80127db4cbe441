import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.windows import guard_between, plan_windows


@pytest.mark.parametrize(
    ("ranges", "window", "stride", "origins"),
    [
        ((0, 10), 4, 2, [0, 2, 4, 6]),
        ((0, 10), 4, 4, [0, 4, 6]),  # the last window is flush with the end
        ((3, 7), 4, 2, [3]),
        ((3, 8), 4, 100, [3, 4]),
        ((0, 3), 4, 2, []),  # too small a box
    ],
)
def test_origins_along_one_dimension(ranges, window, stride, origins):
    plan = plan_windows([(ranges,)], window=(window,), stride=(stride,))
    assert [plan.origin(index) for index in range(len(plan))] == [(origin,) for origin in origins]


@st.composite
def plans(draw):
    rank = draw(st.integers(1, 3))
    extents = st.tuples(*[st.integers(1, 6)] * rank)
    boxes = []
    for _ in range(draw(st.integers(1, 3))):
        starts, sizes = draw(st.tuples(*[st.integers(0, 20)] * rank)), draw(st.tuples(*[st.integers(1, 12)] * rank))
        boxes.append(tuple((start, start + size) for start, size in zip(starts, sizes, strict=True)))
    return boxes, draw(extents), draw(extents)


@given(plans())
def test_windows_lie_inside_a_box_and_cover_it(case):
    boxes, window, stride = case
    plan = plan_windows(boxes, window=window, stride=tuple(map(min, stride, window)))
    index = 0
    for box in boxes:
        if any(stop - start < extent for (start, stop), extent in zip(box, window, strict=True)):
            continue
        covered = np.zeros([stop - start for start, stop in box], bool)
        while index < len(plan) and not covered.all():
            origin = plan.origin(index)
            for first, (start, stop), extent in zip(origin, box, window, strict=True):
                assert start <= first <= stop - extent
            cut = zip(origin, box, window, strict=True)
            covered[tuple(slice(first - start, first - start + extent) for first, (start, _), extent in cut)] = True
            index += 1
        assert covered.all()
    assert index == len(plan)


@given(plans())
def test_origin_is_the_plain_enumeration(case):
    boxes, window, stride = case
    plan = plan_windows(boxes, window=window, stride=stride)
    enumerated = [
        origin
        for box in plan.boxes
        for origin in itertools.product(*(box.origins_along(axis).tolist() for axis in range(len(window))))
    ]
    assert [plan.origin(index) for index in range(len(plan))] == enumerated
    with pytest.raises(IndexError):
        plan.origin(len(plan))


def test_a_plan_of_a_trillion_windows_costs_nothing():
    side = 10**6
    plan = plan_windows([((0, side), (0, side), (0, 128))], window=(1, 1, 128), stride=(1, 1, 64))
    assert len(plan) == side**2
    assert plan.origin(side**2 - 1) == (side - 1, side - 1, 0)


def test_digest_tells_plans_apart():
    digests = {
        plan_windows([((0, 64),)], window=(window,), stride=(stride,)).digest
        for window, stride in [(8, 4), (8, 8), (16, 4)]
    }
    assert len(digests) == 3


def test_guard_is_negative_where_boxes_overlap():
    assert guard_between(((0, 10), (0, 5)), ((12, 20), (3, 9))) == (2, -2)
