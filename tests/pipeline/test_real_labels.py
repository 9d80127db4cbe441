"""Real labels: facies of the Penobscot survey as pictures, and picks of the PhaseNet records."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from PIL import Image

from data_catalog import Catalog, check_store
from pipeline.ingest.run import ingest, load_ingest_recipe
from pipeline.label import label, load_label_recipe
from pipeline.split import load_split_recipe, split

PALETTE = ("#000000", "#1446F5", "#285AEB", "#3C6EE1", "#5082D7", "#6496CD", "#78AAC3", "#8CBEB9")
"""Colours of the eight classes: all others in the masks are blends at their edges."""


def folder(real_data: Path, name: str) -> Path:
    found = real_data / "labels" / name
    if not found.is_dir():
        pytest.skip(f"{found} is not there")
    return found


def test_penobscot_has_eight_clean_classes_and_a_split_that_does_not_leak(
    real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    pictures = folder(real_data, "penobscot")
    files = {"format": "images", "paths": [str(pictures / "images")], "each": "inline", "samples": {"interval": 4}}
    recipe = load_ingest_recipe(name="penobscot", out=str(tmp_path / "p.zarr"), files=files)
    ingest(recipe, client=client, catalog=Catalog())
    classes = {number: f"facies{number}" for number in range(8)}
    labels = {"source": "pictures", "paths": [str(pictures / "masks")], "classes": classes, "palette": PALETTE}
    recipe = load_label_recipe(name="penobscot", id="facies", labels=labels)
    entry = label(recipe, client=client, catalog=Catalog())
    assert check_store(entry) == []
    dataset = xr.open_zarr(entry.url)
    facies = xr.open_zarr(f"{entry.url}/derived/facies", mask_and_scale=False)["label"].values
    assert dict(dataset.sizes) == {"inline": 30, "crossline": 512, "time": 1536}
    picture = np.asarray(Image.open(pictures / "images/1090.png"))
    np.testing.assert_array_equal(dataset["amplitude"].sel(inline=1090).values, picture.T)
    mask = np.asarray(Image.open(pictures / "masks/1090.png").convert("RGB")).reshape(-1, 3)
    found = facies[dataset["inline"].values.tolist().index(1090)].T.reshape(-1)
    for number, colour in enumerate(PALETTE):
        exact = (mask == [int(colour[at : at + 2], 16) for at in (1, 3, 5)]).all(axis=1)
        assert exact.any()
        assert (found[exact] == number).all()
    assert np.unique(facies).tolist() == list(range(8))
    order = np.diff(facies.astype(int), axis=2)
    assert ((order < 0).any(axis=2)).mean() < 0.05  # layers lie in order nearly everywhere

    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    dealt = load_split_recipe(by="inline", shares=shares, blocks=30, seed=1)
    _, leaking = split(dealt, name="penobscot", catalog=Catalog())
    _, apart = split(load_split_recipe(by="crossline", shares=shares, guard=64), name="penobscot", catalog=Catalog())
    assert all(border.correlation > 0.9 for border in leaking)
    assert all(abs(border.correlation) < 0.2 and border.distance >= 64 for border in apart)


def test_phasenet_records_have_masks_around_their_picks(
    real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    records = folder(real_data, "phasenet")
    files = {"format": "numpy", "paths": [str(records)], "array": "data", "dims": ["time", "component"]}
    files["samples"] = {"interval": 10}
    recipe = load_ingest_recipe(name="phasenet", out=str(tmp_path / "p.zarr"), files=files)
    ingest(recipe, client=client, catalog=Catalog())
    labels = {"source": "arrivals", "phases": ["P", "S"], "coordinates": {"P": "itp", "S": "its"}, "width": 400}
    entry = label(load_label_recipe(name="phasenet", id="picks", labels=labels), client=client, catalog=Catalog())
    assert check_store(entry) == []
    assert entry.derived["picks"].provenance["picks"] == {"P": 123, "S": 123}
    stored = xr.open_zarr(entry.url)["amplitude"].values
    masks = xr.open_zarr(f"{entry.url}/derived/picks", mask_and_scale=False)["label"].values
    for row, path in enumerate(sorted(records.glob("*.npz"))):
        with np.load(path) as found:
            np.testing.assert_array_equal(stored[row], found["data"].T.astype(np.float32))
            expected = np.zeros(9001, np.uint8)
            expected[int(found["itp"]) - 20 : int(found["itp"]) + 21] = 1
            expected[int(found["its"]) - 20 : int(found["its"]) + 21] = 2
        np.testing.assert_array_equal(masks[row], expected)
