"""Sources that cannot be read, disks that are full, and object stores that answer with errors."""

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from distributed import Client

from data_catalog import Catalog
from pipeline.convert import convert
from pipeline.recipe import load_recipe
from pipeline.segy.fields import FILE_HEADER_NBYTES, TRACE_HEADER_NBYTES
from tests.faulty_proxy import FaultyProxy

LINES, SAMPLES = 40, 100
SURVEY = f"rehearsal://inlines={LINES},crosslines={LINES},samples={SAMPLES}/survey.sgy"
TRACE_NBYTES = TRACE_HEADER_NBYTES + 4 * SAMPLES
RECIPE = {"chunk_nbytes": 4096, "shard_nbytes": 4096}
SHARD_COUNT = 16
THREADS = ("--scheduler", "threads", "--workers", "2")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A survey on disk."""
    path = tmp_path / "survey.sgy"
    with fsspec.open(SURVEY, "rb") as file:
        path.write_bytes(file.read())
    return path


@pytest.fixture(scope="module")
def expected(client: Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects of a store that was made without any fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    recipe = load_recipe(name="made", out=str(folder / "made.zarr"), paths=(SURVEY,), **RECIPE)
    convert(recipe, client=client, catalog=Catalog(folder / "catalog"))
    root = folder / "made.zarr"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class Faults:
    """What a file of ``failing_files.py`` is told."""

    def __init__(self, source: Path) -> None:
        self._file = source.with_name(f"{source.name}.faults")

    def fail_every(self, count: int) -> None:
        self._file.write_text(json.dumps({"every": count}))

    def fail_in_samples(self, *traces: int) -> None:
        starts = [FILE_HEADER_NBYTES + trace * TRACE_NBYTES + TRACE_HEADER_NBYTES for trace in traces]
        self._file.write_text(json.dumps({"ranges": [[start, start + 4 * SAMPLES] for start in starts]}))

    def mend(self) -> None:
        self._file.unlink()


@pytest.fixture
def faults(source: Path) -> Faults:
    return Faults(source)


@pytest.mark.parametrize(("options", "every"), [((), 600), pytest.param(("--full-scan",), 23, marks=pytest.mark.slow)])
def test_reads_that_fail_now_and_then_are_repeated(
    options: tuple[str, ...], every: int, source: Path, faults: Faults, make_conversion, failing_files, expected
) -> None:
    """A sample of the headers is about 500 reads, each shard about ten."""
    faults.fail_every(every)
    conversion = make_conversion({"paths": [f"failing://{source}"], **RECIPE}, environment=failing_files)
    ended = conversion.call("--workers", "2", *options)
    assert ended.status == 0, ended
    conversion.check_complete(expected)


def test_a_shard_that_cannot_be_read_waits_in_quarantine(
    source: Path, faults: Faults, make_conversion, failing_files, expected
) -> None:
    faults.fail_in_samples(5)
    conversion = make_conversion(
        {"paths": [f"failing://{source}"], **RECIPE}, options=THREADS, environment=failing_files
    )
    ended = conversion.call()
    assert ended.status == 1, ended
    assert "1 of 16 shards could not be written and are in quarantine" in ended.said
    assert "--retry-failed" in ended.said
    assert len(conversion.records()) == SHARD_COUNT - 1
    assert conversion.catalog.names() == []
    status = conversion.status()
    (failure,) = status["failures"]
    assert (status["state"], status["completed"], failure["shard"], failure["kind"]) == (
        "stopped",
        15,
        [0, 0],
        "source",
    )
    assert "survey.sgy cannot be read (Input/output error)" in failure["message"]
    printed = conversion.command("pipeline", "status", "made").printed
    assert "failed: shard [0, 0], source:" in printed

    faults.mend()
    written = conversion.written()
    ended = conversion.call()
    assert (ended.status, conversion.written()) == (1, written), "a plain call leaves it in quarantine"
    ended = conversion.call("--retry-failed")
    assert (ended.status, conversion.written()) == (0, [*written, (0, 0)])
    conversion.check_complete(expected)


@pytest.mark.slow
def test_many_shards_that_cannot_be_read_stop_the_run(
    source: Path, faults: Faults, make_conversion, failing_files, expected
) -> None:
    faults.fail_in_samples(*(LINES * 10 + crossline for crossline in range(0, LINES, 10)))  # the second row of shards
    conversion = make_conversion(
        {"paths": [f"failing://{source}"], **RECIPE}, options=THREADS, environment=failing_files
    )
    ended = conversion.call("--allowed-failures", "1")
    assert ended.status == 1
    assert "2 shards could not be written, more than --allowed-failures 1" in ended.said
    status = conversion.status()
    assert status["completed"] < SHARD_COUNT - 4
    assert {tuple(failure["shard"]) for failure in status["failures"]} < {(1, column) for column in range(4)}
    faults.mend()
    assert conversion.call("--retry-failed").status == 0
    assert Counter(conversion.written()).most_common(1)[0][1] == 1
    conversion.check_complete(expected)


class SmallDisk:
    """A file system in memory that is soon full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, nbytes: int) -> None:
        self._mount("-o", f"remount,size={nbytes}", str(self.folder))

    def mount(self) -> None:
        self.folder.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.folder))

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    @staticmethod
    def _mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "small")
    try:
        disk.mount()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here ({error})")
    yield disk
    disk.unmount()


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6, 0.98])
def test_a_full_disk(share: float, small_disk: SmallDisk, make_conversion, expected) -> None:
    """Full while arrays are made, amid the shards, and when all but the last metadata is written."""
    needed = sum(-(-len(content) // 4096) * 4096 for content in expected.values())
    small_disk.resize(int(share * needed))
    out = str(small_disk.folder / "made.zarr")
    conversion = make_conversion({"paths": [SURVEY], "out": out, **RECIPE}, options=THREADS)
    ended = conversion.call()
    print(share, ended.said[-600:], len(conversion.records()))
    assert ended.status == 1, ended
    assert "make room" in ended.said
    assert conversion.catalog.names() == []
    records, written = conversion.records(), conversion.written()
    small_disk.resize(10 * needed)
    assert conversion.call().status == 0
    assert not records & set(conversion.written()[len(written) :])
    conversion.check_complete(expected)


@pytest.mark.slow
def test_an_object_store_that_fails_now_and_then(
    faulty_store: tuple[FaultyProxy, str], source: Path, make_conversion, expected
) -> None:
    """Read from it and written to it; its client tries everything twice, and is killed once."""
    proxy, bucket = faulty_store
    fsspec.filesystem("s3").put_file(str(source), f"{bucket}/survey.sgy")
    conversion = make_conversion(
        {"paths": [f"{bucket}/survey.sgy"], "out": f"{bucket}/made.zarr", **RECIPE},
        options=THREADS,
        environment={"AWS_ENDPOINT_URL": proxy.url, "AWS_MAX_ATTEMPTS": "2"},
    )
    proxy.share = 0.05
    calls = [call_and_kill(conversion)]
    while calls[-1].status != -signal.SIGKILL:
        calls.append(call_and_kill(conversion))
        assert len(calls) < 10, calls
    while calls[-1].status != 0:
        calls.append(conversion.call("--retry-failed"))
        assert len(calls) < 20, calls
    proxy.share = 0.0
    assert min(proxy.faults[method] for method in ("GET", "HEAD", "PUT")) > 0
    assert Counter(conversion.written()).most_common(1)[0][1] == 1
    conversion.check_complete(expected)


def call_and_kill(conversion: Any) -> Any:
    """A call that is killed amid its shards, unless storage ends it before."""
    call = conversion.start("--retry-failed")
    while call.poll() is None:
        if len(conversion.records()) >= SHARD_COUNT // 3:
            call.kill()
    return conversion.ended(call)
