"""What a conversion will cost: which way of reading is taken, and how large shards may be, against what happens."""

import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.plan.chunking import SAMPLE_NBYTES, ChunkPlan, plan_chunks
from pipeline.plan.costs import (
    GAP_LIMIT_NBYTES,
    LOCAL,
    MIB,
    REMOTE,
    SAMPLED_SHARDS,
    SORT_RANGE_NBYTES,
    SORT_RELUCTANCE,
    WORKER_NBYTES,
    Medium,
    Reads,
    ReadStrategy,
    choose_reads,
    medium_of,
    output_nbytes,
    plan_chunks_for,
    possible_reads,
    predicted_pattern,
    sort_range_nbytes,
    task_nbytes,
)
from pipeline.plan.design import design_store
from pipeline.recipe import HeaderBytes, load_recipe
from pipeline.shards import buffers as buffers_module
from pipeline.shards.write import ShardJob, write_shard
from pipeline.store.template import create_template
from pipeline.survey.axis import Axis
from pipeline.survey.files import open_survey
from pipeline.survey.headers import Workplace, read_headers
from pipeline.survey.order import AsInFile, FileOrder, LineByLine, Progression
from pipeline.survey.read_pattern import ReadPattern, read_pattern
from pipeline.synthetic.rehearsal import RehearsalSurvey
from pipeline.work.memory import WorkerMemory

HEADER_NBYTES = 240


def axes_of(inlines: int, crosslines: int) -> tuple[Axis, Axis]:
    return (
        Axis(name="inline", first=1, size=inlines, long_name="inline number"),
        Axis(name="crossline", first=1, size=crosslines, long_name="crossline number"),
    )


def whole_lines(slow_axis: str, inlines: int, crosslines: int) -> LineByLine:
    """One file that holds a grid line by line."""
    along = {"inline": inlines, "crossline": crosslines}
    slow, fast = along.pop(slow_axis), *along.values()
    file = FileOrder(
        first_trace=0, slow=Progression(first=1, step=1, size=slow), fast=Progression(first=1, step=1, size=fast)
    )
    return LineByLine.model_validate({"slow_axis": slow_axis, "files": [file]})


def numbers_of(order: str, inlines: int, crosslines: int) -> NDArray[np.int64]:
    """Trace number of each cell of a rehearsal survey."""
    survey = RehearsalSurvey.model_validate(
        {"inlines": inlines, "crosslines": crosslines, "samples": 2, "order": order, "seed": 3}
    )
    numbers = np.arange(survey.trace_count)
    grid = np.empty((inlines, crosslines), np.int64)
    grid[survey.cells(numbers)] = numbers
    return grid


def exact_pattern(numbers: NDArray[np.int64], chunks: ChunkPlan) -> ReadPattern:
    """Of all shards, from the trace number of each cell."""
    parts: Iterable[ReadPattern] = (read_pattern(numbers[chunks.trace_slices(shard)]) for shard in chunks.shards())
    return reduce(ReadPattern.merged, parts, ReadPattern())


def trace_nbytes(sample_count: int) -> int:
    return HEADER_NBYTES + SAMPLE_NBYTES * sample_count


@pytest.mark.parametrize(
    ("order", "shape", "medium", "strategy"),
    [
        # One shard takes all, in whatever order.
        ("inline", (50, 60, 100), LOCAL, "bands"),
        ("crossline", (50, 60, 100), REMOTE, "bands"),
        # Shards that take nearly whole lines of the file.
        ("crossline", (100, 4000, 50), LOCAL, "bands"),
        ("crossline", (100, 4000, 50), REMOTE, "bands"),
        # Long lines: between the runs of a shard lies too much to read through.
        ("inline", (1000, 1000, 1000), LOCAL, "gather"),
        ("inline", (3000, 3000, 2000), LOCAL, "gather"),
        ("inline", (3000, 3000, 2000), REMOTE, "gather"),
        ("crossline", (3000, 3000, 2000), LOCAL, "gather"),
        ("crossline", (3000, 3000, 2000), REMOTE, "gather"),
        ("inline", (250_000, 250_000, 4000), LOCAL, "gather"),
        # Short runs of short traces: requests are worth more than bytes.
        ("crossline", (3000, 3000, 100), LOCAL, "gather"),
        ("crossline", (3000, 3000, 100), REMOTE, "sort"),
    ],
)
def test_the_way_of_reading_whole_lines(order: str, shape: tuple[int, int, int], medium: Medium, strategy: str) -> None:
    pattern = predicted_pattern(whole_lines(order, *shape[:2]), axes_of(*shape[:2]), plan_chunks(shape))
    assert choose_reads(pattern, trace_nbytes=trace_nbytes(shape[2]), medium=medium).strategy == strategy


@pytest.mark.parametrize("medium", [LOCAL, REMOTE])
@pytest.mark.parametrize("shape", [(200, 320, 300), (300, 300, 40)])
def test_traces_in_random_order_are_sorted(shape: tuple[int, int, int], medium: Medium) -> None:
    pattern = exact_pattern(numbers_of("random", *shape[:2]), plan_chunks(shape))
    reads = choose_reads(pattern, trace_nbytes=trace_nbytes(shape[2]), medium=medium)
    assert reads.is_sorted
    assert reads.scratch_nbytes == prod(shape[:2]) * trace_nbytes(shape[2])


def test_long_traces_in_random_order_are_asked_for_one_by_one() -> None:
    """From a disk: a piece for each shard of each range is a trace or two, and sorting writes all of them as well."""
    chunks = plan_chunks((9000, 5000, 4000))
    count = prod(chunks.shape[:2])
    scattered = ReadPattern(
        shard_count=chunks.shard_count, trace_count=count, run_count=count, span=count * chunks.shard_count
    )
    assert choose_reads(scattered, trace_nbytes=trace_nbytes(4000), medium=LOCAL).strategy == "gather"


@pytest.mark.parametrize("medium", [LOCAL, REMOTE])
def test_traces_in_file_order_are_read_in_bands(medium: Medium) -> None:
    chunks = plan_chunks((1_000_000, 1500))
    axis = Axis(name="trace", first=0, size=1_000_000, long_name="trace number")
    pattern = predicted_pattern(AsInFile(), (axis,), chunks)
    assert pattern.run_count == pattern.shard_count == chunks.shard_count
    reads = choose_reads(pattern, trace_nbytes=trace_nbytes(1500), medium=medium)
    assert reads.strategy is ReadStrategy.BANDS
    assert reads.request_count == chunks.shard_count
    assert reads.read_nbytes == pattern.trace_count * trace_nbytes(1500)


@st.composite
def patterns(draw: st.DrawFn) -> ReadPattern:
    """Patterns that can be: a run holds a trace, a gap leaves one out."""
    shards = draw(st.integers(1, 10_000))
    runs = shards + draw(st.integers(0, 10**6))
    traces = runs + draw(st.integers(0, 10**8))
    gaps = 0 if runs == shards else (runs - shards) * draw(st.integers(1, 10**5))
    return ReadPattern(shard_count=shards, trace_count=traces, run_count=runs, span=traces + gaps)


trace_sizes = st.integers(1, 30_000).map(trace_nbytes)
media = st.builds(Medium, request_s=st.floats(1e-6, 1e-1), nbytes_per_s=st.floats(1e6, 1e11))


def range_count(pattern: ReadPattern, *, trace_nbytes: int) -> int:
    """Ranges that are sorted one after the other."""
    source_nbytes = pattern.trace_count * trace_nbytes
    return -(-source_nbytes // sort_range_nbytes(pattern.shard_count, source_nbytes))


def by_strategy(options: list[Reads]) -> dict[ReadStrategy, Reads]:
    return {reads.strategy: reads for reads in options}


@settings(deadline=None)
@given(patterns(), trace_sizes, media)
def test_the_cheapest_possible_way_is_taken(pattern: ReadPattern, nbytes: int, medium: Medium) -> None:
    options = by_strategy(possible_reads(pattern, trace_nbytes=nbytes, medium=medium))
    chosen = choose_reads(pattern, trace_nbytes=nbytes, medium=medium)
    assert options[chosen.strategy] == chosen
    without_scratch = min(reads.seconds for reads in options.values() if not reads.is_sorted)
    if chosen.is_sorted:
        assert chosen.seconds * SORT_RELUCTANCE < without_scratch
    else:
        assert chosen.seconds == without_scratch <= options[ReadStrategy.SORT].seconds * SORT_RELUCTANCE


@pytest.mark.parametrize(
    ("shard_count", "shard_mib", "mib"),
    [(20, 100, 64), (20, 40, 64), (1024, 100, 64), (1200, 100, 75), (6000, 128, 128), (6000, 1000, 375)],
)
def test_a_range_to_be_sorted_has_something_for_each_shard_and_does_not_outgrow_it(
    shard_count: int, shard_mib: int, mib: int
) -> None:
    assert sort_range_nbytes(shard_count, shard_count * shard_mib * MIB) == mib * MIB


@settings(deadline=None)
@given(patterns(), trace_sizes, media)
def test_requests_and_bytes_are_bounded(pattern: ReadPattern, nbytes: int, medium: Medium) -> None:
    source_nbytes = pattern.trace_count * nbytes
    options = by_strategy(possible_reads(pattern, trace_nbytes=nbytes, medium=medium))
    for reads in options.values():
        assert 0 <= reads.gap_nbytes <= GAP_LIMIT_NBYTES
        assert reads.seconds > 0
    gather, sort = options[ReadStrategy.GATHER], options[ReadStrategy.SORT]
    assert gather.request_count == pattern.run_count <= pattern.trace_count
    assert (gather.read_nbytes, gather.scratch_nbytes) == (source_nbytes, 0)
    assert sort.request_count <= 1 + source_nbytes // SORT_RANGE_NBYTES + 2 * pattern.trace_count
    assert (sort.read_nbytes, sort.scratch_nbytes) == (2 * source_nbytes, source_nbytes)
    if bands := options.get(ReadStrategy.BANDS):
        assert bands.request_count == pattern.shard_count <= gather.request_count
        assert (bands.read_nbytes, bands.scratch_nbytes) == (pattern.span * nbytes, 0)
        assert bands.read_nbytes >= source_nbytes


@settings(deadline=None)
@given(patterns(), patterns(), trace_sizes, media)
def test_more_to_read_never_costs_less(one: ReadPattern, other: ReadPattern, nbytes: int, medium: Medium) -> None:
    less = by_strategy(possible_reads(one, trace_nbytes=nbytes, medium=medium))
    more = by_strategy(possible_reads(one.merged(other), trace_nbytes=nbytes, medium=medium))
    for strategy in less.keys() & more.keys():
        # Ranges to be sorted grow with the number of shards: there may be fewer, each of them a request, and the last
        # one may be as good as empty, with a piece for each shard all the same.
        ranges = [range_count(each, trace_nbytes=nbytes) for each in (one, one.merged(other))]
        fewer = max(0, ranges[0] - ranges[1]) + 2 * one.shard_count if strategy is ReadStrategy.SORT else 0
        assert less[strategy].seconds <= more[strategy].seconds + fewer * medium.request_s
        assert less[strategy].request_count <= more[strategy].request_count + fewer


@settings(deadline=None)
@given(patterns(), trace_sizes, media, st.floats(1, 100), st.floats(1, 100))
def test_a_slower_medium_never_costs_less(
    pattern: ReadPattern, nbytes: int, medium: Medium, latency: float, slowness: float
) -> None:
    slower = Medium(request_s=medium.request_s * latency, nbytes_per_s=medium.nbytes_per_s / slowness)
    for fast, slow in zip(
        possible_reads(pattern, trace_nbytes=nbytes, medium=medium),
        possible_reads(pattern, trace_nbytes=nbytes, medium=slower),
        strict=True,
    ):
        assert fast.strategy == slow.strategy
        assert fast.seconds <= slow.seconds * (1 + 1e-12)


@settings(deadline=None)
@given(patterns(), trace_sizes, media)
def test_bands_are_not_read_through_gaps_that_are_never_worth_it(
    pattern: ReadPattern, nbytes: int, medium: Medium
) -> None:
    gap_count = pattern.run_count - pattern.shard_count
    assume(gap_count and (pattern.span - pattern.trace_count) * nbytes > (GAP_LIMIT_NBYTES + 1) * gap_count)
    options = by_strategy(possible_reads(pattern, trace_nbytes=nbytes, medium=medium))
    assert ReadStrategy.BANDS not in options


def test_a_worthwhile_gap_takes_as_long_as_a_request() -> None:
    assert LOCAL.worthwhile_gap_nbytes == 100_000
    assert REMOTE.worthwhile_gap_nbytes == 800_000
    assert Medium(request_s=1, nbytes_per_s=1e9).worthwhile_gap_nbytes == GAP_LIMIT_NBYTES


def test_object_stores_are_remote(bucket_url: str, tmp_path: Path) -> None:
    assert medium_of(f"{bucket_url}/survey.sgy") == REMOTE
    assert medium_of(str(tmp_path / "survey.sgy")) == LOCAL
    assert medium_of("rehearsal://inlines=5,crosslines=4,samples=9/survey.sgy") == LOCAL


@pytest.mark.parametrize("order", ["inline", "crossline", "random"])
@pytest.mark.parametrize("strategy", ["bands", "gather"])
def test_a_survey_is_read_with_the_promised_bytes_and_requests(
    order: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = open_survey((f"rehearsal://inlines=40,crosslines=30,samples=100,order={order}/survey.sgy",), HeaderBytes())
    numbers = numbers_of(order, 40, 30) if order != "random" else found_numbers(survey, (40, 30))
    chunks = plan_chunks((40, 30, 100), chunk_nbytes=8192, shard_nbytes=60_000)
    no_latency = Medium(request_s=0, nbytes_per_s=1e9)  # no gap is worth while
    reads = by_strategy(
        possible_reads(exact_pattern(numbers, chunks), trace_nbytes=survey.trace_nbytes, medium=no_latency)
    )[ReadStrategy(strategy)]
    requests: list[int] = []
    monkeypatch.setattr("pipeline.survey.files.read_into", lambda url, start, pieces: requests.append(start))
    nbytes = 0
    for shard in chunks.shards():
        wanted = np.sort(numbers[chunks.trace_slices(shard)], axis=None)
        out = np.empty((wanted.size, survey.trace_nbytes), np.uint8)
        nbytes += survey.read(wanted, out, gap_nbytes=reads.gap_nbytes)
    assert nbytes == reads.read_nbytes
    assert len(requests) == reads.request_count


def found_numbers(survey: Any, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Trace number of each cell, by the headers."""
    words = survey.read_header_words(np.arange(survey.trace_count))
    grid = np.full(shape, -1)
    grid[words["inline"] - 1, words["crossline"] - 1] = np.arange(survey.trace_count)
    return grid


@st.composite
def orders(draw: st.DrawFn) -> tuple[LineByLine, tuple[Axis, Axis]]:
    """Up to three files of whole lines on one grid, their labels rising or falling; some lines may be missing."""
    fast_size, fast_step = draw(st.integers(2, 12)), draw(st.integers(1, 3))
    slow_size, slow_step = draw(st.integers(2, 12)), draw(st.integers(1, 3))
    edges = sorted({0, slow_size, *draw(st.sets(st.integers(1, slow_size - 1), max_size=2))})
    files, first_trace = [], 0
    for start, stop in draw(st.permutations(list(pairwise(edges)))):
        lines = range(100 + slow_step * start, 100 + slow_step * stop, slow_step)
        cells = range(300, 300 + fast_step * fast_size, fast_step)
        slow, fast = (
            Progression(first=labels[0], step=labels.step, size=len(labels))
            for labels in (labels[::-1] if draw(st.booleans()) else labels for labels in (lines, cells))
        )
        files.append(FileOrder(first_trace=first_trace, slow=slow, fast=fast))
        first_trace += slow.size * fast.size
    if len(files) > 1 and draw(st.booleans()):
        files.pop(0)  # its traces are numbered, and lie elsewhere
    slow_axis = Axis(name="inline", first=100, step=slow_step, size=slow_size, long_name="")
    fast_axis = Axis(name="crossline", first=300, step=fast_step, size=fast_size, long_name="")
    if draw(st.booleans()):
        return LineByLine(slow_axis="inline", files=tuple(files)), (slow_axis, fast_axis)
    axes = (
        fast_axis.model_copy(update={"name": "inline"}),
        slow_axis.model_copy(update={"name": "crossline"}),
    )
    return LineByLine(slow_axis="crossline", files=tuple(files)), axes


@settings(deadline=None)
@given(orders(), st.tuples(st.integers(3, 12), st.integers(3, 12)))
def test_a_predicted_pattern_is_the_exact_one_where_all_shards_are_looked_at(
    made: tuple[LineByLine, tuple[Axis, Axis]], shard: tuple[int, int]
) -> None:
    order, axes = made
    chunks = ChunkPlan((axes[0].size, axes[1].size, 10), (*shard, 10), (*shard, 10))
    numbers = order.trace_numbers((axes[0].values, axes[1].values))
    assert predicted_pattern(order, axes, chunks) == exact_pattern(numbers, chunks)


@pytest.mark.parametrize("order", ["inline", "crossline"])
def test_a_predicted_pattern_is_about_right_where_some_are(order: str) -> None:
    chunks = plan_chunks((1500, 1100, 500), shard_nbytes=MIB)
    assert chunks.shard_count > 3 * SAMPLED_SHARDS
    predicted = predicted_pattern(whole_lines(order, 1500, 1100), axes_of(1500, 1100), chunks)
    exact = exact_pattern(numbers_of(order, 1500, 1100), chunks)
    assert predicted.shard_count == exact.shard_count == chunks.shard_count
    for name, count in exact.model_dump().items():
        assert getattr(predicted, name) == pytest.approx(count, rel=0.05)


shapes = st.one_of(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 4000)),
    st.tuples(st.integers(1, 10**6), st.integers(1, 8000)),
)


def needed(chunks: ChunkPlan, *, threads: int) -> int:
    nbytes = trace_nbytes(chunks.shape[-1])
    return WORKER_NBYTES + threads * task_nbytes(chunks, trace_nbytes=nbytes)


def test_plenty_of_memory_changes_nothing() -> None:
    memory = WorkerMemory(nbytes=8 * 2**30, threads=4)
    for shape in ((3000, 3000, 2000), (200, 320, 300), (534, 1501)):
        assert plan_chunks_for(shape, trace_nbytes=trace_nbytes(shape[-1]), memory=memory) == plan_chunks(shape)


@pytest.mark.parametrize(("threads", "mib"), [(1, 560), (2, 650), (4, 850)])
def test_little_memory_makes_smaller_shards_of_the_same_chunks(threads: int, mib: int) -> None:
    shape = (3000, 3000, 2000)
    memory = WorkerMemory(nbytes=mib * MIB, threads=threads)
    found = plan_chunks_for(shape, trace_nbytes=trace_nbytes(2000), memory=memory)
    assert needed(found, threads=threads) <= memory.nbytes < needed(plan_chunks(shape), threads=threads)
    assert found.chunk_shape == plan_chunks(shape).chunk_shape
    assert prod(found.shard_shape) < prod(plan_chunks(shape).shard_shape)


def test_shards_of_a_size_that_was_asked_for_are_not_made_smaller() -> None:
    memory = WorkerMemory(nbytes=700 * MIB, threads=1)
    options: dict[str, Any] = {"trace_nbytes": trace_nbytes(2000), "memory": memory}
    with pytest.raises(InputError, match=r"needs \d+ MiB for shards of \d+ MiB and has 700 MiB: .*--memory"):
        plan_chunks_for((3000, 3000, 2000), **options, shard_nbytes=256 * MIB)
    assert plan_chunks_for((3000, 3000, 2000), **options, shard_nbytes=64 * MIB) == plan_chunks(
        (3000, 3000, 2000), shard_nbytes=64 * MIB
    )


def test_a_worker_without_memory_for_one_column_is_refused() -> None:
    memory = WorkerMemory(nbytes=WORKER_NBYTES + MIB, threads=1)
    with pytest.raises(InputError, match="smaller chunks with --chunk-size"):
        plan_chunks_for((3000, 3000, 2000), trace_nbytes=trace_nbytes(2000), memory=memory)


@settings(deadline=None)
@given(shapes, st.integers(1, 16), st.integers(401, 8000))
def test_what_is_planned_fits_the_memory(shape: tuple[int, ...], threads: int, mib: int) -> None:
    memory = WorkerMemory(nbytes=mib * MIB, threads=threads)
    try:
        found = plan_chunks_for(shape, trace_nbytes=trace_nbytes(shape[-1]), memory=memory)
    except InputError:
        least = plan_chunks(shape, shard_nbytes=1)  # one column of chunks: less cannot be written at a time
        assert needed(least, threads=threads) > memory.nbytes
    else:
        assert needed(found, threads=threads) <= memory.nbytes


@settings(deadline=None)
@given(shapes, st.integers(2**12, 2**24), st.integers(1, 6))
def test_larger_shards_need_more_memory(shape: tuple[int, ...], shard_nbytes: int, factor: int) -> None:
    smaller = plan_chunks(shape, shard_nbytes=shard_nbytes)
    larger = plan_chunks(shape, shard_nbytes=shard_nbytes * factor)
    assert needed(smaller, threads=1) <= needed(larger, threads=1)


@settings(deadline=None)
@given(shapes)
def test_a_shard_that_goes_out_in_one_request_is_held_twice(shape: tuple[int, ...]) -> None:
    chunks = plan_chunks(shape)
    streamed, whole = (task_nbytes(chunks, trace_nbytes=240, is_streamed=each) for each in (True, False))
    shard, chunk = (SAMPLE_NBYTES * prod(each) for each in (chunks.shard_shape, chunks.chunk_shape))
    assert whole - streamed == 2 * shard - chunk


@settings(deadline=None)
@given(shapes)
def test_the_store_is_as_large_as_its_samples_and_some_more(shape: tuple[int, ...]) -> None:
    chunks = plan_chunks(shape)
    nbytes = prod(shape) * SAMPLE_NBYTES
    assert nbytes <= output_nbytes(chunks)
    assert output_nbytes(chunks, compressed_share=0.5) <= output_nbytes(chunks) // 2 + 1


@pytest.mark.parametrize(
    ("shape", "chunk_nbytes", "shard_nbytes"),
    [((60, 64, 500), 512 * 1024, 8 * MIB), ((48, 64, 256), 64 * 1024, 3 * MIB), ((130, 110, 20), 64 * 1024, 2 * MIB)],
)
def test_a_task_takes_about_the_memory_that_was_planned(
    make_segy: Any,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    chunk_nbytes: int,
    shard_nbytes: int,
) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, shape, np.uint32) & 0xBFFFFFFF  # finite; nothing compresses
    made = make_segy(volume=noise.view(np.float32), sample_format=5)
    recipe = load_recipe(
        name="x",
        paths=(str(made.path),),
        out=str(tmp_path / "x.zarr"),
        chunk_nbytes=chunk_nbytes,
        shard_nbytes=shard_nbytes,
    )
    surveys = {"amplitude": open_survey((str(made.path),), HeaderBytes())}
    memory = WorkerMemory(nbytes=8 * 2**30, threads=1)
    workplace = Workplace(client=client, index=str(tmp_path / "i"), scratch=str(tmp_path / "s"))
    headers = read_headers(surveys, kind=None, header_scan="sample", workplace=workplace)
    geometry = headers["amplitude"].geometry
    design = design_store(recipe, surveys, headers, geometry, memory=memory)
    create_template(recipe.out, design, surveys)
    pattern = predicted_pattern(design.main.order, design.axes, design.chunks)  # type: ignore[arg-type]
    reads = {"amplitude": choose_reads(pattern, trace_nbytes=surveys["amplitude"].trace_nbytes, medium=LOCAL)}
    job = ShardJob(recipe.out, design, surveys, fingerprint="x", reads=reads, heaps={})
    shard = tuple(count // 2 for count in design.chunks.shard_grid)
    again = replace(job, fingerprint="other")
    for each in (job, again):
        Path(each.unfinished).mkdir(parents=True)
    write_shard(job, shard)  # compiles and imports
    monkeypatch.setattr(buffers_module, "_unused", [])  # as before a worker's first task
    tracemalloc.start()
    assert not write_shard(again, shard).was_complete
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    planned = task_nbytes(design.chunks, trace_nbytes=surveys["amplitude"].trace_nbytes)
    assert 0.75 * planned < peak < 1.1 * planned
