"""The trace index: what segyio reads, from any storage, kept and not read again."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import segyio
from distributed import Client
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import InputError, WorkError
from pipeline.recipe import HeaderBytes, SourceFile
from pipeline.segy import headers as headers_module
from pipeline.storage.objects import object_names
from pipeline.survey import scan as scan_module
from pipeline.survey.files import open_survey
from pipeline.survey.header_words import HeaderWords, summarise
from pipeline.survey.scan import scan
from pipeline.survey.trace_index import FIELDS, TraceIndex, sampled_rows

POSITIONS = {
    "inline": 189,
    "crossline": 193,
    "cdp": 21,
    "cdp_x": 181,
    "cdp_y": 185,
    "offset": 37,
    "coordinate_scalar": 71,
    "coordinate_units": 89,
    "delay_ms": 109,
    "time_scalar": 215,
}
"""First bytes, written down once more from SEG-Y revision 1."""


@pytest.fixture(params=[3, 25, 65_536])
def part_traces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Sizes of parts that cut a small file into many, into some, and not at all."""
    traces: int = request.param
    monkeypatch.setattr(scan_module, "PART_TRACES", (traces, traces))
    return traces


def opened(*paths: str | Path | SourceFile, header_bytes: HeaderBytes | None = None) -> Any:
    sources = tuple(path if isinstance(path, SourceFile) else str(path) for path in paths)
    return open_survey(sources, header_bytes or HeaderBytes())


def read_by_segyio(*paths: Path, endian: str = "big") -> HeaderWords:
    found: dict[str, list[Any]] = {name: [] for name in POSITIONS}
    for path in paths:
        with segyio.open(str(path), ignore_geometry=True, endian=endian) as file:
            for name, first_byte in POSITIONS.items():
                found[name].append(file.attributes(first_byte)[:])
    return {name: np.concatenate(parts).astype(np.int64) for name, parts in found.items()}


def check_index(index: TraceIndex, expected: HeaderWords) -> None:
    count = len(expected["inline"])
    assert index.trace_count == count
    assert index.summary == summarise(expected)
    assert index.first == {name: int(values[0]) for name, values in expected.items()}
    for start, stop in [*index.parts(), (0, count), (count // 3, count), (count // 2, count // 2 + 1)]:
        found = index.read(start, stop, ["crossline", *FIELDS])
        for name in FIELDS:
            np.testing.assert_array_equal(found[name], expected[name][start:stop])
            assert found[name].dtype == np.int64
    assert [start for start, _ in index.parts()] == [0, *(stop for _, stop in list(index.parts())[:-1])]


def hide_changes(path: Path, change: Callable[[bytearray], None]) -> None:
    """Changes a file, and leaves it its size and its time: who reads it again is found out."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def ruin_traces(content: bytearray) -> None:
    content[3600:] = b"\x7f" * (len(content) - 3600)


@pytest.mark.parametrize("endian", ["big", "little"])
def test_the_index_holds_what_segyio_reads(
    client: Client, make_segy: Any, tmp_path: Path, part_traces: int, endian: str
) -> None:
    made = make_segy(endian=endian)
    index = scan(opened(made.path), keep=str(tmp_path / "keep"), client=client)
    check_index(index, read_by_segyio(made.path, endian=endian))


def test_several_files_with_positions_of_their_own_follow_one_another(
    client: Client, make_segy: Any, tmp_path: Path, part_traces: int
) -> None:
    made = [make_segy(f"{name}.sgy", first_inline=first) for name, first in (("a", 100), ("b", 200), ("c", 300))]
    expected = read_by_segyio(*(file.path for file in made))
    with segyio.open(str(made[1].path), "r+", ignore_geometry=True) as file:
        for header in file.header[:]:
            header.update({segyio.su.cdp: header[segyio.su.iline], segyio.su.iline: 7})
    moved = SourceFile(path=str(made[1].path), header_bytes=HeaderBytes(inline=21, cdp=193))
    expected["cdp"][108:216] = expected["crossline"][108:216]
    survey = opened(made[0].path, moved, made[2].path)
    check_index(scan(survey, keep=str(tmp_path / "keep"), client=client), expected)


def test_samples_come_from_all_over(client: Client, make_segy: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(scan_module, "PART_TRACES", (7, 7))
    monkeypatch.setattr(scan_module, "SAMPLED_TRACES", 20)
    made = [make_segy(f"{name}.sgy", first_inline=first) for name, first in (("a", 100), ("b", 200))]
    expected = read_by_segyio(*(file.path for file in made))
    index = scan(opened(*(file.path for file in made)), keep=str(tmp_path / "keep"), client=client)
    rows = {(i, x): number for number, (i, x) in enumerate(zip(expected["inline"], expected["crossline"], strict=True))}
    numbers = [rows[cell] for cell in zip(index.samples["inline"], index.samples["crossline"], strict=True)]
    assert [number // 11 for number in numbers] == list(range(20))  # 216 traces: a stretch is 11 of them
    for name in FIELDS:
        np.testing.assert_array_equal(index.samples[name], expected[name][numbers])


@settings(deadline=None)
@given(count=st.integers(1, 200), part=st.integers(1, 50), spacing=st.integers(1, 60))
def test_one_row_is_sampled_out_of_each_stretch_whatever_the_parts(count: int, part: int, spacing: int) -> None:
    parts = [(start, min(start + part, count)) for start in range(0, count, part)]
    rows = [row for start, stop in parts for row in sampled_rows(start, stop, spacing=spacing)]
    assert [row // spacing for row in rows] == list(range(-(-count // spacing)))
    assert max(rows) < count


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3).map(lambda k: 6 * k), min_size=1, max_size=30),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_summaries_of_parts_merge_to_that_of_all(values: list[int], cuts: list[int]) -> None:
    words = {name: np.array(values, np.int64) * (name != "offset") for name in FIELDS}
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [summarise({name: column[start:stop] for name, column in words.items()}) for start, stop in pairwise(edges)]
    whole = summarise(words)
    assert reduce(lambda left, right: left.merged(right), parts) == whole
    assert reduce(lambda left, right: right.merged(left), parts) == whole
    found = whole.ranges["cdp"]
    assert all((value - found.least) % (found.step or 1) == 0 for value in values)


def test_a_kept_index_is_used_without_reading_a_trace(
    client: Client, make_segy: Any, tmp_path: Path, part_traces: int
) -> None:
    made = make_segy()
    expected = read_by_segyio(made.path)
    keep = str(tmp_path / "keep")
    scan(opened(made.path), keep=keep, client=client)
    hide_changes(made.path, ruin_traces)
    check_index(scan(opened(made.path), keep=keep, client=client), expected)


def test_a_file_that_changed_is_read_again(client: Client, make_segy: Any, tmp_path: Path) -> None:
    made = make_segy()
    keep = str(tmp_path / "keep")
    scan(opened(made.path), keep=keep, client=client)
    with segyio.open(str(made.path), "r+", ignore_geometry=True) as file:
        file.header[5] = {segyio.su.cdp: 4711}
    os.utime(made.path)  # the clock of the file system may be coarser than the test is fast
    check_index(scan(opened(made.path), keep=keep, client=client), read_by_segyio(made.path))


def test_other_header_positions_are_read_anew(client: Client, make_segy: Any, tmp_path: Path) -> None:
    made = make_segy()
    keep = str(tmp_path / "keep")
    expected = read_by_segyio(made.path)
    check_index(scan(opened(made.path), keep=keep, client=client), expected)
    swapped = opened(made.path, header_bytes=HeaderBytes(inline=193, crossline=189))
    expected["inline"], expected["crossline"] = expected["crossline"], expected["inline"]
    check_index(scan(swapped, keep=keep, client=client), expected)


@pytest.mark.parametrize("leftover", ["no summary", "half a summary"])
def test_parts_that_a_killed_scan_wrote_are_not_read_again(
    client: Client, make_segy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leftover: str
) -> None:
    monkeypatch.setattr(scan_module, "PART_TRACES", (20, 20))
    made = make_segy()
    expected = read_by_segyio(made.path)
    keep = tmp_path / "keep"
    scan(opened(made.path), keep=str(keep), client=client)
    (summary,) = keep.glob("*.json")
    if leftover == "no summary":
        summary.unlink()
    else:
        summary.write_text(summary.read_text()[:100])
    (array,) = keep.glob("*.zarr")
    (array / "c" / "0" / "2").unlink()  # traces 40 to 59
    (array / "c" / "0" / "2.partial").write_text("of a writer that was killed")

    def number_anew(content: bytearray) -> None:
        for trace in range(len(expected["cdp"])):
            first = 3600 + trace * 440 + 20
            content[first : first + 4] = (1000 + trace).to_bytes(4, "big")

    hide_changes(made.path, number_anew)
    expected["cdp"][40:60] = np.arange(1040, 1060)
    check_index(scan(opened(made.path), keep=str(keep), client=client), expected)


def test_an_index_that_lost_a_part_says_so(client: Client, make_segy: Any, tmp_path: Path) -> None:
    made = make_segy()
    index = scan(opened(made.path), keep=str(tmp_path / "keep"), client=client)
    next((tmp_path / "keep").glob("*.zarr/c/0/0")).unlink()
    with pytest.raises(WorkError, match="lost some of its parts: remove it"):
        index.read(0, 5, ["inline"])


def test_a_file_that_changes_after_it_was_opened_is_refused_and_not_kept(
    client: Client, make_segy: Any, tmp_path: Path
) -> None:
    made = make_segy()
    survey = opened(made.path)
    os.utime(made.path, ns=(0, 0))
    with pytest.raises(InputError, match="changed since it was opened"):
        scan(survey, keep=str(tmp_path / "keep"), client=client)
    assert not list((tmp_path / "keep").glob("*.json"))
    assert not list((tmp_path / "keep").glob("*.zarr/c/0/*"))


@pytest.mark.parametrize("cut_nbytes", [1, 1000, 20_000])
def test_a_file_that_became_shorter_is_refused(
    client: Client, make_segy: Any, tmp_path: Path, part_traces: int, cut_nbytes: int
) -> None:
    made = make_segy()
    survey = opened(made.path)
    os.truncate(made.path, made.path.stat().st_size - cut_nbytes)
    with pytest.raises(InputError, match=r"became shorter since it was opened|changed since it was opened"):
        scan(survey, keep=str(tmp_path / "keep"), client=client)


@pytest.mark.parametrize("window_nbytes", [440, 10_000, 2**25])
def test_what_the_page_cache_does_not_hold_is_streamed(
    client: Client, make_segy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_nbytes: int
) -> None:
    monkeypatch.delattr(os, "RWF_NOWAIT")  # as on macOS: nobody tells what is cached
    monkeypatch.setattr(headers_module, "NEAR_NBYTES", window_nbytes)
    monkeypatch.setattr(headers_module, "_mapped", None)
    made = make_segy()
    check_index(scan(opened(made.path), keep=str(tmp_path / "keep"), client=client), read_by_segyio(made.path))


def test_a_file_that_went_away_is_named(client: Client, make_segy: Any, tmp_path: Path) -> None:
    made = make_segy()
    survey = opened(made.path)
    made.path.unlink()
    with pytest.raises((InputError, WorkError), match=str(made.path)):
        scan(survey, keep=str(tmp_path / "keep"), client=client)


@pytest.fixture
def memory_url() -> Iterator[str]:
    """A folder of fsspec's file system in memory: no local file, and it tells no versions."""
    folder = "memory://scanned"
    yield folder
    MemoryFileSystem().rm("/scanned", recursive=True)


@pytest.mark.parametrize("window_nbytes", [440, 10_000, 2**25])
@pytest.mark.parametrize("long_trace_nbytes", [100, 2**20])
def test_files_elsewhere_are_streamed_or_asked_for_header_by_header(
    client: Client,
    make_segy: Any,
    memory_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    window_nbytes: int,
    long_trace_nbytes: int,
) -> None:
    monkeypatch.setattr(headers_module, "WINDOW_NBYTES", window_nbytes)
    monkeypatch.setattr(headers_module, "LONG_TRACE_NBYTES", long_trace_nbytes)
    monkeypatch.setattr(headers_module, "HEADERS_PER_REQUEST", 50)
    monkeypatch.setattr(scan_module, "PART_TRACES", (70, 70))
    made = make_segy()
    with fsspec.open(f"{memory_url}/survey.sgy", "wb") as file:
        file.write(made.path.read_bytes())
    survey = opened(f"{memory_url}/survey.sgy")
    check_index(scan(survey, keep=str(tmp_path / "keep"), client=client), read_by_segyio(made.path))


@pytest.mark.parametrize("long_trace_nbytes", [100, 2**20])
def test_a_shorter_file_elsewhere_is_refused(
    client: Client, make_segy: Any, memory_url: str, monkeypatch: pytest.MonkeyPatch, long_trace_nbytes: int
) -> None:
    monkeypatch.setattr(headers_module, "LONG_TRACE_NBYTES", long_trace_nbytes)
    content = make_segy().path.read_bytes()
    with fsspec.open(f"{memory_url}/survey.sgy", "wb") as file:
        file.write(content)
    survey = opened(f"{memory_url}/survey.sgy")
    with fsspec.open(f"{memory_url}/survey.sgy", "wb") as file:
        file.write(content[:-300])
    with pytest.raises(InputError, match=r"became shorter|changed since"):
        scan(survey, keep=f"{memory_url}/keep", client=client)


def test_where_no_version_is_told_nothing_kept_is_trusted(client: Client, make_segy: Any, memory_url: str) -> None:
    for cdp in (1, 2):
        made = make_segy()
        with segyio.open(str(made.path), "r+", ignore_geometry=True) as file:
            file.header[5] = {segyio.su.cdp: cdp}
        with fsspec.open(f"{memory_url}/survey.sgy", "wb") as file:
            file.write(made.path.read_bytes())
        index = scan(opened(f"{memory_url}/survey.sgy"), keep=f"{memory_url}/keep", client=client)
        check_index(index, read_by_segyio(made.path))


SCAN_ELSEWHERE = """
import sys
import numpy as np
from pipeline.survey import scan
from pipeline.work.cluster import THREADS, dask_client
from pipeline.recipe import HeaderBytes
from pipeline.segy import headers
from pipeline.survey.files import open_survey

bucket, long_trace_nbytes, out = sys.argv[1:]
headers.LONG_TRACE_NBYTES = int(long_trace_nbytes)
scan.PART_TRACES = (40, 40)
survey = open_survey((f"{bucket}/survey.sgy",), HeaderBytes())
with dask_client(scheduler=THREADS, workers=2, memory="auto") as client:
    index = scan.scan(survey, keep=f"{bucket}/keep", client=client)
assert index.summary.trace_count == 108
np.savez(out, **index.read(0, 108, survey.names))
"""


@pytest.mark.parametrize("long_trace_nbytes", [100, 2**20])
def test_survey_and_index_may_lie_in_an_object_store(
    make_segy: Any, bucket_url: str, tmp_path: Path, long_trace_nbytes: int
) -> None:
    made = make_segy()
    expected = read_by_segyio(made.path)
    filesystem, folder = fsspec.url_to_fs(bucket_url)
    filesystem.put_file(str(made.path), f"{folder}/survey.sgy")
    kept = set()
    for _ in range(2):
        # In a process of its own, which ends with the connections that zarr keeps open.
        out = str(tmp_path / "found.npz")
        subprocess.run([sys.executable, "-c", SCAN_ELSEWHERE, bucket_url, str(long_trace_nbytes), out], check=True)
        with np.load(out) as found:
            for name in FIELDS:
                np.testing.assert_array_equal(found[name], expected[name])
        filesystem.invalidate_cache()
        kept |= object_names(f"{bucket_url}/keep")
    assert sorted(name.rpartition(".")[2] for name in kept) == ["json", "zarr"]


def test_real_files_are_indexed_as_segyio_reads_them(client: Client, real_data: Path, tmp_path: Path) -> None:
    compared = 0
    for path in sorted((real_data / "segy").rglob("*.s*gy")):
        try:
            survey = opened(path)
            expected = read_by_segyio(path, endian=survey.files[0].byte_order)
        except (InputError, RuntimeError, OSError, KeyError, UserWarning):
            continue  # one of the two refuses it; segyio does not know formats 7 and 15
        if len(expected["inline"]) == survey.trace_count and not survey.pinned:  # by the file's own layout
            check_index(scan(survey, keep=str(tmp_path / "keep"), client=client), expected)
            compared += 1
    assert compared >= 20
