"""Horizons: text as different programs write it, surfaces between points, and zones that begin on the right sample."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st

from data_catalog import Catalog, Entry, InputError, check_store
from pipeline.convert import convert
from pipeline.label import label, load_label_recipe
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.horizons import surface_of, zones_between
from pipeline.labels.point_text import read_points
from pipeline.recipe import load_recipe

SHAPE = (12, 9, 50)
INLINES, CROSSLINES = 100 + 2 * np.arange(12), 300 + np.arange(9)
SAMPLES = 20 + 4.0 * np.arange(50)


def upper(inline: Any, crossline: Any) -> Any:
    """A tilted and bent surface, in ms."""
    return 60 + 0.37 * (inline - 100) + 3 * np.sin(crossline / 3)


def lower(inline: Any, crossline: Any) -> Any:
    return 140 - 0.21 * (inline - 100) + 2.5 * np.cos(crossline / 2)


LINES = np.stack(np.meshgrid(INLINES, CROSSLINES, indexing="ij"), axis=-1).reshape(-1, 2)


def positions(lines: np.ndarray) -> np.ndarray:
    """Those of the file, whose coordinates are hundredths."""
    i, x = (lines[:, 0] - 100) / 2, lines[:, 1] - 300
    return np.stack([1000 * i + 7 * x, 900 * x - 3 * i], axis=-1) / 100


@pytest.fixture
def dataset(make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    made = make_segy()
    recipe = load_recipe(
        name="survey", paths=(str(made.path),), out=str(tmp_path / "survey.zarr"), chunk_nbytes=1024, shard_nbytes=8192
    )
    return convert(recipe, client=client, catalog=Catalog())


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write_lines(name: str, lines: list[str], header: str = "") -> str:
        path = tmp_path / name
        path.write_text(header + "\n".join(lines) + "\n")
        return str(path)

    return write_lines


def horizon_lines(surface: Any, layout: str) -> tuple[list[str], str]:
    """Points of a surface as programs write them: lines, and what stands before them."""
    xy, z = positions(LINES), surface(LINES[:, 0], LINES[:, 1])
    rows = [(*line, *place, value) for line, place, value in zip(LINES, xy, z, strict=True)]
    match layout:
        case "lines":
            return [f"{i} {c} {z:.4f}" for i, c, x, y, z in rows], ""
        case "irap points":
            return [f"{x:.3f} {y:.3f} {-z:.4f}" for i, c, x, y, z in rows], ""
        case "charisma":
            return [f"INLINE :{i:6d} XLINE :{c:6d} {x:12.3f} {y:12.3f} {-z:10.4f}" for i, c, x, y, z in rows], ""
        case "earthvision":
            header = "# Type: scattered data\n# Version: 6\n# Field: 1 x\n# Field: 2 y\n# Field: 3 z meters\n"
            header += "# Field: 4 column\n# Field: 5 row\n# End:\n"
            return [f"{x:.3f} {y:.3f} {-z:.4f} {c - 299} {(i - 98) // 2}" for i, c, x, y, z in rows], header
        case "opendtect":
            header = '# "Inline"\t"Crossline"\t"Z"\n'
            return [f"{i}\t{c}\t{z / 1000:.7f}" for i, c, x, y, z in rows], header
        case "kingdom":
            return [f"{i},{c},{x:.3f},{y:.3f},{z:.4f}" for i, c, x, y, z in rows], "Line,Trace,X,Y,Time\n"
    raise AssertionError(layout)


LAYOUTS = ("lines", "irap points", "charisma", "earthvision", "opendtect", "kingdom")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_zones_begin_on_the_right_sample_whoever_wrote_the_horizons(
    layout: str, dataset: Entry, write: Callable[..., str], client: Client
) -> None:
    horizons = [
        {"name": name, "path": write(f"{name}.txt", *horizon_lines(surface, layout))}
        for name, surface in (("top", upper), ("base", lower))
    ]
    recipe = load_label_recipe(
        name="survey", id="zones", labels={"source": "horizons", "horizons": horizons, "zones": ["a", "b", "c"]}
    )
    entry = label(recipe, client=client, catalog=Catalog())
    assert check_store(entry) == []
    group = xr.open_zarr(f"{entry.url}/derived/zones", mask_and_scale=False).load()
    grid = np.meshgrid(INLINES, CROSSLINES, indexing="ij")
    np.testing.assert_allclose(group["top"].values, upper(*grid), atol=2e-4)
    above = sum((surface(*grid)[..., None] <= SAMPLES).astype(int) for surface in (upper, lower))
    np.testing.assert_array_equal(group["label"].values, above)
    assert entry.derived["zones"].variables["top"].role == "pick"


def test_surfaces_alone(dataset: Entry, write: Callable[..., str], client: Client) -> None:
    path = write("top.txt", *horizon_lines(upper, "lines"))
    labels = {"source": "horizons", "horizons": [{"name": "top", "path": path}]}
    entry = label(load_label_recipe(name="survey", id="top", labels=labels), client=client, catalog=Catalog())
    assert list(entry.derived["top"].variables) == ["top"]
    assert check_store(entry) == []


def test_points_on_every_third_line_are_joined(dataset: Entry, write: Callable[..., str], client: Client) -> None:
    """A plane comes out exactly, but beyond the outermost points."""
    lines = [f"{i} {c} {50 + 0.5 * i + 2 * c - 600:.6f}" for i, c in LINES if (i - 100) % 6 == 0 and (c - 300) % 4 == 0]
    labels = {"source": "horizons", "horizons": [{"name": "top", "path": write("top.txt", lines)}]}
    entry = label(load_label_recipe(name="survey", id="top", labels=labels), client=client, catalog=Catalog())
    found = xr.open_zarr(f"{entry.url}/derived/top")["top"].values
    i, c = np.meshgrid(INLINES, CROSSLINES, indexing="ij")
    inside = i <= 118
    np.testing.assert_allclose(found[inside], (50 + 0.5 * i + 2 * c - 600)[inside], atol=1e-3)
    assert np.isnan(found[~inside]).all()


def test_no_surface_far_from_its_points() -> None:
    points = np.array([[0, 0, 10], [0, 20, 10], [20, 0, 10], [20, 20, 10.0]])
    found = surface_of(points, (np.arange(21), np.arange(21)), steps=(1.0, 1.0), gap=3.0)
    distance = np.hypot(*(np.minimum(each, 20 - each) for each in np.mgrid[:21, :21]))
    np.testing.assert_array_equal(np.isfinite(found), distance <= 3)


def test_several_points_on_a_trace_have_their_mean() -> None:
    points = np.array([[0, 0, 10], [0, 0, 14], [0.004, 1, 20.0]])
    found = surface_of(points, (np.arange(1), np.arange(2)), steps=(1.0, 1.0), gap=0)
    np.testing.assert_array_equal(found, [[12, 20]])


@given(
    st.lists(st.lists(st.one_of(st.none(), st.floats(-10, 60)), min_size=3, max_size=3), min_size=1, max_size=5),
)
def test_zones_are_those_that_a_loop_finds(traces: list[list[float | None]]) -> None:
    surfaces = np.array([[np.nan if z is None else z for z in trace] for trace in traces]).T
    found = zones_between(surfaces, np.arange(0, 50, 2.0), ignore_value=255)
    for trace, zones in zip(traces, found, strict=True):
        assert zones.tolist() == zones_of(trace)


def zones_of(trace: list[float | None]) -> list[int]:
    """Sample by sample: known horizons in order, and doubt between those around one that is missing or out of order."""
    certain, last = [], 0.0
    for number, z in enumerate(trace):
        first = None if z is None else min(max(np.ceil(z / 2 - 1e-6), 0), 25)
        if first is not None and first >= last:
            certain.append((number, first))
            last = first
    zones = []
    for sample in range(25):
        above = [number for number, first in certain if first <= sample]
        below = [number for number, first in certain if first > sample]
        number, following = (above[-1] if above else -1), (below[0] if below else len(trace))
        zones.append(number + 1 if following == number + 1 else 255)
    return zones


def test_a_band_around_horizons_is_left_out() -> None:
    found = zones_between(np.array([[20.0]]), np.arange(0, 40, 2.0), ignore_value=255, ignore_band=2)[0]
    assert found.tolist() == [0] * 8 + [255] * 4 + [1] * 8


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["nothing here"], "holds no points"),
        (["5000 9000 100", "5001 9001 101"], "no columns lie on 'survey'"),
        (["100 300 1e30", "102 301 1e30"], "holds no values"),
        (
            ["100 300 9000", "102 301 9100"],
            r"z goes from 9000 to 9100 \(taken as down\), and the samples of 'survey'",
        ),
        (["100 300 50", "102 301 50 7", "100 302 50 8 9"], "has lines of"),
    ],
)
def test_what_is_no_horizon_of_the_dataset_is_refused(
    lines: list[str], message: str, dataset: Entry, write: Callable[..., str], client: Client
) -> None:
    labels = {"source": "horizons", "horizons": [{"name": "top", "path": write("top.txt", lines)}]}
    with pytest.raises(InputError, match=message):
        label(load_label_recipe(name="survey", id="top", labels=labels), client=client, catalog=Catalog())
    assert not (Path(dataset.url) / "derived/top").exists()


def test_columns_can_be_named(dataset: Entry, write: Callable[..., str]) -> None:
    path = write("top.txt", [f"{c} 7 {i} 80.5" for i, c in LINES])
    found = read_points(path, DatasetGrid(dataset), ("crossline", "-", "inline", "z"))
    np.testing.assert_array_equal(found.lines, LINES)
    assert (found.z == 80.5).all()


def zones_of_files(dataset: Entry, client: Client, *files: str, **options: Any) -> np.ndarray:
    horizons = [{"name": f"h{number}", "path": path} for number, path in enumerate(files)]
    zones = [f"z{number}" for number in range(len(files) + 1)]
    labels = {"source": "horizons", "horizons": horizons, "zones": zones, **options}
    entry = label(load_label_recipe(name="survey", id="zones", labels=labels), client=client, catalog=Catalog())
    return xr.open_zarr(f"{entry.url}/derived/zones", mask_and_scale=False)["label"].values


def test_each_file_has_its_own_direction_and_units(dataset: Entry, write: Callable[..., str], client: Client) -> None:
    files = (
        write("top.dat", *horizon_lines(upper, "opendtect")),
        write("base.dat", *horizon_lines(lower, "irap points")),
    )
    grid = np.meshgrid(INLINES, CROSSLINES, indexing="ij")
    expected = sum((surface(*grid)[..., None] <= SAMPLES).astype(int) for surface in (upper, lower))
    np.testing.assert_array_equal(zones_of_files(dataset, client, *files), expected)


def test_horizons_in_the_wrong_order_are_refused(dataset: Entry, write: Callable[..., str], client: Client) -> None:
    files = write("base.dat", *horizon_lines(lower, "lines")), write("top.dat", *horizon_lines(upper, "lines"))
    with pytest.raises(InputError, match=r"horizon 'h1' lies above 'h0' on 100% of their traces"):
        zones_of_files(dataset, client, *files)


def test_decimal_commas(dataset: Entry, write: Callable[..., str]) -> None:
    path = write("top.dat", [f"{i} {c} 80,25" for i, c in LINES])
    found = read_points(path, DatasetGrid(dataset))
    assert (found.columns, set(found.z.tolist())) == (("inline", "crossline", "z"), {80.25})


def test_lines_that_are_left_out_are_counted(dataset: Entry, write: Callable[..., str]) -> None:
    lines = [f"{i} {c} 80.5" for i, c in LINES]
    lines[3], lines[4], lines[5] = "100 303 1e30", "100 304 -999.25", "100 305 80.5 17"
    found = read_points(write("top.dat", lines), DatasetGrid(dataset))
    assert (len(found.z), found.left_out) == (len(LINES) - 3, 3)
