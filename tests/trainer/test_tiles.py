import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.prediction.tiles import Tiling, columns, intersection, within


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 20), st.integers(0, 9), st.sampled_from([1, 2, 4, 8]), st.integers(1, 7)),
    st.data(),
)
@settings(deadline=None)
def test_cores_cover_a_region_once_inside_what_is_read(shape, sizes, data):
    starts = [data.draw(st.integers(0, size - 1)) for size in shape]
    region = tuple((start, data.draw(st.integers(start + 1, size))) for start, size in zip(starts, shape, strict=True))
    tile, halo, multiple, most_sections = sizes
    tiling = Tiling(shape, (1, 2), tile=tile, halo=halo, multiple=multiple, sections=most_sections)
    times = np.zeros(shape, int)
    for cut in tiling.tiles(region):
        times[within(cut.core, outer=tuple((0, size) for size in shape))] += 1
        assert cut.read[0] == cut.core[0]
        assert cut.core[0][1] - cut.core[0][0] <= most_sections
        for axis, extra in zip((1, 2), tiling.padding(cut), strict=True):
            (first, last), (start, stop) = cut.read[axis], cut.core[axis]
            assert first % multiple == 0
            assert (last - first + extra) % multiple == 0
            assert first == 0 or first <= start - halo
            assert last == shape[axis] or (last >= stop + halo and extra == 0)
    inside = times[within(region, outer=tuple((0, size) for size in shape))]
    assert (inside == 1).all()
    assert times.sum() == inside.size


def test_columns_hold_the_touched_shards_of_each_place():
    found = columns((4, 10, 9), shard=(4, 5, 4), boxes=(((0, 4), (6, 7), (5, 9)), ((1, 2), (9, 10), (8, 9))))
    assert found == [(((0, 4), (5, 10), (4, 8)), ((0, 4), (5, 10), (8, 9)))]


def test_boxes_that_do_not_meet_share_nothing():
    assert intersection(((0, 4),), ((4, 8),)) is None
    assert intersection(((0, 4),), ((3, 8),)) == ((3, 4),)
