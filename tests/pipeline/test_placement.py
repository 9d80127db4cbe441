"""Traces onto the grid: the same as in memory, whatever the order, the holes, and how much is held at a time."""

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segyio
import zarr
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.recipe import HeaderBytes
from pipeline.survey.axis import Axis
from pipeline.survey.files import open_survey
from pipeline.survey.placement import (
    NO_TRACE,
    Coverage,
    Placement,
    Repeats,
    compare_coverage,
    cut_blocks,
    write_trace_numbers,
)
from pipeline.survey.read_pattern import ReadPattern, read_pattern
from pipeline.survey.scan import scan
from pipeline.survey.trace_index import TraceIndex
from pipeline.synthetic.rehearsal import RehearsalSurvey
from pipeline.work.cluster import PROCESSES, dask_client

MakeIndex = Callable[..., TraceIndex]
in_hypothesis = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def axes_of(inlines: range, crosslines: range) -> tuple[Axis, Axis]:
    inline, crossline = (
        Axis(name=name, first=labels.start, step=labels.step, size=len(labels), long_name=f"{name} number")
        for name, labels in (("inline", inlines), ("crossline", crosslines))
    )
    return inline, crossline


def new_array(folder: Path, shape: tuple[int, ...], chunk: tuple[int, ...], name: str = "trace_number") -> str:
    url = str(folder / name)
    zarr.create_array(url, shape=shape, dtype="int64", chunks=chunk, fill_value=NO_TRACE, overwrite=True)
    return url


def stored(url: str) -> NDArray[np.int64]:
    return np.asarray(zarr.open_array(url, mode="r")[...])


def placed_in_memory(
    cells: list[tuple[int, int]], inlines: range, crosslines: range, duplicates: str = "first"
) -> tuple[NDArray[np.int64], list[int], list[int]]:
    """The obvious way: grid, traces that lie outside, and traces whose cell another one has."""
    grid = np.full((len(inlines), len(crosslines)), NO_TRACE)
    outside, repeats = [], []
    for number, (inline, crossline) in enumerate(cells):
        if inline not in inlines or crossline not in crosslines:
            outside.append(number)
        elif grid[(cell := (inlines.index(inline), crosslines.index(crossline)))] == NO_TRACE:
            grid[cell] = number
        elif duplicates == "last":
            repeats.append(int(grid[cell]))
            grid[cell] = number
        else:
            repeats.append(number)
    return grid, outside, repeats


def patterns_in_memory(grid: NDArray[np.int64], chunk: tuple[int, int]) -> ReadPattern:
    total = ReadPattern()
    for i in range(0, grid.shape[0], chunk[0]):
        for x in range(0, grid.shape[1], chunk[1]):
            total = total.merged(read_pattern(grid[i : i + chunk[0], x : x + chunk[1]]))
    return total


@in_hypothesis
@given(
    cells=st.lists(st.tuples(st.integers(-2, 12), st.integers(-2, 12)), min_size=1, max_size=80),
    inlines=st.builds(range, st.integers(-2, 1), st.integers(2, 12), st.integers(1, 3)),
    crosslines=st.builds(range, st.integers(-2, 1), st.integers(2, 12), st.integers(1, 3)),
    chunk=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    part_traces=st.integers(1, 9),
    run_traces=st.integers(1, 30),
    block_cells=st.integers(1, 60),
    duplicates=st.sampled_from(["first", "last", "mean"]),
)
def test_traces_are_placed_as_in_memory(
    make_index: MakeIndex,
    tmp_path: Path,
    client: Client,
    cells: list[tuple[int, int]],
    inlines: range,
    crosslines: range,
    chunk: tuple[int, int],
    part_traces: int,
    run_traces: int,
    block_cells: int,
    duplicates: Any,
) -> None:
    expected, outside, repeats = placed_in_memory(cells, inlines, crosslines, duplicates)
    repeats_url = str(tmp_path / uuid.uuid4().hex)
    url = new_array(tmp_path, expected.shape, chunk)
    zarr.open_array(url, mode="r+")[...] = 4711  # what an earlier attempt wrote must not stay
    placement = write_trace_numbers(
        make_index(part_traces, inline=[i for i, _ in cells], crossline=[x for _, x in cells]),
        axes_of(inlines, crosslines),
        array_url=url,
        shard_shape=(*chunk, 100),
        scratch=str(tmp_path / "scratch"),
        client=client,
        duplicates=duplicates,
        repeats_url=repeats_url,
        run_traces=run_traces,
        block_cells=block_cells,
    )
    np.testing.assert_array_equal(stored(url), expected)
    pattern = patterns_in_memory(expected, chunk)
    assert placement == Placement(pattern=pattern, outside_count=len(outside), repeat_count=len(repeats))
    kept = Repeats(repeats_url, url)
    without_cell = [number for part in kept.counts() for number in kept.numbers(part).tolist()]
    assert sorted(without_cell) == sorted(outside + repeats)


@in_hypothesis
@given(
    cells=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=60),
    chunk=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)),
    run_traces=st.integers(1, 30),
    block_cells=st.integers(1, 60),
)
def test_traces_of_one_cell_lie_along_a_dimension(
    make_index: MakeIndex,
    tmp_path: Path,
    client: Client,
    cells: list[tuple[int, int]],
    chunk: tuple[int, int, int],
    run_traces: int,
    block_cells: int,
) -> None:
    most = max(Counter(cells).values())
    expected = np.full((4, 3, most), NO_TRACE)
    for number, cell in enumerate(cells):
        expected[cell][np.flatnonzero(expected[cell] == NO_TRACE)[0]] = number
    url = new_array(tmp_path, expected.shape, chunk)
    duplicate = Axis(name="duplicate", first=0, size=most, long_name="")
    write_trace_numbers(
        make_index(inline=[i for i, _ in cells], crossline=[x for _, x in cells]),
        (*axes_of(range(4), range(3)), duplicate),
        array_url=url,
        shard_shape=(*chunk, 100),
        scratch=str(tmp_path / "scratch"),
        client=client,
        duplicates="dimension",
        repeats_url=str(tmp_path / "repeats"),
        run_traces=run_traces,
        block_cells=block_cells,
    )
    np.testing.assert_array_equal(stored(url), expected)
    assert not list((tmp_path / "scratch").glob("*"))


@settings(deadline=None)
@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_the_read_pattern_is_what_going_through_the_numbers_finds(order: list[int], holes: set[int]) -> None:
    block = np.array(
        [NO_TRACE if place in holes else 10 * (number // 3) + number for place, number in enumerate(order)]
    )
    numbers = sorted(number for number in block.tolist() if number >= 0)
    found = read_pattern(block.reshape(3, 4))
    assert found.trace_count == len(numbers) == 12 - len(holes)
    assert found.shard_count == (1 if numbers else 0)
    assert found.run_count == sum(number - 1 not in numbers for number in numbers)
    assert found.span == (numbers[-1] - numbers[0] + 1 if numbers else 0)


def test_read_patterns_add_up() -> None:
    one, other = read_pattern(np.array([[4, 5], [9, -1]])), read_pattern(np.array([[-1, 0], [1, 2]]))
    assert one == ReadPattern(shard_count=1, trace_count=3, run_count=2, span=6)
    assert one.merged(other) == ReadPattern(shard_count=2, trace_count=6, run_count=3, span=9)
    assert one.merged(ReadPattern()) == one == ReadPattern.model_validate_json(one.model_dump_json())


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    chunk=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    block_cells=st.integers(1, 500),
)
def test_blocks_are_whole_chunks_that_cover_the_grid_once(
    shape: tuple[int, int], chunk: tuple[int, int], block_cells: int
) -> None:
    blocks = cut_blocks(shape, chunk, block_cells=block_cells)
    assert all(length % part == 0 for length, part in zip(blocks.block_shape, chunk, strict=True))
    assert np.prod(blocks.block_shape) <= max(block_cells, np.prod(chunk))
    covered = np.zeros(shape, int)
    for block in range(int(np.prod(blocks.counts))):
        covered[blocks.slices(block)] += 1
    assert (covered == 1).all()


def test_an_array_of_other_chunks_is_refused(make_index: MakeIndex, tmp_path: Path, client: Client) -> None:
    url = new_array(tmp_path, (3, 2), (2, 2))
    index = make_index(inline=[1, 2, 3], crossline=[1, 2, 1])
    for axes, shard_shape in (
        (axes_of(range(1, 4), range(1, 3)), (3, 2, 9)),
        (axes_of(range(1, 5), range(1, 3)), (2, 2, 9)),
    ):
        with pytest.raises(RuntimeError, match="has shape and chunk"):
            write_trace_numbers(
                index,
                axes,
                array_url=url,
                shard_shape=shard_shape,
                scratch=str(tmp_path / "scratch"),
                client=client,
                repeats_url=str(tmp_path / "repeats"),
            )


def test_traces_of_another_survey_are_matched_by_label(make_index: MakeIndex, tmp_path: Path, client: Client) -> None:
    axes = axes_of(range(1, 4), range(10, 30, 10))
    pairs = [(i, x) for i in (1, 2, 3) for x in (10, 20)]
    np.random.default_rng(5).shuffle(pairs)
    index = make_index(inline=[i for i, _ in pairs], crossline=[x for _, x in pairs])
    main, label = (new_array(tmp_path, (3, 2), (2, 2), name) for name in ("main", "label"))
    options: dict[str, Any] = {"shard_shape": (2, 2, 9), "scratch": str(tmp_path / "scratch"), "client": client}
    options["repeats_url"] = str(tmp_path / "repeats")
    write_trace_numbers(make_index(**grid_words()), axes, array_url=main, **options)
    placement = write_trace_numbers(index, axes, array_url=label, **options)
    assert (placement.outside_count, placement.repeat_count) == (0, 0)
    for (i, x), number in np.ndenumerate(stored(label)):
        assert pairs[number] == (axes[0].values[i], axes[1].values[x])
    assert compare_coverage(main, label, client=client) == Coverage(missing=0, extra=0)


def grid_words() -> dict[str, list[int]]:
    return {"inline": [1, 1, 2, 2, 3, 3], "crossline": [10, 20, 10, 20, 10, 20]}


def test_a_shifted_label_volume_lacks_what_it_has_elsewhere(
    make_index: MakeIndex, tmp_path: Path, client: Client
) -> None:
    axes = axes_of(range(1, 4), range(10, 30, 10))
    main, label = (new_array(tmp_path, (3, 2), (2, 2), name) for name in ("main", "label"))
    options: dict[str, Any] = {"shard_shape": (2, 2, 9), "scratch": str(tmp_path / "scratch"), "client": client}
    options["repeats_url"] = str(tmp_path / "repeats")
    write_trace_numbers(make_index(**grid_words()), axes, array_url=main, **options)
    shifted = make_index(inline=[2, 2, 3, 3, 4, 4, 2], crossline=[10, 20, 10, 20, 10, 20, 15])
    placement = write_trace_numbers(shifted, axes, array_url=label, **options)
    assert (placement.outside_count, placement.repeat_count) == (3, 0)
    assert compare_coverage(main, label, client=client) == Coverage(missing=2, extra=0)
    assert compare_coverage(label, main, client=client) == Coverage(missing=0, extra=2)


@in_hypothesis
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=12, max_size=12), st.integers(1, 4), st.integers(1, 3)
)
def test_coverage_is_compared_cell_by_cell(
    tmp_path: Path, client: Client, occupied: list[tuple[bool, bool]], rows: int, columns: int
) -> None:
    urls = []
    for place, name in enumerate(("main", "other")):
        urls.append(new_array(tmp_path, (4, 3), (rows, columns), name))
        numbers = [number if both[place] else NO_TRACE for number, both in enumerate(occupied)]
        zarr.open_array(urls[-1], mode="r+")[...] = np.array(numbers).reshape(4, 3)
    assert compare_coverage(urls[0], urls[1], client=client) == Coverage(
        missing=sum(here and not there for here, there in occupied),
        extra=sum(there and not here for here, there in occupied),
    )


def test_a_file_is_placed_by_worker_processes(make_segy: Any, tmp_path: Path) -> None:
    made = make_segy(keep=lambda inline, crossline: (inline + crossline) % 5 != 0)
    with segyio.open(str(made.path), ignore_geometry=True) as file:
        cells = list(zip(file.attributes(189)[:].tolist(), file.attributes(193)[:].tolist(), strict=True))
    scratch = str(tmp_path / "scratch")
    with dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as client:
        index = scan(open_survey((str(made.path),), HeaderBytes()), keep=str(tmp_path / "keep"), client=client)
        url = new_array(tmp_path, (12, 9), (5, 4))
        write_trace_numbers(
            index,
            axes_of(range(100, 124, 2), range(300, 309)),
            array_url=url,
            shard_shape=(5, 4, 50),
            scratch=scratch,
            client=client,
            repeats_url=str(tmp_path / "repeats"),
        )
    expected, _, _ = placed_in_memory(cells, range(100, 124, 2), range(300, 309))
    np.testing.assert_array_equal(stored(url), expected)


PLACE_REHEARSAL = """
import json, resource, sys
import zarr
from pipeline.work.cluster import THREADS, dask_client
from pipeline.survey.headers import Workplace, resolved, sample_evidence
from pipeline.survey.placement import write_trace_numbers
from pipeline.recipe import HeaderBytes
from pipeline.survey.files import open_survey

def place(values, folder, client):
    survey = open_survey((f"rehearsal://{values}/survey.sgy",), HeaderBytes())
    workplace = Workplace(client, f"{folder}/keep", f"{folder}/scratch")
    survey, index, geometry = resolved(survey, sample_evidence(survey), None, workplace)
    url = f"{folder}/trace_number"
    zarr.create_array(url, shape=geometry.shape, dtype="int64", chunks=(64, 64), fill_value=-1)
    placement = write_trace_numbers(
        index, geometry.axes, array_url=url, shard_shape=(64, 64, 2), scratch=f"{folder}/scratch", client=client,
        repeats_url=f"{folder}/repeats",
    )
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"kind": geometry.kind, "placement": placement.model_dump(), "peak_mib": peak_mib}

small, big, folder = sys.argv[1:]
with dask_client(scheduler=THREADS, workers=2, memory="auto") as client:
    print(json.dumps([place(small, f"{folder}/small", client), place(big, f"{folder}/big", client)]))
"""


@pytest.mark.slow
def test_ten_million_traces_in_random_order_take_bounded_memory(tmp_path: Path) -> None:
    survey = RehearsalSurvey(inlines=2500, crosslines=4000, samples=2, order="random")
    big = "inlines=2500,crosslines=4000,samples=2,order=random"
    small = "inlines=25,crosslines=40,samples=2,order=random"
    done = subprocess.run(
        [sys.executable, "-c", PLACE_REHEARSAL, small, big, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    of_small, of_big = json.loads(done.stdout)
    assert of_big["kind"] == "stack3d"
    assert of_big["placement"]["pattern"]["trace_count"] == 10_000_000
    assert (of_big["placement"]["outside_count"], of_big["placement"]["repeat_count"]) == (0, 0)
    # Their trace numbers and words alone would take 10 000 000 x 11 x 8 bytes, which is 840 MiB.
    assert of_big["peak_mib"] - of_small["peak_mib"] < 450
    numbers = stored(str(tmp_path / "big" / "trace_number"))
    np.testing.assert_array_equal(np.sort(numbers, axis=None), np.arange(10_000_000))
    rows = np.random.default_rng(1).integers(0, 10_000_000, 100_000)
    inlines, crosslines = survey.cells(numbers.reshape(-1)[rows])
    np.testing.assert_array_equal(inlines * 4000 + crosslines, rows)
