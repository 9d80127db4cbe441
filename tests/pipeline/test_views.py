"""Datasets in Python: all that belongs together as one xarray Dataset, and names that interpreters complete."""

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

import data_catalog
from data_catalog import Catalog, Entry, InputError
from pipeline.convert import convert
from pipeline.label import label, load_label_recipe
from pipeline.recipe import load_recipe


@pytest.fixture
def labelled(make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    made = make_segy()
    recipe = load_recipe(name="survey", paths=(str(made.path),), out=str(tmp_path / "survey.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    volume = np.random.default_rng(1).integers(0, 2, (12, 9, 50)).astype(np.float32)
    path = make_segy("labels.sgy", volume=volume).path
    labels = {"source": "volume", "paths": [str(path)], "classes": {0: "none", 1: "salt"}}
    return label(load_label_recipe(name="survey", id="salt-1", labels=labels), client=client, catalog=Catalog())


def test_a_dataset_is_opened_as_a_whole(labelled: Entry) -> None:
    dataset = data_catalog.open("survey")
    assert isinstance(dataset, xr.Dataset)
    assert set(dataset.data_vars) == {"amplitude", "salt_1_label"}
    assert {"inline", "crossline", "time", "live", "cdp_x", "trace_number"} <= set(dataset.coords)
    assert dataset.attrs["kind"] == "stack3d"
    derived = xr.open_zarr(f"{labelled.url}/derived/salt-1", mask_and_scale=False)["label"].values
    one = dataset.salt_1_label.sel(inline=104)
    np.testing.assert_array_equal(one.values, derived[2])
    assert (one.dtype, one.attrs["ignore_value"]) == (np.uint8, 255)
    assert float(dataset.amplitude.where(dataset.salt_1_label == 1).mean()) != 0


def test_names_are_completed(labelled: Entry) -> None:
    assert list(data_catalog.datasets) == ["survey"]
    assert "survey" in dir(data_catalog.datasets)
    assert data_catalog.datasets._ipython_key_completions_() == ["survey"]
    assert data_catalog.datasets.survey.equals(data_catalog.datasets["survey"])
    assert "survey" in repr(data_catalog.datasets)
    with pytest.raises(KeyError, match="other"):
        data_catalog.datasets["other"]
    with pytest.raises(AttributeError, match="no dataset named 'other'"):
        _ = data_catalog.datasets.other
    with pytest.raises(InputError, match=r"no dataset named 'survy' .* did you mean survey"):
        data_catalog.open("survy")


def test_the_contract_needs_no_xarray() -> None:
    code = "import sys; sys.modules['xarray'] = None; import data_catalog; print(data_catalog.datasets)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert builtins.open is open
