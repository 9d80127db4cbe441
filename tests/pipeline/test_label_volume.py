"""Label volumes onto a dataset's grid: where they fit, where they only seem to, and what is told of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from data_catalog import Catalog, Entry, InputError, check_store, layout
from pipeline.convert import convert
from pipeline.label import label, load_label_recipe
from pipeline.recipe import load_recipe
from pipeline.segy.file import open_segy

SHAPE = (12, 9, 50)
CLASSES = np.random.default_rng(3).integers(0, 3, SHAPE).astype(np.float32)

Label = Callable[..., Entry]


@pytest.fixture
def dataset(make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    """A survey of inlines 100 to 122, with a hole, in several shards."""
    made = make_segy(keep=lambda inline, crossline: (inline, crossline) != (104, 303))
    recipe = load_recipe(
        name="survey", paths=(str(made.path),), out=str(tmp_path / "survey.zarr"), chunk_nbytes=1024, shard_nbytes=8192
    )
    return convert(recipe, client=client, catalog=Catalog())


@pytest.fixture
def label_it(make_segy: Any, client: Client) -> Label:
    """A function that writes a label volume and labels the survey with it."""

    def label_with(volume: np.ndarray = CLASSES, *, file: dict[str, Any] | None = None, **labels: Any) -> Entry:
        made = make_segy("labels.sgy", volume=volume, **(file or {}))
        options = {"source": "volume", "paths": [str(made.path)], "classes": {0: "shale", 1: "sand", 2: "salt"}}
        recipe = load_label_recipe(name="survey", id="geology", labels=options | labels)
        return label(recipe, client=client, catalog=Catalog())

    return label_with


def opened(entry: Entry) -> xr.Dataset:
    return xr.open_zarr(f"{entry.url}/{layout.derived_path('geology')}", mask_and_scale=False).load()


def expected(classes: np.ndarray, entry: Entry) -> np.ndarray:
    """Classes where traces are live, and the ignore value elsewhere."""
    live = xr.open_zarr(entry.url)["live"].values
    return np.where(live[..., None], classes, 255).astype(np.uint8)


def test_the_volume_is_opened_once(dataset: Entry, label_it: Label, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it opened twice, another file could take its place between what the plan says and what is read."""
    opened_files: list[str] = []

    def counted(url: str, *rest: Any) -> Any:
        opened_files.append(url)
        return open_segy(url, *rest)

    monkeypatch.setattr("pipeline.survey.files.open_segy", counted)
    label_it()
    assert len(opened_files) == 1


def test_a_volume_on_the_same_grid(dataset: Entry, label_it: Label) -> None:
    entry = label_it()
    assert entry.revision == dataset.revision + 1
    assert check_store(entry) == []
    np.testing.assert_array_equal(opened(entry)["label"].values, expected(CLASSES, entry))
    group = entry.derived["geology"]
    assert group.variables["label"].flag_meanings == ("shale", "sand", "salt")
    assert group.provenance["placement"] == {
        "labelled": 107,
        "without_label": 0,
        "beside_grid": 1,
        "repeated": 0,
        "shift": [0.0, 0.0],
    }


def test_classes_are_counted_chunk_by_chunk(dataset: Entry, label_it: Label) -> None:
    entry = label_it()
    group, variable = opened(entry), entry.derived["geology"].variables["label"]
    counts = xr.open_zarr(f"{entry.url}/derived/geology/manifest/label", consolidated=False)["class_counts"].values
    labels, live = group["label"].values, xr.open_zarr(entry.url)["live"].values
    for index in np.ndindex(counts.shape[:-1]):
        where = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, variable.chunk_shape, strict=True))
        counted = labels[where][live[where[:-1]]]
        np.testing.assert_array_equal(counts[index], np.bincount(counted.reshape(-1), minlength=256))


def test_a_volume_that_covers_a_part_is_placed_by_its_positions_and_numbers(dataset: Entry, label_it: Label) -> None:
    """Inlines 100 to 110 of 122: positions confirm the numbers."""
    entry = label_it(CLASSES[:6])
    whole = np.full(SHAPE, 255)
    whole[:6] = CLASSES[:6]
    np.testing.assert_array_equal(opened(entry)["label"].values, expected(whole, entry))
    assert entry.derived["geology"].provenance["placement"]["without_label"] == 54  # type: ignore[index, call-overload]


def test_a_volume_that_is_shifted_by_an_inline_is_refused(dataset: Entry, label_it: Label) -> None:
    with pytest.raises(InputError, match=r"lies -1.00 inlines and [-+]0.00 crosslines off the traces of 'survey'"):
        label_it(file={"first_inline": 102})
    assert "geology" not in Catalog().read("survey").derived
    assert not (Path(dataset.url) / "derived/geology").exists()


def test_a_shifted_volume_goes_where_its_positions_are(dataset: Entry, label_it: Label) -> None:
    entry = label_it(file={"first_inline": 102}, match="positions")
    np.testing.assert_array_equal(opened(entry)["label"].values, expected(CLASSES, entry))


def test_a_shifted_volume_goes_where_its_numbers_are_if_they_are_to_be_believed(
    dataset: Entry, label_it: Label
) -> None:
    entry = label_it(file={"first_inline": 102}, match="numbers")
    whole = np.full(SHAPE, 255)
    whole[1:] = CLASSES[:-1]
    np.testing.assert_array_equal(opened(entry)["label"].values, expected(whole, entry))


def test_a_shifted_volume_without_positions_is_refused(dataset: Entry, write_headers: Any, client: Client) -> None:
    inlines, crosslines = (each.reshape(-1) for each in np.meshgrid(102 + 2 * np.arange(12), 300 + np.arange(9)))
    samples = np.zeros((108, 50), np.float32)
    path = write_headers(inline=inlines, crossline=crosslines, samples=samples, bytes_109_to_110=20)
    options = {"source": "volume", "paths": [str(path)], "classes": {0: "shale"}}
    recipe = load_label_recipe(name="survey", id="geology", labels=options)
    with pytest.raises(InputError, match="9 traces of 'survey' have no trace of the label volume, and 10 of its 108"):
        label(recipe, client=client, catalog=Catalog())
    believed = load_label_recipe(name="survey", id="geology", labels=options | {"match": "numbers"})
    assert "geology" in label(believed, client=client, catalog=Catalog()).derived


def test_other_samples_are_refused(dataset: Entry, write_headers: Any, client: Client) -> None:
    path = write_headers(inline=[100, 100, 102, 102], crossline=[300, 301, 300, 301], interval_us=3000)
    options = {"source": "volume", "paths": [str(path)], "classes": {0: "shale"}}
    recipe = load_label_recipe(name="survey", id="geology", labels=options)
    with pytest.raises(InputError, match="samples from 0 on, 3 apart, and 'survey' from 20 on, 4 apart"):
        label(recipe, client=client, catalog=Catalog())


def test_what_is_no_class_is_refused_and_nothing_is_left(dataset: Entry, label_it: Label) -> None:
    with pytest.raises(InputError, match=r"label 'label' holds 2 at sample .*neither a class"):
        label_it(classes={0: "shale", 1: "sand"})
    assert not (Path(dataset.url) / "derived/geology").exists()


def test_the_same_call_again_has_succeeded_and_another_is_refused(
    dataset: Entry, make_segy: Any, client: Client
) -> None:
    options = {"source": "volume", "classes": {0: "shale", 1: "sand", 2: "salt"}}
    options["paths"] = [str(make_segy("labels.sgy", volume=CLASSES).path)]
    recipe = load_label_recipe(name="survey", id="geology", labels=options)
    entry = label(recipe, client=client, catalog=Catalog())
    assert label(recipe, client=client, catalog=Catalog()) == entry
    other = load_label_recipe(name="survey", id="geology", labels=options | {"match": "numbers"})
    with pytest.raises(InputError, match=r"has a derived group 'geology' already.*remove survey --derived geology"):
        label(other, client=client, catalog=Catalog())


def test_a_dataset_in_an_object_store(make_segy: Any, client: Client, catalog_folder: Path, bucket_url: str) -> None:
    made, out = make_segy(), f"{bucket_url}/survey.zarr"
    recipe = load_recipe(name="survey", paths=(str(made.path),), out=out, chunk_nbytes=1024, shard_nbytes=8192)
    convert(recipe, client=client, catalog=Catalog())
    path = make_segy("labels.sgy", volume=CLASSES).path
    options = {"source": "volume", "paths": [str(path)], "classes": {0: "shale", 1: "sand", 2: "salt"}}
    entry = label(load_label_recipe(name="survey", id="geology", labels=options), client=client, catalog=Catalog())
    assert check_store(entry) == []
    np.testing.assert_array_equal(opened(entry)["label"].values, CLASSES)
    assert Catalog().remove_derived("survey", "geology")
    assert check_store(Catalog().read("survey")) == []
