"""Boxes out of real Zarr arrays, by each reader, whatever the codec, the budget, and what is wrong with the chunks."""

import dataclasses
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crc32c
import fsspec
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from trainer.reads.boxes import BoxReader
from trainer.reads.faults import ChunkFaultError, Fault
from trainer.reads.objects import FileSystemObjects
from trainer.reads.opening import open_chunks
from trainer.reads.readers import DirectReader, Expected, ZarrReader

SHAPE, CHUNK, SHARD = (50, 61), (8, 8), (16, 32)
CODECS = {
    "none": None,
    "lz4": BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=4),
    "zstd in blosc": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=4),
    "zstd": ZstdCodec(),
    "gzip": GzipCodec(),
}


@pytest.fixture
def make_array(tmp_path):
    numbers = itertools.count()

    def make(*, codec="lz4", shards=SHARD, url=None):
        samples = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
        samples[16:32, :32] = 0  # one shard that is not stored
        samples[0:8, 8:16] = 0  # and a chunk
        url = url or str(tmp_path / f"{next(numbers)}.zarr")
        zarr.create_array(
            url,
            data=samples,
            chunks=CHUNK,
            shards=shards,
            compressors=CODECS[codec],
            fill_value=0,
            overwrite=True,
        )
        return zarr.open_array(url, mode="r"), url, samples

    return make


def open_boxes(array, url, *, budget_nbytes=10**6, expected=None):
    return BoxReader([open_chunks(array, url=url, expected=expected or Expected())], budget_nbytes=budget_nbytes)


def random_boxes(count, *, shape=SHAPE, seed=0):
    generator = np.random.default_rng(seed)
    bounds = [np.sort(generator.choice(size + 1, (count, 2)), axis=1) for size in shape]
    firsts, ends = (np.stack([along[:, side] for along in bounds], axis=1) for side in (0, 1))
    return firsts, np.maximum(ends, firsts + 1).clip(max=shape), 0


def boxes_of(reader, firsts, ends, *, announced, threads=1):
    def copy(box):
        first, end = box
        out = np.empty([b - a for a, b in zip(first, end, strict=True)], np.float32)
        reader.copy(0, first, end, out=out, announced=announced)
        return out

    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(copy, zip(firsts.tolist(), ends.tolist(), strict=True), timeout=60))


@pytest.mark.parametrize("shards", [SHARD, None])
@pytest.mark.parametrize("codec", CODECS)
def test_boxes_equal_slices_whatever_the_codec(make_array, codec, shards):
    array, url, samples = make_array(codec=codec, shards=shards)
    reader = open_boxes(array, url)
    assert isinstance(reader.arrays[0].reader, ZarrReader if codec == "gzip" else DirectReader)
    firsts, ends, _ = random_boxes(30)
    for first, end, found in zip(firsts, ends, boxes_of(reader, firsts, ends, announced=False), strict=True):
        np.testing.assert_array_equal(found, samples[tuple(map(slice, first, end))])


def test_big_endian_and_shards_of_another_make_are_read_through_zarr(make_array, tmp_path):
    from zarr.codecs import BytesCodec, ShardingCodec

    big = zarr.create_array(
        str(tmp_path / "big"), data=np.arange(16, dtype="f4"), chunks=(4,), serializer=BytesCodec(endian="big")
    )
    index_first = zarr.create_array(
        str(tmp_path / "first"),
        data=np.arange(16, dtype="f4"),
        chunks=(8,),
        serializer=ShardingCodec(chunk_shape=(4,), index_location="start"),
        compressors=None,
    )
    for array, url in ((big, tmp_path / "big"), (index_first, tmp_path / "first")):
        chunked = open_chunks(array, url=str(url), expected=Expected())
        assert isinstance(chunked.reader, ZarrReader)
        out = np.empty(5, np.float32)
        BoxReader([chunked], budget_nbytes=1000).copy(0, [6], [11], out=out, announced=False)
        np.testing.assert_array_equal(out, np.arange(6, 11))


@pytest.mark.parametrize("codec", ["none", "lz4"])
@pytest.mark.parametrize("chunks", [1, 3, 1000])
def test_announced_boxes_within_any_budget(make_array, codec, chunks):
    array, url, samples = make_array(codec=codec)
    reader = open_boxes(array, url, budget_nbytes=chunks * 256)
    firsts, ends, _ = random_boxes(200)
    reader.announce(0, firsts, ends)
    for first, end, found in zip(firsts, ends, boxes_of(reader, firsts, ends, announced=True, threads=8), strict=True):
        np.testing.assert_array_equal(found, samples[tuple(map(slice, first, end))])
    assert reader.shelf.peak_nbytes <= chunks * 256
    if chunks == 1000:
        assert reader.counts.chunks == np.prod(reader.arrays[0].grid), "each chunk once"
        assert reader.counts.decoded_nbytes == reader.counts.chunks * 256


def test_a_box_of_one_chunk_is_decoded_into_its_place(make_array):
    array, url, samples = make_array()
    reader = open_boxes(array, url, budget_nbytes=0)
    firsts, ends = np.array([[8, 16], [8, 24]]), np.array([[16, 24], [16, 32]])
    reader.announce(0, firsts, ends)
    for first, found in zip(firsts, boxes_of(reader, firsts, ends, announced=True), strict=True):
        np.testing.assert_array_equal(found, samples[first[0] : first[0] + 8, first[1] : first[1] + 8])
    assert reader.shelf.peak_nbytes == 0


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_a_whole_chunk_goes_into_a_part_of_a_larger_window(make_array, codec):
    array, url, samples = make_array(codec=codec)
    reader, out = open_boxes(array, url), np.zeros((12, 11), np.float32)
    reader.copy(0, [8, 16], [16, 24], out=out[:8, :8], announced=False)
    np.testing.assert_array_equal(out[:8, :8], samples[8:16, 16:24])
    assert not out[8:].any()
    assert not out[:, 8:].any()


def test_encoded_bytes_are_those_of_the_chunks_that_were_touched(make_array):
    array, url, _ = make_array(codec="none")
    reader = open_boxes(array, url)
    reader.copy(0, [0, 0], [8, 8], out=np.empty((8, 8), np.float32), announced=False)
    reader.copy(0, [0, 8], [4, 12], out=np.empty((4, 4), np.float32), announced=False)  # of the fill value
    assert (reader.counts.chunks, reader.counts.encoded_nbytes) == (2, 256)


def checksums(array, url):
    """CRC-32C of the stored bytes of each chunk, as the manifest has them."""
    chunked = open_chunks(array, url=url, expected=Expected())
    expected = np.zeros(chunked.grid, np.uint32)
    is_fill = np.ones(chunked.grid, bool)
    for chunk in np.ndindex(chunked.grid):
        content = chunked.reader.fetch(chunk)
        if content is not None:
            expected[chunk], is_fill[chunk] = crc32c.crc32c(content), False
    return Expected(checksums=expected, is_fill=is_fill)


@pytest.mark.parametrize("every_time", [True, False])
def test_a_chunk_is_compared_with_its_checksum_once_or_every_time(make_array, every_time):
    array, url, _ = make_array(codec="none", shards=CHUNK)
    expected = dataclasses.replace(checksums(array, url), every_time=every_time)
    reader, out = open_boxes(array, url, expected=expected).arrays[0].reader, np.empty(CHUNK, np.float32)
    for chunk in np.ndindex(7, 8):
        reader.fetch(chunk)
    flip(f"{url}/c/0/0", 20)
    if every_time:
        with pytest.raises(ChunkFaultError, match="checksum"):
            reader.fetch((0, 0))
    else:
        reader.decode((0, 0), reader.fetch((0, 0)), out=out)


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))


DAMAGES = {
    "a bit of a chunk": (lambda path: flip(path, 10), Fault.CHECKSUM),
    "a bit of the index": (lambda path: flip(path, -40), Fault.CHECKSUM),
    "its object is gone": (os.remove, Fault.MISSING),
    "its object is empty": (lambda path: os.truncate(path, 0), Fault.SHORT),
    "its object was cut": (lambda path: os.truncate(path, Path(path).stat().st_size - 8), Fault.CHECKSUM),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_what_is_wrong_with_a_chunk_is_told_apart(make_array, codec, damage):
    array, url, samples = make_array(codec=codec)
    expected = checksums(array, url)
    harm, fault = DAMAGES[damage]
    harm(f"{url}/c/0/0")
    reader = open_boxes(array, url, expected=expected)
    firsts, ends = np.array([[0, 0], [16, 0], [32, 32]]), np.array([[20, 8], [24, 8], [40, 40]])
    reader.announce(0, firsts, ends)
    with pytest.raises(ChunkFaultError, match=r"chunk \(0, 0\) of .*0.zarr.* cannot be read") as error:
        reader.copy(0, [0, 0], [20, 8], out=np.empty((20, 8), np.float32), announced=True)
    assert error.value.fault is fault
    others = boxes_of(reader, firsts[1:], ends[1:], announced=True)
    np.testing.assert_array_equal(others[0], 0)  # never stored, and rightly so
    np.testing.assert_array_equal(others[1], samples[32:40, 32:40])
    assert not any(reader.shelf.uses(key) for key in range(56)), "the uses of the box that failed are over as well"


def test_without_a_manifest_what_is_not_stored_is_the_fill_value(make_array):
    array, url, _ = make_array()
    Path(f"{url}/c/0/0").unlink()
    out = np.ones((8, 8), np.float32)
    open_boxes(array, url).copy(0, [0, 0], [8, 8], out=out, announced=False)
    assert not out.any()


def test_bytes_that_the_codec_did_not_make_are_a_fault(make_array):
    array, url, _ = make_array()
    flip(f"{url}/c/0/0", 4)  # Blosc's own note of the decoded size
    with pytest.raises(ChunkFaultError) as error:
        open_boxes(array, url).copy(0, [0, 0], [8, 8], out=np.empty((8, 8), np.float32), announced=False)
    assert error.value.fault is Fault.UNDECODABLE


class FailsNowAndThen(fsspec.get_filesystem_class("memory")):
    """A storage system with every other request failing; with all of them once it is `broken`."""

    broken, requests = False, 0
    cachable = False

    def cat_file(self, *arguments, **settings):
        FailsNowAndThen.requests += 1
        if self.broken or FailsNowAndThen.requests % 2:
            raise TimeoutError("503 slow down")
        return super().cat_file(*arguments, **settings)


@pytest.fixture
def remote(make_array, monkeypatch):
    monkeypatch.setattr("data_catalog.storage.PAUSES_S", (0.001, 0.001))
    array, url, samples = make_array(url="memory://boxes.zarr")
    chunked = open_chunks(array, url=url, expected=Expected())
    objects = FileSystemObjects(FailsNowAndThen())
    places = type(chunked.reader.places)(array, folder="/boxes.zarr", objects=objects)
    flaky = DirectReader(array, places, objects, chunked.reader.codec, Expected())
    return BoxReader([type(chunked)(array.shape, array.chunks, array.dtype, flaky)], budget_nbytes=10**6), samples


def test_storage_that_fails_now_and_then_is_asked_again(remote):
    reader, samples = remote
    out = np.empty(SHAPE, np.float32)
    reader.copy(0, [0, 0], SHAPE, out=out, announced=False)
    np.testing.assert_array_equal(out, samples)


def test_storage_that_fails_for_good_is_a_fault(remote, monkeypatch):
    monkeypatch.setattr(FailsNowAndThen, "broken", True)
    with pytest.raises(ChunkFaultError, match=r"unreadable.*503 slow down") as error:
        remote[0].copy(0, [0, 0], SHAPE, out=np.empty(SHAPE, np.float32), announced=False)
    assert error.value.fault is Fault.UNREADABLE
