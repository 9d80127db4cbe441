"""What the pictures of the site are of: the right samples, no more of them than may be, and the manifest's figures."""

import ast
import json
import re
import tracemalloc
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import Catalog, Entry, InputError, Kind, Role, Variable, layout
from data_catalog.views.page.bounded_store import Store
from data_catalog.views.page.figure import INK
from data_catalog.views.page.layers import read_layers
from data_catalog.views.page.lines import read_lines
from data_catalog.views.page.manifest import Counts, histogram_edges, in_order, manifest_path, read_counts, read_moments
from data_catalog.views.page.rendering import TEMPLATES
from data_catalog.views.page.section_plan import MOST_DRAWN, MOST_OF_CURVE, plan_sections
from data_catalog.views.page.sections import Panel, read_panels
from data_catalog.views.page.snippets import snippets
from data_catalog.views.page.survey_map import corners, read_places, split_of
from data_catalog.views.page.text_header import decoded
from data_catalog.views.page.trainer_recipe import trainer_recipe
from tests.data_catalog.written_store import Made, classes, dipping, histogram, write_dataset

STACK = ("inline", "crossline", "time")
BUDGET = 96


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


def an_input(dims: tuple[str, ...], shape: tuple[int, ...], chunk: tuple[int, ...] | None = None) -> Variable:
    chunks = chunk or shape
    return Variable(role=Role.INPUT, dims=dims, shape=shape, dtype="float32", chunk_shape=chunks, shard_shape=chunks)


def panels_of(entry: Entry) -> list[Panel]:
    panels, wrong = read_panels(Store(entry.url), entry)
    assert wrong == []
    return panels


@pytest.mark.parametrize(
    ("kind", "dims", "shape", "expected"),
    [
        (Kind.STACK3D, STACK, (20, 30, 40), ["time x crossline", "time x inline", "inline x crossline"]),
        (Kind.STACK2D, ("trace", "depth"), (20, 40), ["depth x trace"]),
        (Kind.FLAT, ("trace", "time"), (1, 40), ["trace / time"]),
        (Kind.GATHERS, ("cdp", "offset", "time"), (9, 24, 40), ["time x offset", "time x cdp"]),
        (Kind.SHOTS, ("shot", "cable", "channel", "time"), (9, 1, 24, 40), ["time x channel", "time x shot"]),
        (Kind.PASSIVE, ("record", "receiver", "component", "time"), (9, 9, 3, 40), ["component / time"]),
        (Kind.EXAMPLES, ("example",), (9,), ["/ example"]),
        (Kind.EXAMPLES, ("example", "time"), (9, 40), ["/ time"] * 4),
        (Kind.EXAMPLES, ("example", "time", "component"), (2, 40, 3), ["component / time"] * 2),
        (Kind.EXAMPLES, ("example", "y", "x"), (3, 40, 50), ["y x x"] * 3),
        (Kind.EXAMPLES, ("example", "source", "time", "receiver"), (1, 5, 40, 70), ["time x receiver"]),
    ],
)
def test_each_kind_has_sections_through_its_middle(
    kind: Kind, dims: tuple[str, ...], shape: tuple[int, ...], expected: list[str]
) -> None:
    planned = plan_sections(kind, an_input(dims, shape), budget=BUDGET)
    mark = {True: "/", False: "x"}
    told = [f"{each.rows.dim if each.rows else ''} {mark[each.are_traces]} {each.columns.dim}" for each in planned]
    assert [each.strip() for each in told][: len(expected)] == expected
    for section in planned:
        assert {*section.fixed, *(span.dim for span in section.spans)} == set(dims)
        middle = {dim: size // 2 for dim, size in zip(dims, shape, strict=True) if dim != "example"}
        assert all(at == middle[dim] for dim, at in section.fixed.items() if dim != "example")


@settings(max_examples=200, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 20000)] * 3),
    chunk=st.tuples(*[st.integers(1, 512)] * 3),
    budget=st.integers(1, BUDGET),
)
def test_a_section_keeps_to_its_budget(shape: tuple[int, ...], chunk: tuple[int, ...], budget: int) -> None:
    for section in plan_sections(Kind.STACK3D, an_input(STACK, shape, chunk), budget=budget):
        extents = dict(zip(STACK, chunk, strict=True))
        touched = [len({at // extents[span.dim] for at in range(span.size)[span.part]}) for span in section.spans]
        assert prod(touched) <= budget
        for span in section.spans:
            drawn = len(range(span.size)[span.part])
            assert 1 <= drawn <= (MOST_OF_CURVE if section.are_traces else MOST_DRAWN)
            assert abs((span.start + span.stop) / 2 - span.size / 2) <= extents[span.dim]
            assert span.is_whole or drawn < span.size


def test_sections_are_the_samples(catalog: Catalog) -> None:
    amplitude = dipping((20, 30, 40))
    live = np.random.default_rng(1).random((20, 30)) > 0.2
    variables = {
        "amplitude": Made(Role.INPUT, STACK, np.where(live[..., None], amplitude, 0)),
        "live": Made(Role.COORDINATE, STACK[:2], live),
        "time": Made(Role.COORDINATE, ("time",), 100 + np.arange(40) * 4.0, {"units": "ms"}),
    }
    inline, crossline, slice_ = panels_of(write_dataset(catalog, "stack", variables, kind=Kind.STACK3D))
    there = np.where(live[..., None], amplitude, np.nan)
    np.testing.assert_array_equal(inline.samples, there[10].T)
    np.testing.assert_array_equal(crossline.samples, there[:, 15].T)
    np.testing.assert_array_equal(slice_.samples, there[:, :, 20])
    assert inline.rows is not None
    assert (inline.rows.title, inline.rows.values[1]) == ("time (ms)", 104)
    assert [panel.place for panel in (inline, crossline, slice_)] == ["inline 10", "crossline 15", "time 180 ms"]


def test_layers_lie_where_their_samples_do(catalog: Catalog) -> None:
    amplitude = dipping((20, 30, 40))
    salt = np.where(amplitude > 0, 1, 0)
    salt[:, :, :7] = 255
    zones = np.where(amplitude > 0, 2, np.where(amplitude > -50, 1, 0))
    entry = write_dataset(
        catalog,
        "stack",
        {"amplitude": Made(Role.INPUT, STACK, amplitude), "salt": classes(STACK, salt, "rock", "salt")},
        derived={
            "zones": {"label": classes(STACK, zones, "low", "middle", "high")},
            "unet": {
                "share": Made(Role.PREDICTION, STACK, np.where(amplitude > 0, amplitude / 200, np.nan)),
                "restored": Made(Role.PREDICTION, STACK, 2 * amplitude),
            },
        },
        kind=Kind.STACK3D,
    )
    layers, wrong = read_layers(Store(entry.url), entry, panels_of(entry))
    assert wrong == []
    assert [layer.title for layer in layers] == ["salt", "zones/label", "unet/share", "unet/restored"]
    of_salt, of_zones, of_share, of_restored = (layer.colours[0] for layer in layers)
    assert of_salt is not None
    np.testing.assert_array_equal(of_salt[..., 3] > 0, salt[10].T == 1)
    assert [swatch.text for swatch in layers[1].legend] == ["low", "middle", "high"]
    assert of_zones is not None
    for value, swatch in enumerate(layers[1].legend):
        assert swatch.colour is not None
        shown = of_zones[value == zones[10].T][:, :3]
        assert {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in shown} == {swatch.colour}
    assert of_share is not None
    np.testing.assert_array_equal(of_share[..., 3] > 0, amplitude[10].T > 0)
    assert of_restored is not None
    assert (of_restored[..., 3] == 255).all()


def test_a_label_without_components_lies_over_all_of_them(catalog: Catalog) -> None:
    dims = ("example", "component", "time")
    arrivals = np.zeros((5, 40))
    arrivals[:, 30] = 1
    entry = write_dataset(
        catalog,
        "records",
        {"amplitude": Made(Role.INPUT, dims, dipping((5, 3, 40)))},
        derived={"picks": {"label": classes(("example", "time"), arrivals, "none", "P", "S")}},
        kind=Kind.EXAMPLES,
    )
    panels = panels_of(entry)
    (layer,), _ = read_layers(Store(entry.url), entry, panels)
    assert panels[0].shape == (3, 40)
    for colours in layer.colours:
        assert colours is not None
        np.testing.assert_array_equal(np.argwhere(colours[..., 3]), [[row, 30] for row in range(3)])


def test_horizons_are_lines_on_the_section_s_traces(catalog: Catalog) -> None:
    surface = np.add.outer(np.arange(20), 2.0 * np.arange(30)).astype(np.float32)
    surface[:, 20:] = np.nan
    nowhere = np.full((20, 30), np.nan, np.float32)
    entry = write_dataset(
        catalog,
        "stack",
        {"amplitude": Made(Role.INPUT, STACK, dipping((20, 30, 40)))},
        derived={"h": {"top": Made(Role.PICK, STACK[:2], surface), "none": Made(Role.PICK, STACK[:2], nowhere)}},
        kind=Kind.STACK3D,
    )
    inline, crossline, slice_ = panels_of(entry)
    store = Store(entry.url)
    ((on_inline,), no_wrong), ((on_crossline,), _) = (read_lines(store, entry, each) for each in (inline, crossline))
    assert no_wrong == []
    assert on_inline.title == "h/top"
    np.testing.assert_array_equal(on_inline.values, surface[10])
    np.testing.assert_array_equal(on_crossline.values, surface[:, 15])
    assert read_lines(store, entry, slice_) == ([], [])
    for chunk in Path(entry.url, "derived/h/top/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"no such codec")
    (left, (sentence,)) = read_lines(Store(entry.url), entry, inline)
    assert left == []
    assert "derived/h/top cannot be read" in sentence


def test_the_histogram_s_bins_are_those_of_the_contract() -> None:
    samples = np.random.default_rng(0).normal(size=5000).astype(np.float32) * 1e3
    counted, _ = np.histogram(samples.astype(np.float64), bins=histogram_edges())
    found = in_order(histogram(samples))
    # A bin holds its edge that is nearer to 0, numpy's its lower one: no sample lies on an edge here.
    np.testing.assert_array_equal(found, counted)
    assert found.sum() == 5000
    assert (np.diff(histogram_edges()) > 0).all()


def test_the_manifest_is_merged(catalog: Catalog) -> None:
    amplitude = dipping((40, 50), seed=3) + np.arange(50, dtype=np.float32)
    label = np.random.default_rng(2).integers(0, 3, (40, 50))
    entry = write_dataset(
        catalog,
        "line",
        {
            "amplitude": Made(Role.INPUT, ("trace", "time"), amplitude),
            "label": classes(("trace", "time"), label, "a", "b", "c"),
        },
        kind=Kind.STACK2D,
    )
    store = Store(entry.url)
    moments = read_moments(store, "amplitude")
    assert moments is not None
    exact = amplitude.astype(np.float64)
    assert moments.count == exact.size
    np.testing.assert_allclose(
        [moments.mean, moments.standard_deviation, moments.minimum, moments.maximum],
        [exact.mean(), exact.std(), exact.min(), exact.max()],
    )
    counts = read_counts(store, "label", entry.variables["label"])
    assert isinstance(counts, Counts)
    assert counts.share == 1
    np.testing.assert_array_equal(counts.values[:3], np.bincount(label.ravel()))


def test_of_a_large_manifest_a_part_is_read(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    amplitude = dipping((64, 64))
    entry = write_dataset(
        catalog, "line", {"amplitude": Made(Role.INPUT, ("trace", "time"), amplitude)}, kind=Kind.STACK2D, chunk=4
    )
    store = Store(entry.url)
    array = store.array("manifest/amplitude/histogram")
    assert np.prod(array.cdata_shape) > 4
    monkeypatch.setattr("data_catalog.views.page.bounded_store.MOST_CHUNKS", 4)
    counts = read_counts(store, "amplitude", entry.variables["amplitude"])
    assert counts is not None
    assert 0 < counts.share < 1
    assert 0 < counts.values.sum() < amplitude.size


def test_too_large_reads_are_refused(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = write_dataset(
        catalog, "line", {"amplitude": Made(Role.INPUT, ("trace", "time"), dipping((64, 64)))}, kind=Kind.STACK2D
    )
    monkeypatch.setattr("data_catalog.views.page.bounded_store.MOST_NBYTES", 1000)
    with pytest.raises(InputError, match="amplitude is not drawn: that would read more than"):
        Store(entry.url).read("amplitude", [slice(0, 1), slice(0, 1)])
    panels, (told,) = read_panels(Store(entry.url), entry)
    assert panels == []
    assert "too large" in told


def test_the_map_has_the_splits_where_they_are(catalog: Catalog) -> None:
    inlines, crosslines = np.meshgrid(np.arange(200), np.arange(300), indexing="ij")
    x, y = 1000 + 25.0 * inlines + 10.0 * crosslines, 5000 - 10.0 * inlines + 25.0 * crosslines
    x[:3] = np.nan
    entry = write_dataset(
        catalog,
        "stack",
        {
            "amplitude": Made(Role.INPUT, STACK, np.zeros((200, 300, 2), np.float32)),
            "cdp_x": Made(Role.COORDINATE, STACK[:2], x, {"units": "m"}),
            "cdp_y": Made(Role.COORDINATE, STACK[:2], y, {"units": "m"}),
        },
        kind=Kind.STACK3D,
        splits={"train": ({"inline": (0, 100)},), "test": ({"inline": (110, 200), "crossline": (0, 150)},)},
    )
    (places,) = read_places(Store(entry.url), entry)
    assert not places.are_all
    outline = corners(places, entry.splits["test"][0])
    assert outline is not None
    expected = [(i, j) for i, j in ((109.5, -0.5), (199.5, -0.5), (199.5, 149.5), (109.5, 149.5))]
    for (east, north), (i, j) in zip(outline, expected, strict=True):
        assert (east, north) == pytest.approx((1000 + 25 * i + 10 * j, 5000 - 10 * i + 25 * j))
    inside = split_of(places, entry.splits["test"])
    first, second = np.meshgrid(*places.indices, indexing="ij")
    np.testing.assert_array_equal(inside, (first >= 110) & (second < 150))
    crooked = x + 5000 * np.sin(inlines / 20)
    other = write_dataset(
        catalog,
        "crooked",
        {
            "amplitude": Made(Role.INPUT, STACK, np.zeros((200, 300, 2), np.float32)),
            "cdp_x": Made(Role.COORDINATE, STACK[:2], crooked),
            "cdp_y": Made(Role.COORDINATE, STACK[:2], y),
        },
        kind=Kind.STACK3D,
    )
    (places,) = read_places(Store(other.url), other)
    assert corners(places, {}) is None


def test_text_headers_are_read_in_either_code() -> None:
    lines = "C 1 CLIENT".ljust(80) + "C 2 \x07 END".ljust(80)
    for code in ("cp037", "ascii"):
        assert decoded(lines.encode(code)) == "C 1 CLIENT\nC 2 . END"


def test_a_recipe_keeps_off_the_neighbouring_split(catalog: Catalog) -> None:
    def recipe_of(name: str, **splits: tuple[int, int]) -> tuple[str, bool]:
        entry = write_dataset(
            catalog,
            name,
            {"amplitude": Made(Role.INPUT, ("trace", "time"), dipping((400, 200)))},
            kind=Kind.STACK2D,
            chunk=100,
            splits={split: ({"trace": box},) for split, box in splits.items()},
        )
        found = trainer_recipe(entry)
        assert found is not None
        return found.text, found.split_command is None

    assert recipe_of("wide", train=(0, 200), test=(264, 400)) == (ANY_WINDOW.format(name="wide", size=64), True)
    assert "trace: 128" in recipe_of("whole", train=(0, 400))[0]
    assert not recipe_of("meeting", train=(0, 200), test=(200, 400))[1]


ANY_WINDOW = """\
dataset: {{name: {name}, variable: amplitude}}
window: {{trace: {size}, time: {size}}}
splits: {{validation: null}}
model: {{name: unet, levels: 4, start_filters: 8}}
task: {{name: reconstruction}}
batch_size: 16
steps: 500
out: runs/{name}
"""


def a_long_dataset(catalog: Catalog, size: int) -> Entry:
    """One dimension that is so long: metadata alone, a manifest of as many chunks."""
    entry = write_dataset(
        catalog, "long", {"amplitude": Made(Role.INPUT, ("trace", "time"), dipping((4, 2)))}, kind=Kind.FLAT
    )
    for path in ("amplitude", *(manifest_path("amplitude", name) for name in layout.STATISTICS)):
        folder = Path(entry.url, path)
        described = json.loads((folder / "zarr.json").read_text())
        described["shape"][0] = size
        described["chunk_grid"]["configuration"]["chunk_shape"][0] = 1
        (folder / "zarr.json").write_text(json.dumps(described))
    return entry


def test_memory_does_not_grow_with_a_dimension(catalog: Catalog) -> None:
    store = Store(a_long_dataset(catalog, 10**9).url)
    tracemalloc.start()
    try:
        assert store.read("amplitude", [slice(5 * 10**8, 5 * 10**8 + 10), slice(None)]).shape == (10, 2)
        with pytest.raises(InputError, match="more than 96 chunks"):
            store.read("amplitude", [slice(0, 10**9, 2), slice(None)])
        assert read_moments(store, "amplitude") is None
        _, peak_nbytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_nbytes < 50e6


@given(start=st.integers(0, 90), length=st.integers(0, 90), step=st.integers(1, 30), extent=st.integers(1, 30))
def test_chunks_of_a_range_are_counted(start: int, length: int, step: int, extent: int) -> None:
    class Known(Store):
        def __init__(self) -> None: ...

        def array(self, path: str) -> Any:
            return SimpleNamespace(shape=(100,), chunks=(extent,), dtype=np.dtype("uint8"))

    wanted = slice(start, start + length, step)
    touched = np.unique(np.arange(100)[wanted] // extent)
    with pytest.MonkeyPatch.context() as patch:
        for most in (len(touched) - 1, len(touched)):
            patch.setattr("data_catalog.views.page.bounded_store.MOST_CHUNKS", most)
            assert Known().fits("any", [wanted]) == (most == len(touched))
            assert Known().fits("any", [np.arange(100)[wanted]]) == (most == len(touched))


def test_of_thousands_of_ranges_there_is_no_recipe(catalog: Catalog) -> None:
    def in_ranges(count: int) -> Entry:
        ranges = [{"trace": (4 * at, 4 * at + 1)} for at in range(count)]
        return entry.model_copy(update={"splits": {"train": tuple(ranges[::2]), "test": tuple(ranges[1::2])}})

    variables = {"amplitude": Made(Role.INPUT, ("trace", "time"), dipping((400, 200)))}
    entry = write_dataset(catalog, "line", variables, kind=Kind.STACK2D)
    assert trainer_recipe(in_ranges(100)) is not None
    assert trainer_recipe(in_ranges(10**5)) is None


def test_lines_to_copy_say_what_is_meant(catalog: Catalog) -> None:
    url = '/data/\U0001f30d "é"\\\n.zarr'
    entry = write_dataset(
        catalog, "line", {"amplitude": Made(Role.INPUT, ("trace", "time"), dipping((40, 20)))}, kind=Kind.STACK2D
    )
    _, by_place, *_ = snippets(entry.model_copy(update={"url": url}))
    said = [node.value for node in ast.walk(ast.parse(by_place.text)) if isinstance(node, ast.Constant)]
    assert said == [url]


def test_words_of_axes_are_readable_on_both_pages() -> None:
    """At least 4.5 to 1: WCAG 2.2, success criterion 1.4.3, by its own formula."""
    grounds = re.findall(r"--page: (#[0-9a-f]{6})", (TEMPLATES / "style.css").read_text())

    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return float(np.dot((0.2126, 0.7152, 0.0722), linear))

    assert len(grounds) == 2
    for ground in grounds:
        dark, light = sorted((luminance(INK), luminance(ground)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5
