"""The plan of a store: tables of known cases, and properties for all shapes."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.chunking import CHUNK_NBYTES, SHARD_NBYTES, ChunkPlan, plan_chunks

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


@given(shapes)
def test_sizes_stay_within_bounds(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    assert prod(plan.chunk_shape) * 4 <= 1.5 * CHUNK_NBYTES[1]
    assert prod(plan.shard_shape) * 4 <= max(SHARD_NBYTES[1], prod(plan.chunk_shape) * plan.chunk_grid[-1] * 4)


@given(shapes)
def test_padding_is_below_one_sample_a_chunk_along_each_dimension(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    for size, chunk, count in zip(shape, plan.chunk_shape, plan.chunk_grid, strict=True):
        assert chunk * count - size < count


@given(shapes)
def test_chunks_of_a_block_cover_it(shape: tuple[int, ...]) -> None:
    plan = plan_chunks(shape)
    block = np.zeros([part.stop - part.start for part in plan.trace_slices(plan.shards()[-1])] + [shape[-1]], int)
    for _, part in plan.chunk_slices(block.shape):
        block[part] += 1
    assert (block == 1).all()
