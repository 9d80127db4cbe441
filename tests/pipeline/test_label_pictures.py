"""Pictures of classes: exact colours, blends at edges, and what does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from PIL import Image

from data_catalog import Catalog, Entry, InputError, check_store
from pipeline.ingest.run import ingest, load_ingest_recipe
from pipeline.label import label, load_label_recipe
from pipeline.labels.pictures import classes_of
from pipeline.labels.recipe import PictureLabels

COLOURS = np.array([(0, 0, 0), (255, 0, 0), (255, 128, 0), (255, 255, 0)], np.uint8)
"""The third lies half-way between the second and the fourth."""

PALETTE = ["#000000", "#FF0000", "#FF8000", "#FFFF00"]
CLASSES = {0: "water", 1: "sand", 2: "shale", 3: "salt"}
LABELS = {"source": "pictures", "classes": CLASSES, "palette": PALETTE}


def layers(rows: int, columns: int, shift: int = 0) -> np.ndarray:
    """Classes of a section, int (row, column), whose third class lies beside the fourth, and not between."""
    found = np.zeros((rows, columns), int)
    found[rows // 4 + shift :] = 1
    found[rows // 2 + shift :] = 3
    found[3 * rows // 4 + shift :] = 2
    return found


def test_blends_at_edges_take_the_class_beside_them() -> None:
    classes = layers(64, 40)
    small = COLOURS[classes]
    blurred = np.asarray(Image.fromarray(small).resize((120, 192), Image.Resampling.BILINEAR))
    found = classes_of(blurred, PictureLabels.model_validate(LABELS | {"paths": ["x"]}), ignore_value=255)
    expected = np.asarray(Image.fromarray(classes.astype(np.uint8)).resize((120, 192), Image.Resampling.NEAREST))
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert np.abs(np.diff(found.astype(int), axis=0))[:, 60].astype(bool).sum() == 3  # no line of a third class
    assert (found != expected).mean() < 0.02


def test_a_colour_that_is_none_of_the_palette_is_left_out() -> None:
    picture = COLOURS[layers(20, 20)].copy()
    picture[2:12, 3:15] = (0, 0, 255)
    found = classes_of(picture, PictureLabels.model_validate(LABELS | {"paths": ["x"], "blend": 2}), ignore_value=255)
    assert (found[4:10, 5:13] == 255).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"palette": PALETTE[:3]}, "4 classes need as many colours, and the palette has 3"),
        ({"palette": ["#000000", "#000003", "#FF8000", "#FFFF00"]}, "nearer to each other than twice the tolerance"),
        ({"palette": ["black", *PALETTE[1:]]}, "palette"),
    ],
)
def test_a_palette_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_label_recipe(name="made", id="a", labels=LABELS | {"paths": ["x"]} | change)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write_pictures(name: str, numbers: range, pictures: list[np.ndarray]) -> str:
        folder = tmp_path / name
        folder.mkdir()
        for number, picture in zip(numbers, pictures, strict=True):
            Image.fromarray(picture).save(folder / f"{number}.png")
        return str(folder)

    return write_pictures


@pytest.mark.parametrize("each", ["inline", "crossline", "example"])
def test_pictures_become_classes(
    each: str, write: Callable[..., str], client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    """Of five sections or examples, of which one has no picture of classes; and one picture more."""
    values = [np.random.default_rng(n).integers(0, 256, (24, 10)).astype(np.uint8) for n in range(5)]
    folder = write("images", range(5), values)
    files = {"format": "images", "paths": [folder], "each": each}
    recipe = load_ingest_recipe(name="made", out=str(tmp_path / "made.zarr"), files=files)
    ingest(recipe, client=client, catalog=Catalog())
    classes = [layers(24, 10, shift) for shift in range(5)]
    masks = write("masks", range(1, 6), [COLOURS[found] for found in (*classes[1:], classes[0])])
    labels = LABELS | {"paths": [masks], "each": each}
    entry: Entry = label(load_label_recipe(name="made", id="facies", labels=labels), client=client, catalog=Catalog())
    assert check_store(entry) == []
    assert entry.derived["facies"].provenance["pictures"] == {"placed": 4, "beside_grid": 1, "without": 1}
    found = xr.open_zarr(f"{entry.url}/derived/facies", mask_and_scale=False)["label"].values
    expected = np.stack([np.full((24, 10), 255), *classes[1:]])
    order = {"inline": (0, 2, 1), "crossline": (2, 0, 1), "example": (0, 1, 2)}[each]
    np.testing.assert_array_equal(found, expected.transpose(order))


@pytest.fixture
def two_inlines(write: Callable[..., str], client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    """The dataset ``made``, of pictures of 24 samples and 10 traces."""
    folder = write("images", range(2), [np.zeros((24, 10), np.uint8)] * 2)
    files = {"format": "images", "paths": [folder], "each": "inline"}
    recipe = load_ingest_recipe(name="made", out=str(tmp_path / "made.zarr"), files=files)
    ingest(recipe, client=client, catalog=Catalog())


@pytest.mark.usefixtures("two_inlines")
def test_pictures_of_another_size_are_refused(write: Callable[..., str], client: Client) -> None:
    masks = write("masks", range(2), [COLOURS[layers(24, 11)]] * 2)
    recipe = load_label_recipe(name="made", id="facies", labels=LABELS | {"paths": [masks]})
    with pytest.raises(InputError, match="has 24 rows and 11 columns, and each inline of 'made' 24 and 10"):
        label(recipe, client=client, catalog=Catalog())


@pytest.mark.usefixtures("two_inlines")
def test_a_colour_that_is_missing_from_the_palette_is_told(write: Callable[..., str], client: Client) -> None:
    masks = write("masks", range(2), [COLOURS[layers(24, 10)]] * 2)
    classes = {0: "water", 1: "sand", 2: "shale"}
    labels = LABELS | {"paths": [masks], "classes": classes, "palette": PALETTE[:3]}
    with pytest.raises(InputError, match=r"has colours that are in no class: #FFFF00 \(25.0%\)"):
        label(load_label_recipe(name="made", id="a", labels=labels), client=client, catalog=Catalog())
    recipe = load_label_recipe(name="made", id="a", labels=labels | {"ignored": ["#FFFF00"]})
    entry = label(recipe, client=client, catalog=Catalog())
    found = xr.open_zarr(f"{entry.url}/derived/a", mask_and_scale=False)["label"].values[0].T
    np.testing.assert_array_equal(found, np.where(layers(24, 10) == 3, 255, layers(24, 10)))
