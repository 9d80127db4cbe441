import multiprocessing
import os
from pathlib import Path

import pytest

from trainer.reads.encoded_cache import CachedObjects


class Remote:
    """Objects of 1000 bytes that count their readers."""

    def __init__(self):
        self.reads = []

    def read(self, path, *, start=0, length=None):
        self.reads.append((path, start))
        if path == "gone":
            raise FileNotFoundError(path)
        return (f"{path}:{start}".encode() * 1000)[:1000]


def open_cache(folder, remote, *, limit_nbytes=10_000, dataset="a 2026"):
    return CachedObjects(remote, folder=folder, limit_nbytes=limit_nbytes, dataset=dataset)


def nbytes(folder):
    return sum(path.stat().st_size for path in folder.glob("*/*"))


def test_a_range_is_asked_for_once(tmp_path):
    remote = Remote()
    for cache in (open_cache(tmp_path, remote), open_cache(tmp_path, remote)):
        for _ in range(2):
            assert cache.read("x", start=5, length=1000) == (b"x:5" * 1000)[:1000]
    assert remote.reads == [("x", 5)]
    open_cache(tmp_path, remote, dataset="a 2027").read("x", start=5, length=1000)
    open_cache(tmp_path, remote).read("x", start=6, length=1000)
    assert len(remote.reads) == 3


@pytest.mark.parametrize("damage", [lambda kept: kept[:500], lambda kept: b"", lambda kept: b"?" + kept[1:]])
def test_what_a_disk_has_damaged_is_asked_for_again(tmp_path, damage):
    remote = Remote()
    cache = open_cache(tmp_path, remote)
    cache.read("x")
    (kept,) = tmp_path.glob("*/*")
    kept.write_bytes(damage(kept.read_bytes()))
    for _ in range(2):
        assert cache.read("x") == (b"x:0" * 1000)[:1000]
    assert len(remote.reads) == 2


def test_what_was_used_longest_ago_goes_first(tmp_path):
    remote = Remote()
    cache = open_cache(tmp_path, remote)
    for number in range(100):
        cache.read("x", start=number)
        cache.read("x", start=0)  # used again and again
        for age, path in enumerate(sorted(tmp_path.glob("*/*"), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(path, ns=(age, age))  # clocks of file systems are coarse
        assert nbytes(tmp_path) <= 11_000
    assert remote.reads.count(("x", 0)) == 1
    assert remote.reads.count(("x", 99)) == 1
    before = len(remote.reads)
    cache.read("x", start=50)
    assert len(remote.reads) == before + 1


def test_what_is_not_there_is_not_kept(tmp_path):
    cache = open_cache(tmp_path, Remote())
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            cache.read("gone")
    assert nbytes(tmp_path) == 0


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path):
    remote = Remote()
    cache = open_cache(tmp_path / "cache", remote)
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("a file")
    assert cache.read("x")[:3] == b"x:0"


def _use(folder: Path, seed: int) -> None:
    cache = open_cache(folder, Remote())
    for number in range(300):
        start = number * seed % 40
        assert cache.read("x", start=start) == (f"x:{start}".encode() * 1000)[:1000]


def test_processes_share_a_folder(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_use, args=(tmp_path, seed)) for seed in (1, 3, 7)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert nbytes(tmp_path) <= 13_000
    assert not list(tmp_path.glob("*/.*"))
