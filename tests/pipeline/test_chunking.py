"""The plan of a store: tables of known cases, and properties for all shapes."""

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.plan.chunking import CHUNK_NBYTES, SHARD_NBYTES, ChunkPlan, plan_chunks

shapes = st.one_of(
    st.tuples(st.integers(1, 400), st.integers(1, 400), st.integers(1, 2000)),
    st.tuples(st.integers(1, 20000), st.integers(1, 6000)),
)


@pytest.mark.parametrize(
    ("shape", "chunk_shape", "shard_shape"),
    [
        ((200, 320, 300), (67, 64, 60), (67, 64, 300)),
        ((534, 1501), (107, 151), (535, 1510)),
        ((3000, 3000, 2000), (79, 82, 80), (79, 164, 2000)),
        ((5, 5, 50), (5, 5, 50), (5, 5, 50)),
        ((1, 1), (1, 1), (1, 1)),
    ],
)
def test_known_plans(shape: tuple[int, ...], chunk_shape: tuple[int, ...], shard_shape: tuple[int, ...]) -> None:
    assert plan_chunks(shape) == ChunkPlan(shape, chunk_shape, shard_shape)


@settings(deadline=None)
@given(shapes)
def test_shards_cover_every_trace_once_and_are_whole_chunks(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    seen = np.zeros(shape[:-1], int)
    manifest = np.zeros(plan.chunk_grid, int)
    for shard in plan.shards():
        seen[plan.trace_slices(shard)] += 1
        manifest[plan.manifest_slices(shard)] += 1
    assert (seen == 1).all()
    assert (manifest == 1).all()
    assert all(shard % chunk == 0 for shard, chunk in zip(plan.shard_shape, plan.chunk_shape, strict=True))
    assert plan.shard_shape[-1] >= shape[-1]


@settings(deadline=None)
@given(shapes)
def test_sizes_stay_within_bounds(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    assert prod(plan.chunk_shape) * 4 <= 1.5 * CHUNK_NBYTES[1]
    assert prod(plan.shard_shape) * 4 <= max(SHARD_NBYTES[1], prod(plan.chunk_shape) * plan.chunk_grid[-1] * 4)


@settings(deadline=None)
@given(shapes)
def test_padding_is_below_one_sample_a_chunk_along_each_dimension(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    for size, chunk, count in zip(shape, plan.chunk_shape, plan.chunk_grid, strict=True):
        assert chunk * count - size < count


@settings(deadline=None)
@given(shapes)
def test_columns_hold_each_cell_of_a_shard_once(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    for shard in (next(plan.shards()), tuple(count - 1 for count in plan.shard_grid)):
        held = np.zeros(plan.trace_shard_shape, int)
        indices = []
        for index, where in plan.columns(shard):
            assert held[where].shape == plan.chunk_shape[:-1]  # whole chunks, also beyond the array's edge
            held[where] += 1
            indices.append(index)
        inside = tuple(slice(0, part.stop - part.start) for part in plan.trace_slices(shard))
        assert (held[inside] == 1).all()
        assert held.max() == 1
        # One column for each of the shard's chunks on the grid of all of them, in storage order.
        along_traces = plan.manifest_slices(shard)[:-1]
        assert indices == list(np.ndindex(*(part.stop - part.start for part in along_traces)))


@settings(deadline=None)
@given(shapes)
def test_the_grid_of_shards_is_that_of_the_stored_objects(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    assert plan.shard_count == len(list(plan.shards())) == prod(plan.shard_grid)
    for size, length, count in zip(shape, plan.trace_shard_shape, plan.shard_grid, strict=False):
        assert (count - 1) * length < size <= count * length
    assert plan.manifest_slices(tuple(count - 1 for count in plan.shard_grid))[-1] == slice(0, plan.chunk_grid[-1])


@settings(deadline=None)
@given(shapes, st.integers(2**12, 2**26), st.integers(2**14, 2**28))
def test_sizes_that_are_asked_for_are_about_kept(shape: tuple[int, ...], chunk_nbytes: int, shard_nbytes: int) -> None:
    plan = plan_chunks(shape, chunk_nbytes=chunk_nbytes, shard_nbytes=shard_nbytes)
    chunk = prod(plan.chunk_shape) * 4
    column = prod(plan.chunk_shape[:-1]) * plan.shard_shape[-1] * 4
    assert chunk <= 2 * chunk_nbytes
    assert column <= prod(plan.shard_shape) * 4 <= max(column, shard_nbytes)
