"""What labels take of memory: a task no more than one of a conversion, and points no more than their numbers."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

from data_catalog import Catalog, Entry
from pipeline.convert import convert
from pipeline.label import load_label_recipe
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.point_text import POINTS_AT_ONCE, read_points
from pipeline.labels.recipe import VolumeLabels
from pipeline.labels.volume import open_volume, prepare_volume
from pipeline.plan.costs import MIB, task_nbytes
from pipeline.recipe import load_recipe
from pipeline.segy.fields import TRACE_HEADER_NBYTES

SHAPE = (100, 90, 500)


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Counts what is allocated, NumPy's arrays too; gives the most that there was at a time."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def dataset(make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    """A survey in one shard, of classes."""
    volume = np.random.default_rng(3).integers(0, 3, SHAPE).astype(np.float32)
    path = str(make_segy(volume=volume).path)
    recipe = load_recipe(name="survey", paths=(path,), out=str(tmp_path / "survey.zarr"), shard_nbytes=64 * MIB)
    return convert(recipe, client=client, catalog=Catalog())


def test_a_task_of_a_label_volume_takes_no_more_than_one_of_the_conversion(
    dataset: Entry, client: Client, tmp_path: Path
) -> None:
    grid = DatasetGrid(dataset)
    assert grid.chunks.shard_count == 1
    volume = {
        "source": "volume",
        "paths": [str(tmp_path / "survey.sgy")],
        "classes": {0: "shale", 1: "sand", 2: "salt"},
    }
    recipe = load_label_recipe(name="survey", id="geology", labels=volume)
    assert isinstance(recipe.labels, VolumeLabels)
    made = prepare_volume(open_volume(recipe.labels), recipe, grid, str(tmp_path / "group"), client=client)
    with traced() as most:
        blocks = made.maker.blocks((slice(0, SHAPE[0]), slice(0, SHAPE[1])))
        taken = most()
    assert blocks["label"].shape == SHAPE
    trace_nbytes = TRACE_HEADER_NBYTES + 4 * SHAPE[2]
    assert SHAPE[0] * SHAPE[1] * trace_nbytes < taken < task_nbytes(grid.chunks, trace_nbytes=trace_nbytes)


def test_points_take_the_memory_of_their_numbers(dataset: Entry, tmp_path: Path) -> None:
    """And not of their words, which are many times as large: files hold a point for each trace of a survey."""
    grid, path, taken = DatasetGrid(dataset), tmp_path / "top.dat", []
    counts = np.array([2, 6]) * POINTS_AT_ONCE
    for count in counts:
        path.write_text("102 303 812.5\n100 301 800.25\n" * (count // 2))
        with traced() as most:
            assert len(read_points(str(path), grid, ("inline", "crossline", "z")).z) == count
            taken.append(most())
    words_nbytes = 3 * len(b"102") + 3 * 49  # what CPython adds to the text of a string
    assert np.diff(taken)[0] / np.diff(counts)[0] < words_nbytes
