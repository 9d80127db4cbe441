"""A dataset from its conversion to its removal, where the catalog is in an object store and its store on a disk."""

from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

import data_catalog
from data_catalog import Catalog
from pipeline.convert import convert
from pipeline.label import label, load_label_recipe
from pipeline.recipe import load_recipe
from pipeline.split import load_split_recipe, split
from pipeline.status import read_status


def test_all_of_a_datasets_life(make_segy: Any, client: Client, bucket_url: str, tmp_path: Path) -> None:
    made, catalog = make_segy(), Catalog(f"{bucket_url}/catalog")
    recipe = load_recipe(name="survey", paths=(str(made.path),), out=str(tmp_path / "survey.zarr"))
    assert convert(recipe, client=client, catalog=catalog).revision == 1
    assert read_status("survey", catalog=catalog)["state"] == "published"
    points = [f"{inline} {crossline} 60" for inline in made.inlines for crossline in made.crosslines]
    (tmp_path / "top.txt").write_text("\n".join(points))
    horizons = {"source": "horizons", "horizons": [{"name": "top", "path": str(tmp_path / "top.txt")}]}
    labels = load_label_recipe(name="survey", id="zones", labels=horizons | {"zones": ["over", "below"]})
    assert label(labels, client=client, catalog=catalog).revision == 2
    shares = {"train": 0.5, "test": 0.5}
    assert split(load_split_recipe(by="inline", shares=shares), name="survey", catalog=catalog)[0].revision == 3
    found = data_catalog.open("survey", catalog=catalog.place)
    assert set(np.unique(found.zones_label)) <= {0, 1, 255}
    assert catalog.remove("survey")
    assert (catalog.names(), catalog.unfinished_names()) == ([], [])
    assert not (tmp_path / "survey.zarr").exists()
