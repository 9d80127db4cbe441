"""Fault sticks: text as different programs write it, and masks of the width asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from data_catalog import Catalog, Entry, InputError, check_store
from pipeline.convert import convert
from pipeline.label import label, load_label_recipe
from pipeline.recipe import load_recipe

SHAPE = (12, 9, 50)


def plane(inline: Any, sample: Any) -> Any:
    """Crossline, in traces, of a plane fault."""
    return 1.3 + 0.35 * inline + 0.06 * sample


STICKS = [[(i, plane(i, k), k) for k in (0, 13.5, 30, 49)] for i in (0, 4.5, 8, 11)]
"""Nodes as traces along both axes, and samples."""


@pytest.fixture
def dataset(make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    made = make_segy()
    recipe = load_recipe(
        name="survey", paths=(str(made.path),), out=str(tmp_path / "survey.zarr"), chunk_nbytes=1024, shard_nbytes=8192
    )
    return convert(recipe, client=client, catalog=Catalog())


def fault_text(layout: str) -> str:
    lines = []
    for number, stick in enumerate(STICKS):
        for node, (i, x, k) in enumerate(stick):
            inline, crossline, z = 100 + 2 * i, 300 + x, 20 + 4 * k
            px, py = (1000 * i + 7 * x) / 100, (900 * x - 3 * i) / 100
            code = 1 if node == 0 else 3 if node == len(stick) - 1 else 2
            lines.append(
                {
                    "lines": f"{inline:.6f} {crossline:.6f} {z:.4f}",
                    "opendtect": f"{px:.6f}\t{py:.6f}\t{z / 1000:.7f}\t{number}\t{node}",
                    "charisma": f"INLINE-{inline:9.1f} 0 {px:14.6f} {py:14.6f} {-z:12.5f} {code} Fault_1 {number + 1}",
                }[layout]
            )
        if layout == "lines":
            lines.append("")
    return "\n".join(lines) + "\n"


def near(half_width: float) -> np.ndarray:
    """Which samples lie within some bins of the fault, by all sticks' segments in each time slice."""
    found = np.zeros(SHAPE, bool)
    i, x = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    for k in range(SHAPE[2]):
        begin, end = np.array([0.0, plane(0, k)]), np.array([11.0, plane(11, k)])
        along = ((i - begin[0]) * (end - begin)[0] + (x - begin[1]) * (end - begin)[1]) / ((end - begin) ** 2).sum()
        along = np.clip(along, 0, 1)
        found[..., k] = np.hypot(i - begin[0] - along * 11, x - begin[1] - along * (end - begin)[1]) <= half_width
    return found


@pytest.fixture
def label_it(dataset: Entry, client: Client, tmp_path: Path) -> Callable[..., xr.Dataset]:
    def label_with(text: str, **options: Any) -> xr.Dataset:
        path = tmp_path / "fault.txt"
        path.write_text(text)
        labels = {"source": "faults", "faults": [{"name": "f1", "path": str(path)}], **options}
        entry = label(load_label_recipe(name="survey", id="faults", labels=labels), client=client, catalog=Catalog())
        assert check_store(entry) == []
        return xr.open_zarr(f"{entry.url}/derived/faults", mask_and_scale=False).load()

    return label_with


@pytest.mark.parametrize("layout", ["lines", "opendtect", "charisma"])
def test_a_mask_has_its_width_whoever_wrote_the_sticks(layout: str, label_it: Callable[..., xr.Dataset]) -> None:
    found = label_it(fault_text(layout), width=3.14)["label"].values
    np.testing.assert_array_equal(found, near(1.57))


def test_a_band_beside_the_mask_is_left_out(label_it: Callable[..., xr.Dataset]) -> None:
    found = label_it(fault_text("lines"), width=2.14, ignore_band=1.0)["label"].values
    np.testing.assert_array_equal(found == 1, near(1.07))
    np.testing.assert_array_equal(found == 255, near(2.07) & ~near(1.07))


def test_a_fault_ends_where_its_sticks_do(label_it: Callable[..., xr.Dataset]) -> None:
    text = "".join(f"{100 + 2 * i} 304 {20 + 4 * k} {n}\n" for n, i in enumerate((2, 9)) for k in (10, 20.5, 30))
    found = label_it(text, width=1)["label"].values == 1
    expected = np.zeros(SHAPE, bool)
    expected[2:10, 4, 10:31] = True
    np.testing.assert_array_equal(found, expected)


def test_one_stick_is_refused(label_it: Callable[..., xr.Dataset]) -> None:
    with pytest.raises(InputError, match="holds one fault stick, and a surface takes two"):
        label_it("100 304 60\n100 304 80\n100 305 90\n")
