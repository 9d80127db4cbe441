import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.prediction.tiles import Tiling, columns, intersection, within


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 20), st.integers(0, 9), st.sampled_from([1, 2, 4, 8]), st.integers(1, 7), st.booleans()),
    st.data(),
)
@settings(deadline=None)
def test_weights_of_tiles_add_up_to_one(shape, sizes, data):
    starts = [data.draw(st.integers(0, size - 1)) for size in shape]
    region = tuple((start, data.draw(st.integers(start + 1, size))) for start, size in zip(starts, shape, strict=True))
    tile, halo, multiple, most_sections, blends = sizes
    blend = halo // 2 * blends
    tiling = Tiling(shape, (1, 2), tile=tile, halo=halo, multiple=multiple, sections=most_sections, blend=blend)
    everything = tuple((0, size) for size in shape)
    total = np.zeros(shape)
    for slab in tiling.slabs(region):
        assert slab[0][1] - slab[0][0] <= most_sections
        shown = tiling.shown(slab)
        for cut in tiling.tiles(slab):
            total[within(cut.kept, outer=everything)] += np.multiply.outer(*cut.weights)
            assert cut.read[0] == cut.kept[0] == slab[0]
            for axis, extra in zip((1, 2), tiling.padding(cut), strict=True):
                (first, last), (start, stop) = cut.read[axis], cut.kept[axis]
                assert shown[axis][0] <= first <= start < stop <= last <= shown[axis][1]
                assert first % multiple == 0
                assert (last - first + extra) % multiple == 0
                assert first == 0 or first <= start - (halo - blend), "at least half of the halo around what is kept"
                assert last == shape[axis] or (last >= stop + halo - blend and extra == 0)
    np.testing.assert_allclose(total[within(region, outer=everything)], 1, atol=1e-6)
    total[within(region, outer=everything)] = 0
    assert not total.any()


def test_seams_are_blended_evenly():
    tiling = Tiling((20,), (0,), tile=10, halo=4, multiple=1, sections=1, blend=2)
    first, second = tiling.tiles(((0, 20),))
    assert (first.read, first.kept, second.read, second.kept) == (((0, 14),), ((0, 12),), ((6, 20),), ((8, 20),))
    np.testing.assert_allclose(first.weights[0], [1] * 8 + [0.875, 0.625, 0.375, 0.125])
    np.testing.assert_allclose(second.weights[0], [0.125, 0.375, 0.625, 0.875] + [1] * 8)


def test_columns_hold_the_touched_shards_of_each_place():
    found = columns((4, 10, 9), shard=(4, 5, 4), boxes=(((0, 4), (6, 7), (5, 9)), ((1, 2), (9, 10), (8, 9))))
    assert found == [(((0, 4), (5, 10), (4, 8)), ((0, 4), (5, 10), (8, 9)))]


def test_boxes_that_do_not_meet_share_nothing():
    assert intersection(((0, 4),), ((4, 8),)) is None
    assert intersection(((0, 4),), ((3, 8),)) == ((3, 4),)
