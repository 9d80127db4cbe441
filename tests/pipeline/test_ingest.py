"""Pictures and NumPy files into datasets: what comes out, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_catalog import Catalog, Entry, InputError, check_store
from pipeline.ingest.run import ingest, load_ingest_recipe
from pipeline.plan.chunking import plan_examples
from pipeline.storage.many_files import names_of

Ingest = Callable[..., tuple[Entry, xr.Dataset]]


@pytest.fixture
def ingest_it(client: Client, catalog_folder: Path, tmp_path: Path) -> Ingest:
    def ingest_files(file_format: str, folder: Path, *, variable: str | None = None, **files: Any) -> Any:
        recipe = load_ingest_recipe(
            name="made",
            out=str(tmp_path / "made.zarr"),
            variable=variable,
            files={"format": file_format, "paths": [str(folder)], **files},
        )
        entry = ingest(recipe, client=client, catalog=Catalog())
        assert check_store(entry) == []
        return entry, xr.open_zarr(entry.url).load()

    return ingest_files


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Sections 9 to 13 of 7 rows and 5 columns, of which 10 sorts before 9 as text."""
    folder = tmp_path / "sections"
    folder.mkdir()
    values = np.random.default_rng(2).integers(0, 256, (5, 7, 5)).astype(np.uint8)
    for number, picture in zip(range(9, 14), values, strict=True):
        Image.fromarray(picture).save(folder / f"survey2_{number}.png")
    return folder, values


def test_pictures_of_inlines(ingest_it: Ingest, pictures: tuple[Path, np.ndarray]) -> None:
    folder, values = pictures
    samples = {"first": 100, "interval": 4}
    entry, dataset = ingest_it("images", folder, each="inline", across_first=30, across_step=2, samples=samples)
    assert (entry.kind, dataset["amplitude"].dims) == ("stack3d", ("inline", "crossline", "time"))
    np.testing.assert_array_equal(dataset["amplitude"].values, values.transpose(0, 2, 1))
    assert dataset["inline"].values.tolist() == [9, 10, 11, 12, 13]
    assert dataset["crossline"].values.tolist() == [30, 32, 34, 36, 38]
    assert dataset["time"].values.tolist() == [100 + 4 * k for k in range(7)]
    assert dataset["time"].attrs["units"] == "ms"


def test_pictures_of_crosslines(ingest_it: Ingest, pictures: tuple[Path, np.ndarray]) -> None:
    folder, values = pictures
    _, dataset = ingest_it("images", folder, each="crossline", samples={"domain": "depth", "interval": 5})
    assert dataset["amplitude"].dims == ("inline", "crossline", "depth")
    np.testing.assert_array_equal(dataset["amplitude"].values, values.transpose(2, 0, 1))


def test_pictures_as_examples(ingest_it: Ingest, pictures: tuple[Path, np.ndarray]) -> None:
    folder, values = pictures
    entry, dataset = ingest_it("images", folder, variable="image")
    assert (entry.kind, dataset["image"].dims) == ("examples", ("example", "y", "x"))
    np.testing.assert_array_equal(dataset["image"].values, values)
    assert dataset["name"].values.tolist() == [f"survey2_{number}" for number in range(9, 14)]
    manifest = xr.open_zarr(f"{entry.url}/manifest/image", consolidated=False)
    assert manifest["count"].values.sum() == values.size
    mean = (manifest["mean"] * manifest["count"]).values.sum() / values.size
    assert mean == pytest.approx(values.mean())


def test_pictures_of_different_sizes_are_refused(ingest_it: Ingest, pictures: tuple[Path, np.ndarray]) -> None:
    folder, _ = pictures
    Image.fromarray(np.zeros((8, 5), np.uint8)).save(folder / "survey2_14.png")
    with pytest.raises(InputError, match=r"7 x 5 rows and columns, and .*survey2_14.png 8 x 5"):
        ingest_it("images", folder, each="inline")
    assert Catalog().names() == Catalog().unfinished_names() == []


def test_what_is_no_picture_is_refused(ingest_it: Ingest, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(InputError, match="is no picture that can be read"):
        ingest_it("images", folder)


def test_sections_need_numbers_of_their_own(ingest_it: Ingest, tmp_path: Path) -> None:
    folder = tmp_path / "same"
    folder.mkdir()
    for name in ("a7.png", "b7.png"):
        Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / name)
    with pytest.raises(InputError, match="two pictures have the same number"):
        ingest_it("images", folder, each="inline")


@pytest.fixture
def records(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    folder = tmp_path / "records"
    folder.mkdir()
    values = np.random.default_rng(4).normal(size=(6, 50, 3))
    picks = np.array([10.0, 11, 12, np.nan, 14, 15])
    for row in range(6):
        beside = {} if row == 3 else {"pick": np.int64(picks[row])}
        np.savez(folder / f"r{row}.npz", data=values[row], channels="Z_N_E", **beside)
    return folder, values, picks


def test_numpy_files_as_examples(ingest_it: Ingest, records: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, values, picks = records
    entry, dataset = ingest_it("numpy", folder, dims=["time", "component"], samples={"interval": 10})
    assert dataset["amplitude"].dims == ("example", "component", "time")
    np.testing.assert_array_equal(dataset["amplitude"].values, values.transpose(0, 2, 1).astype(np.float32))
    np.testing.assert_array_equal(dataset["pick"].values, picks)
    assert dataset["name"].values.tolist() == [f"r{row}" for row in range(6)]
    assert entry.variables["name"].dtype == "string"
    assert entry.warnings == ("channels of the files are no single numbers, and left out",)


def test_a_number_that_is_called_name_is_kept_instead(ingest_it: Ingest, tmp_path: Path) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    for row in range(3):
        np.savez(folder / f"r{row}.npz", data=np.ones(50), name=7 - row)
    entry, dataset = ingest_it("numpy", folder, dims=["time"])
    assert dataset["name"].values.tolist() == [7, 6, 5]
    assert ingest_it("numpy", folder, dims=["time"])[0] == entry


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c.d"]), min_size=1, max_size=3), min_size=1, unique_by=tuple))
def test_names_tell_files_apart_and_have_no_more_folders_than_they_need(parts: list[list[str]]) -> None:
    urls = [f"/data/{'/'.join(each)}.png" for each in parts]
    names = names_of(urls)
    assert len(set(names)) == len(urls)
    folders = {name.partition("/")[0] if "/" in name else None for name in names}
    assert len(folders) > 1 or folders == {None}
    assert all(url.endswith(f"/{name}.png") for url, name in zip(urls, names, strict=True))


def test_a_file_of_another_shape_is_refused(ingest_it: Ingest, records: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, _, _ = records
    np.savez(folder / "r6.npz", data=np.zeros((40, 3)))
    with pytest.raises(InputError, match=r"r6.npz holds \(3, 40\), where \(3, 50\) was expected"):
        ingest_it("numpy", folder, dims=["time", "component"])
    assert Catalog().names() == Catalog().unfinished_names() == []


def test_nothing_is_unpickled(ingest_it: Ingest, tmp_path: Path) -> None:
    folder = tmp_path / "pickles"
    folder.mkdir()
    np.save(folder / "0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="holds no plain NumPy arrays"):
        ingest_it("numpy", folder, dims=["time"])


def test_the_same_call_again_has_succeeded(ingest_it: Ingest, pictures: tuple[Path, np.ndarray]) -> None:
    folder, _ = pictures
    entry, _ = ingest_it("images", folder)
    assert ingest_it("images", folder)[0] == entry
    with pytest.raises(InputError, match="already has a dataset named 'made'"):
        ingest_it("images", folder, each="inline")


@given(
    st.lists(st.integers(1, 3000), min_size=2, max_size=3),
    st.integers(0, 2),
    st.sampled_from([1, 4]),
    st.one_of(st.none(), st.integers(1024, 2**22)),
)
def test_examples_are_whole_in_shards(shape: list[int], along: int, itemsize: int, chunk_nbytes: int | None) -> None:
    along = min(along, len(shape) - 1)
    plan = plan_examples(tuple(shape), along=along, itemsize=itemsize, chunk_nbytes=chunk_nbytes)
    for dim, (size, chunk, shard) in enumerate(zip(plan.shape, plan.chunk_shape, plan.shard_shape, strict=True)):
        assert shard % chunk == 0
        assert dim == along or shard >= size
    assert np.prod(plan.chunk_shape) * itemsize <= max(chunk_nbytes or 2**21, itemsize) * 2
