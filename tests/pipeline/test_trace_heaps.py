"""Traces sorted by shard: what comes out of the heaps is what plain reading gives, whatever the order of the files."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from data_catalog import Catalog, check_store
from pipeline.convert import Conduct, convert
from pipeline.export.export import export
from pipeline.plan.chunking import ChunkPlan
from pipeline.recipe import HeaderBytes, SourceFile, load_recipe
from pipeline.shards import trace_heaps
from pipeline.shards.trace_heaps import OtherTraces, TraceHeaps, make_heaps
from pipeline.store.stored_plan import read_plan
from pipeline.survey.axis import Axis
from pipeline.survey.files import Survey, open_survey
from pipeline.survey.order import line_by_line, sampled_numbers
from pipeline.synthetic.rehearsal import expected_samples
from pipeline.telemetry import Telemetry

CHUNKS = ChunkPlan((24, 18, 10), (4, 5, 10), (8, 5, 10))
AXES = (
    Axis(name="inline", first=1, size=24, long_name="inline number"),
    Axis(name="crossline", first=1, size=18, long_name="crossline number"),
)
MakeHeaps = Callable[..., TraceHeaps]


@pytest.fixture(params=[9, 100, 10_000])
def range_traces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Lengths of ranges that cut a small survey into many, into some, and not at all."""
    traces: int = request.param
    monkeypatch.setattr(trace_heaps, "sort_range_nbytes", lambda *sizes: traces * (240 + 40))
    return traces


@pytest.fixture
def heap(tmp_path: Path, client: Client) -> MakeHeaps:
    def make(survey: Survey, axes: tuple[Axis, ...] = AXES, chunks: ChunkPlan = CHUNKS) -> TraceHeaps:
        return make_heaps(survey, axes, chunks, name="amplitude", url=str(tmp_path / "heaps"), client=client)

    return make


def rehearsal(values: str = "order=random") -> Survey:
    return opened(f"rehearsal://inlines=24,crosslines=18,samples=10,{values}/survey.sgy")


def opened(*sources: str | SourceFile) -> Survey:
    return open_survey(sources, HeaderBytes())


def numbers_on(axes: tuple[Axis, ...], survey: Survey) -> NDArray[np.int64]:
    """Trace number of each cell, by the headers of all traces; -1 where there is none."""
    words = survey.read_header_words(np.arange(survey.trace_count))
    positions = [axis.positions(words[axis.name]) for axis in axes]
    inside = (positions[0] >= 0) & (positions[1] >= 0)
    grid = np.full([axis.size for axis in axes], -1)
    grid[positions[0][inside], positions[1][inside]] = np.flatnonzero(inside)
    return grid


def check_heaps(heaps: TraceHeaps, survey: Survey, axes: tuple[Axis, ...] = AXES, chunks: ChunkPlan = CHUNKS) -> None:
    """Sees that each shard's traces are those that plain reading gives, in the order of the files."""
    numbers = numbers_on(axes, survey)
    read = 0
    for shard in chunks.shards():
        ordered = np.sort(numbers[chunks.trace_slices(shard)], axis=None)
        ordered = ordered[ordered >= 0]
        expected, found = (np.full((ordered.size, survey.trace_nbytes), fill, np.uint8) for fill in (1, 2))
        survey.read(ordered, expected)
        nbytes = heaps.read(shard, ordered, found)
        np.testing.assert_array_equal(found, expected)
        assert nbytes == found.nbytes
        read += ordered.size
    assert read == (numbers >= 0).sum() > 0


@pytest.mark.parametrize("order", ["inline", "crossline", "random"])
def test_heaps_hold_what_plain_reading_gives(order: str, heap: MakeHeaps, range_traces: int) -> None:
    survey = rehearsal(f"order={order}")
    heaps = heap(survey)
    assert heaps.range_traces == range_traces
    check_heaps(heaps, survey)
    assert len(list(Path(heaps.url).iterdir())) == -(-24 * 18 // range_traces)


def test_holes_in_the_grid(make_segy: Any, heap: MakeHeaps, range_traces: int) -> None:
    """Also a shard without any trace, and ranges without any trace of a shard."""
    volume = np.random.default_rng(1).normal(size=(24, 18, 10)).astype(np.float32)

    def is_kept(inline: int, crossline: int) -> bool:
        return (inline + crossline) % 5 != 0 and not (inline < 116 and crossline < 305)

    survey = opened(str(make_segy(volume=volume, keep=is_kept).path))
    axes = (
        Axis(name="inline", first=100, step=2, size=24, long_name=""),
        Axis(name="crossline", first=300, size=18, long_name=""),
    )
    assert (numbers_on(axes, survey)[:8, :5] < 0).all()
    check_heaps(heap(survey, axes), survey, axes)


def test_traces_off_the_grid_are_left_out(heap: MakeHeaps, range_traces: int) -> None:
    axes = (
        Axis(name="inline", first=3, step=2, size=10, long_name=""),
        Axis(name="crossline", first=12, size=15, long_name=""),
    )
    chunks = ChunkPlan((10, 15, 10), (3, 4, 10), (3, 8, 10))
    survey = rehearsal()
    heaps = heap(survey, axes, chunks)
    check_heaps(heaps, survey, axes, chunks)
    stored = sum(path.stat().st_size for path in Path(heaps.url).iterdir())
    on_grid = int((numbers_on(axes, survey) >= 0).sum())
    assert on_grid == 10 * 7
    table_nbytes = (chunks.shard_count + 1) * 8
    assert stored == on_grid * (survey.trace_nbytes + 8) + len(list(Path(heaps.url).iterdir())) * table_nbytes


def test_several_files_with_positions_of_their_own(make_segy: Any, heap: MakeHeaps, range_traces: int) -> None:
    first, second = make_segy("a.sgy", first_inline=100), make_segy("b.sgy", first_inline=124)
    content = np.frombuffer(second.path.read_bytes(), np.uint8)[3600:].copy().reshape(-1, 240 + 200)
    content[:, [8, 9, 10, 11]] = content[:, 188:192]  # the inline moves from byte 189 to byte 9
    content[:, 188:192] = 0
    second.path.write_bytes(second.path.read_bytes()[:3600] + content.tobytes())
    survey = opened(str(first.path), SourceFile(path=str(second.path), header_bytes=HeaderBytes(inline=9)))
    axes = (
        Axis(name="inline", first=100, step=2, size=24, long_name=""),
        Axis(name="crossline", first=300, size=9, long_name=""),
    )
    chunks = ChunkPlan((24, 9, 50), (5, 5, 50), (5, 10, 50))
    check_heaps(heap(survey, axes, chunks), survey, axes, chunks)


def test_a_second_run_goes_on_over_what_the_first_left(heap: MakeHeaps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_heaps, "sort_range_nbytes", lambda *sizes: 50 * (240 + 40))
    survey = rehearsal()
    folder = Path(heap(survey).url)
    assert {path.name for path in folder.iterdir()} == {str(index) for index in range(9)}
    for index in (2, 5, 8):
        (folder / str(index)).unlink()
    (folder / ".4711.tmp").write_bytes(b"half a range")
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    heaps = heap(survey)
    check_heaps(heaps, survey)
    found = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name: found[name] for name in kept} == kept
    assert found.keys() - kept.keys() == {"2", "5", "8"}


@pytest.mark.parametrize("swap", [3, 4, 5])
def test_traces_that_headers_put_elsewhere_are_not_handed_out(heap: MakeHeaps, range_traces: int, swap: int) -> None:
    """Two traces across the edge of a shard that are in each other's place: each shard has as many as it should."""
    predicted = numbers_on(AXES, rehearsal("order=inline"))
    swapped = rehearsal(f"order=inline,swap={swap}")
    heaps = heap(swapped)
    refused = set()
    for shard in CHUNKS.shards():
        ordered = np.sort(predicted[CHUNKS.trace_slices(shard)], axis=None)
        out = np.empty((ordered.size, swapped.trace_nbytes), np.uint8)
        try:
            heaps.read(shard, ordered, out)
        except OtherTraces:
            refused.add(shard)
    # Crosslines 0 to 4 make the first shard. Which cell of a shard is whose, the shard's task sees by the headers.
    assert refused == ({(0, 0), (0, 1)} if swap == 4 else set())


@pytest.mark.parametrize("missing", [True, False])
def test_one_trace_less_or_more_than_expected(heap: MakeHeaps, range_traces: int, missing: bool) -> None:
    survey = rehearsal()
    ordered = np.sort(numbers_on(AXES, survey)[CHUNKS.trace_slices((1, 1))], axis=None)
    changed = ordered[1:]
    if missing:
        elsewhere = numbers_on(AXES, survey)[0, 0]
        changed = np.sort(np.append(ordered, elsewhere))
    out = np.empty((changed.size, survey.trace_nbytes), np.uint8)
    if not missing and not (ordered[1:] // range_traces == ordered[0] // range_traces).any():
        return  # nothing else is read of the range that holds the surplus trace
    with pytest.raises(OtherTraces, match="lies elsewhere by its header" if missing else "was expected elsewhere"):
        heap(survey).read((1, 1), changed, out)


class Strategies(io.StringIO):
    """Takes telemetry, and looks up in the plan how the traces of each shard were read."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._url = url

    def write(self, text: str) -> int:
        if json.loads(text)["event"] == "shard":
            plan = read_plan(self._url)
            assert plan is not None
            strategy = plan.reads["amplitude"].strategy.value
            self.found.append(f"{strategy}, {plan.design.main.order.name}")
        return len(text)


@pytest.mark.parametrize(
    ("values", "sizes", "strategy"),
    [
        ("inlines=60,crosslines=50,samples=40", {}, "bands, line by line"),
        ("inlines=60,crosslines=50,samples=40,order=crossline", {}, "bands, line by line"),
        (
            "inlines=60,crosslines=400,samples=300",
            {"chunk_nbytes": 300_000, "shard_nbytes": 2_000_000},
            "gather, line by line",
        ),
        (
            "inlines=60,crosslines=50,samples=40,order=random",
            {"chunk_nbytes": 10_000, "shard_nbytes": 50_000},
            "sort, indexed",
        ),
        (
            "inlines=600,crosslines=40,samples=2,order=crossline",
            {"chunk_nbytes": 12_800, "shard_nbytes": 12_800},
            "sort, line by line",
        ),
    ],
)
def test_a_conversion_by_each_way_of_reading(
    values: str,
    sizes: dict[str, int],
    strategy: str,
    client: Client,
    catalog_folder: Path,
    tmp_path: Path,
) -> None:
    url = f"rehearsal://{values}/survey.sgy"
    recipe = load_recipe(name="x", paths=(url,), out=str(tmp_path / "x.zarr"), **sizes)
    strategies = Strategies(recipe.out)
    entry = convert(recipe, client=client, catalog=Catalog(), conduct=Conduct(telemetry=Telemetry(strategies)))
    assert set(strategies.found) == {strategy}
    assert check_store(entry) == []
    assert not (tmp_path / "x.zarr/work").exists()  # what was sorted is gone
    survey = opened(url)
    with xr.open_zarr(entry.url) as dataset:
        inlines, crosslines = np.ogrid[: dataset.sizes["inline"], : dataset.sizes["crossline"]]
        expected = expected_samples(inlines, crosslines, samples=dataset.sizes["time"])
        np.testing.assert_array_equal(dataset["amplitude"], expected)
        axes = [Axis(name=str(dim), first=1, size=dataset.sizes[dim], long_name="") for dim in ("inline", "crossline")]
        numbers = numbers_on(tuple(axes), survey)
        np.testing.assert_array_equal(dataset["trace_number"], numbers)
    (written,) = export("x", out=tmp_path / "again.sgy", catalog=Catalog())
    content = np.fromfile(written, np.uint8)
    traces = np.empty((survey.trace_count, survey.trace_nbytes), np.uint8)
    survey.read(np.arange(survey.trace_count), traces)
    np.testing.assert_array_equal(content[3600:].reshape(survey.trace_count, -1), traces.view(np.uint8))


def test_a_wrong_prediction_is_found_in_sorted_traces(client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    """Traces swapped across the edge of two shards, in a file that looks orderly and is sorted all the same."""
    grid = "inlines=600,crosslines=40,samples=2,order=crossline"
    url = f"rehearsal://{grid},swap=12439/survey.sgy"
    survey = opened(url)
    numbers = sampled_numbers(survey)
    assert line_by_line(survey, numbers, survey.read_header_words(numbers)) is not None
    recipe = load_recipe(name="x", paths=(url,), out=str(tmp_path / "x.zarr"), chunk_nbytes=12_800, shard_nbytes=12_800)
    strategies = Strategies(recipe.out)
    entry = convert(recipe, client=client, catalog=Catalog(), conduct=Conduct(telemetry=Telemetry(strategies)))
    assert entry.variables["amplitude"].shard_shape == (40, 40, 2)
    assert strategies.found[0] == "sort, line by line"
    assert strategies.found[-1] == "sort, indexed"  # once more from all headers
    with xr.open_zarr(entry.url) as dataset:
        expected = expected_samples(*np.ogrid[:600, :40], samples=2)
        np.testing.assert_array_equal(dataset["amplitude"], expected)
        assert dataset["trace_number"].sel(inline=440, crossline=21) == 12_440
        assert dataset["trace_number"].sel(inline=441, crossline=21) == 12_439
