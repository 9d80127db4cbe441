from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
import zarr

from data_catalog import InputError
from trainer import chunk_cache
from trainer.chunk_cache import ChunkCache

CHUNK_NBYTES = 8 * 8 * 4


@pytest.fixture
def array():
    samples = np.random.default_rng(0).standard_normal((50, 61)).astype(np.float32)
    return zarr.create_array(store={}, data=samples, chunks=(8, 8), shards=(16, 32))


def random_boxes(count, *, shape=(50, 61), seed=0):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        yield tuple(tuple(sorted(generator.choice(size + 1, 2, replace=False).tolist())) for size in shape)


def test_boxes_equal_slices_whatever_the_budget(array):
    for budget_nbytes in (CHUNK_NBYTES, 10 * CHUNK_NBYTES, 10**9):
        cache = ChunkCache({"a": array}, budget_nbytes=budget_nbytes)
        for box in random_boxes(20):
            np.testing.assert_array_equal(cache.read("a", box=box), array[tuple(slice(*b) for b in box)])
        assert 0 < cache.peak_nbytes <= budget_nbytes


def test_many_threads_keep_to_a_budget_below_the_array(array):
    cache = ChunkCache({"a": array}, budget_nbytes=3 * CHUNK_NBYTES)
    whole = array[...]

    def check(box):
        np.testing.assert_array_equal(cache.read("a", box=box), whole[tuple(slice(*b) for b in box)])

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(check, random_boxes(200), timeout=60))
    assert cache.peak_nbytes <= 3 * CHUNK_NBYTES < whole.nbytes
    assert cache.resident_nbytes <= 3 * CHUNK_NBYTES


def test_threads_that_want_the_same_chunk_decode_it_once(array, monkeypatch):
    decoding, go_on, read_chunk = Event(), Event(), chunk_cache._read_chunk

    def slow(*arguments):
        decoding.set()
        assert go_on.wait(30)
        return read_chunk(*arguments)

    monkeypatch.setattr(chunk_cache, "_read_chunk", slow)
    cache = ChunkCache({"a": array}, budget_nbytes=10**6)
    with ThreadPoolExecutor(4) as executor:
        boxes = [((0, 4), (start, 8)) for start in range(4)]
        futures = [executor.submit(cache.read, "a", box=box) for box in boxes]
        assert decoding.wait(30)
        go_on.set()
        for future, box in zip(futures, boxes, strict=True):
            np.testing.assert_array_equal(future.result(30), array[tuple(slice(*b) for b in box)])
    assert cache.decoded_nbytes == CHUNK_NBYTES


def test_least_recently_used_chunks_go_first(array):
    cache = ChunkCache({"a": array}, budget_nbytes=2 * CHUNK_NBYTES)
    first, second, third = (((0, 8), (start, start + 8)) for start in (0, 8, 16))
    for box in (first, second, first, third, first):
        cache.read("a", box=box)
    assert cache.decoded_nbytes == 3 * CHUNK_NBYTES


def test_a_damaged_chunk_is_named_to_all_who_wait_for_it(tmp_path):
    array = zarr.create_array(store=str(tmp_path / "a.zarr"), data=np.ones((16, 16), np.float32), chunks=(8, 8))
    (tmp_path / "a.zarr/c/0/1").write_bytes(b"not zstd")
    cache = ChunkCache({"amplitude": array}, budget_nbytes=10**6)
    with pytest.raises(InputError, match=r"chunk \(0, 1\) of .*a.zarr cannot be read"):
        cache.read("amplitude", box=((0, 8), (0, 16)))
    assert cache.resident_nbytes == 8 * 8 * 4, "the good chunk alone"
    np.testing.assert_array_equal(cache.read("amplitude", box=((8, 16), (0, 16))), 1)
