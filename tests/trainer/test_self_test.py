import logging
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
import zarr

from trainer.reads.boxes import BoxReader
from trainer.reads.faults import ChunkFaultError, Fault
from trainer.reads.objects import PlainFiles, ShortObjectError
from trainer.reads.opening import open_chunks
from trainer.reads.readers import Expected
from trainer.reads.self_test import choose

SAMPLES = np.arange(64, dtype=np.float32).reshape(8, 8)


@pytest.fixture
def array(tmp_path):
    return zarr.create_array(str(tmp_path / "a"), data=SAMPLES, chunks=(4, 4), shards=(4, 8), compressors=None)


class Reader:
    """Reads the right samples, but for what it is told."""

    def __init__(self, *, seconds=0.0, add=0.0, damaged=()):
        self.seconds, self.add, self.damaged, self.read = seconds, add, set(damaged), set()

    def fetch(self, chunk):
        if chunk in self.damaged:
            raise ChunkFaultError(Fault.CHECKSUM, place=f"chunk {chunk}", detail="odd")
        self.read.add(chunk)
        time.sleep(self.seconds)
        return chunk

    def view(self, chunk, encoded):
        return None

    def decode(self, chunk, encoded, *, out):
        (i, j), extent = chunk, 4
        out[...] = SAMPLES[i * extent : (i + 1) * extent, j * extent : (j + 1) * extent] + self.add
        return out.nbytes


def test_the_fastest_is_taken_and_all_times_are_told(array):
    slow, fast, zarrs = Reader(seconds=0.02), Reader(seconds=0.005), Reader()
    choice = choose({"slow": slow, "fast": fast, "Zarr": zarrs}, trusted="Zarr", array=array, expected=Expected())
    assert choice.reader is fast
    assert str(choice).startswith("fast, 5.")
    assert choice.chunk_s.keys() == {"slow", "fast", "Zarr"}
    assert len(fast.read) == 2


def test_of_those_as_fast_the_first_is_taken(array):
    first, second = Reader(seconds=0.02), Reader(seconds=0.019)
    assert (
        choose(
            {"first": first, "second": second, "Zarr": Reader()}, trusted="Zarr", array=array, expected=Expected()
        ).reader
        is first
    )


def test_one_that_reads_otherwise_is_not_used(array, caplog):
    wrong, trusted = Reader(add=1), Reader(seconds=0.01)
    with caplog.at_level(logging.WARNING):
        choice = choose({"wrong": wrong, "Zarr": trusted}, trusted="Zarr", array=array, expected=Expected())
    assert choice.reader is trusted
    assert "wrong reads otherwise than Zarr" in caplog.text


def test_damaged_chunks_are_left_to_whoever_needs_them(array):
    whole = [(i, j) for i in range(2) for j in range(2)]
    direct = Reader(damaged=whole[:1])
    assert (
        choose({"direct": direct, "Zarr": Reader()}, trusted="Zarr", array=array, expected=Expected()).reader is direct
    )
    hopeless = Reader(damaged=whole)
    choice = choose({"direct": hopeless, "Zarr": Reader()}, trusted="Zarr", array=array, expected=Expected())
    assert choice.reader is hopeless
    assert str(choice) == "direct"


def test_chunks_of_the_fill_value_are_not_tried(array):
    reader, is_fill = Reader(), np.ones((2, 2), bool)
    is_fill[1, 0] = False
    choose({"direct": reader, "Zarr": Reader()}, trusted="Zarr", array=array, expected=Expected(is_fill=is_fill))
    assert reader.read == {(1, 0)}


def test_what_is_opened_says_who_reads(array, tmp_path):
    about = open_chunks(array, url=str(tmp_path / "a"), expected=Expected()).about
    assert all(name in about for name in ("mapped files", "byte ranges", "Zarr", "ms a chunk ("))


@pytest.mark.parametrize("keep_cached", [True, False])
def test_files_may_be_dropped_from_the_page_cache(tmp_path, keep_cached):
    samples = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    url = tmp_path / "a"
    array = zarr.create_array(str(url), data=samples, chunks=(256, 256), shards=(512, 512), compressors=None)
    opened = open_chunks(array, url=str(url), expected=Expected(), keep_cached=keep_cached)
    with open(url / "c/0/0", "rb") as file:  # what came there in one piece cannot be dropped in parts
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    reader, out = BoxReader([opened], budget_nbytes=10**7), np.empty((512, 512), np.float32)
    reader.copy(0, [0, 0], [512, 512], out=out, announced=False)
    np.testing.assert_array_equal(out, samples)
    assert ("dropped" in opened.about) is not keep_cached
    if shutil.which("fincore") is None or opened.about.startswith("Zarr"):
        return
    told = subprocess.run(["fincore", "-nb", "-o", "RES", url / "c/0/0"], capture_output=True, text=True, check=True)
    cached = int(told.stdout)
    assert cached >= samples.nbytes if keep_cached else cached < samples.nbytes / 2


def test_a_range_of_a_plain_file_that_ends_early_is_told(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(100)))
    files = PlainFiles(keep_cached=False)
    path = os.fspath(tmp_path / "file")
    assert files.read(path, start=10, length=5) == bytes(range(10, 15))
    assert files.read(path, start=-5, length=5) == bytes(range(95, 100))
    assert files.read(path) == bytes(range(100))
    for bounds in ({"start": 90, "length": 20}, {"start": -200, "length": 10}):
        with pytest.raises(ShortObjectError, match="has 100 bytes"):
            files.read(path, **bounds)
