"""Conversion end to end on small files: samples, coordinates, labels, manifest, and the way back."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import segyio
import xarray as xr
import zarr
from distributed import Client

from data_catalog import Catalog, InputError, Kind, Role, WorkError, check_store
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.recipe import load_recipe
from pipeline.work.cluster import PROCESSES, dask_client

CLASSES = {0: "sediment", 1: "salt"}


def test_a_grid_with_holes_opens_in_xarray(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    made = make_segy(keep=lambda inline, crossline: (inline, crossline) != (104, 303))
    recipe = load_recipe(name="holes", paths=(str(made.path),), out=str(tmp_path / "holes.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog())
    assert entry.kind is Kind.STACK3D
    dataset = xr.open_zarr(entry.url)
    assert dataset["amplitude"].dims == ("inline", "crossline", "time")
    np.testing.assert_array_equal(dataset["amplitude"], made.volume)
    np.testing.assert_array_equal(dataset["inline"], made.inlines)
    np.testing.assert_array_equal(dataset["time"], 20 + 4.0 * np.arange(50))
    assert dataset["time"].attrs["units"] == "ms"
    assert not dataset["live"].sel(inline=104, crossline=303)
    assert dataset["live"].sum() == 12 * 9 - 1
    assert dataset["trace_number"].sel(inline=104, crossline=303) == -1
    assert dataset["cdp_x"].sel(inline=106, crossline=302) == (1000 * 3 + 7 * 2) / 100
    assert dataset["cdp_x"].attrs["units"] == "m"
    assert np.isnan(dataset["cdp_x"].sel(inline=104, crossline=303))


def test_raw_headers_are_kept(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    made = make_segy()
    recipe = load_recipe(name="raw", paths=(str(made.path),), out=str(tmp_path / "raw.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    dataset = xr.open_zarr(recipe.out)
    content = made.path.read_bytes()
    stride = 240 + 50 * 4
    for cell in ((0, 0), (3, 4), (11, 8)):
        number = int(dataset["trace_number"][cell])
        start = 3600 + number * stride
        assert dataset["trace_header"][cell].values.tobytes() == content[start : start + 240]
    file_header = zarr.open_array(f"{recipe.out}/source/file_header_0", mode="r")[:]
    assert np.asarray(file_header).tobytes() == content[:3600]


def test_groups_are_made_before_what_they_hold(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in between would leave an array that the next call finds complete, in no group."""
    made, written = [], zarr.storage.LocalStore.set

    async def watched(self, key, value) -> None:
        made.append(key)
        await written(self, key, value)

    monkeypatch.setattr(zarr.storage.LocalStore, "set", watched)
    source = make_segy()
    recipe = load_recipe(name="order", paths=(str(source.path),), out=str(tmp_path / "order.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    documents = [Path(key).parent for key in made if key.endswith("zarr.json")]
    below = [(document, parent) for document in documents for parent in document.parents]
    assert len({document for document, _ in below}) > 20
    for document, parent in below:
        assert documents.index(parent) < documents.index(document), (document, parent)


@pytest.mark.parametrize("endian", ["big", "little"])
@pytest.mark.parametrize("sample_format", [1, 5])
def test_export_is_byte_identical_without_the_source(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, endian: str, sample_format: int
) -> None:
    made = make_segy(endian=endian, sample_format=sample_format, keep=lambda i, x: (i + x) % 7 != 0)
    content = bytearray(made.path.read_bytes())
    # Words that float32 cannot carry, or only just: unnormalised, overflowing, negative zero, NaN with a payload.
    words = [0x40000001, 0x7FFFFFFF, 0x80000000, 0x41000000, 0x7FC12345, 0xFFA00001, 0x00000001, 0xFF800000]
    content[3840 : 3840 + 4 * len(words)] = b"".join(word.to_bytes(4, endian) for word in words)
    made.path.write_bytes(content)
    recipe = load_recipe(name="back", paths=(str(made.path),), out=str(tmp_path / "back.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    made.path.unlink()
    (written,) = export("back", out=tmp_path / "again.sgy", variable=None, catalog=Catalog())
    assert written.read_bytes() == content


def test_several_files_make_one_survey(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    first = make_segy("a.sgy", first_inline=100)
    second = make_segy("b.sgy", first_inline=124, volume=2 * first.volume)
    contents = [made.path.read_bytes() for made in (first, second)]
    paths = (str(second.path), str(first.path))
    recipe = load_recipe(name="two", paths=paths, out=str(tmp_path / "two.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog())
    assert entry.sizes["inline"] == 24
    dataset = xr.open_zarr(entry.url)
    np.testing.assert_array_equal(dataset["amplitude"], np.concatenate([first.volume, second.volume]))
    first.path.unlink()
    second.path.unlink()
    written = export("two", out=tmp_path / "again", variable=None, catalog=Catalog())
    assert {path.name: path.read_bytes() for path in written} == {"a.sgy": contents[0], "b.sgy": contents[1]}


def test_labels_splits_and_manifest(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    volume = rng.normal(5.0, 2.0, (30, 25, 80)).astype(np.float32)
    volume[4, 5] = 0.0  # a dead trace: recorded, but zero
    classes = (volume > 6.0).astype(np.float32)
    made = make_segy("data.sgy", volume=volume, sample_format=5)
    label = make_segy("label.sgy", volume=classes, sample_format=5)
    recipe = load_recipe(
        name="labelled",
        paths=(str(made.path),),
        out=str(tmp_path / "labelled.zarr"),
        labels={"salt": {"paths": (str(label.path),), "classes": CLASSES}},
        splits={"train": ("inline:0%:50%",), "test": ("inline:70%:100%",)},
        chunk_nbytes=8192,
    )
    entry = convert(recipe, client=client, catalog=Catalog())
    assert entry.splits == {"train": ({"inline": (0, 15)},), "test": ({"inline": (21, 30)},)}
    salt = entry.variables["salt"]
    assert (salt.role, salt.dtype, salt.flag_meanings) == (Role.CLASS_LABEL, "uint8", ("sediment", "salt"))
    dataset = xr.open_zarr(entry.url)
    expected = classes.astype(np.uint8)
    expected[4, 5] = 255
    np.testing.assert_array_equal(dataset["salt"], expected)
    assert not dataset["live"][4, 5]
    manifest = zarr.open_group(f"{entry.url}/manifest", mode="r")
    chunks = entry.variables["amplitude"].chunk_shape
    assert max(manifest["amplitude/count"].shape) > 1
    for index in np.ndindex(manifest["amplitude/count"].shape):
        where = tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, chunks, strict=True))
        samples = volume[where][dataset["live"].values[where[:2]]].astype(np.float64)
        assert manifest["amplitude/count"][index] == samples.size
        np.testing.assert_allclose(manifest["amplitude/mean"][index], samples.mean(), rtol=1e-12)
        np.testing.assert_allclose(manifest["amplitude/m2"][index], samples.var() * samples.size, rtol=1e-9)
        assert manifest["amplitude/minimum"][index] == samples.min()
        assert manifest["amplitude/maximum"][index] == samples.max()
        counts = np.bincount(expected[where][dataset["live"].values[where[:2]]].ravel(), minlength=256)
        np.testing.assert_array_equal(manifest["salt/class_counts"][index], counts)


def test_a_label_on_another_grid_is_refused(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    made = make_segy("data.sgy")
    shifted = make_segy("label.sgy", first_inline=102, volume=np.zeros((12, 9, 50), np.float32))
    labels = {"salt": {"paths": (str(shifted.path),), "classes": CLASSES}}
    recipe = load_recipe(name="x", paths=(str(made.path),), out=str(tmp_path / "x.zarr"), labels=labels)
    with pytest.raises(InputError, match="does not lie on the survey's grid"):
        convert(recipe, client=client, catalog=Catalog())
    assert not (tmp_path / "x.zarr").exists()


def test_a_failure_with_other_tasks_at_work_can_be_discarded(make_segy, catalog_folder: Path, tmp_path: Path) -> None:
    shape = (120, 100, 300)
    made = make_segy("data.sgy", volume=np.random.default_rng(0).normal(size=shape).astype(np.float32))
    wrong = np.zeros(shape, np.float32)
    wrong[0, 0, 0] = 7
    label = make_segy("label.sgy", volume=wrong)
    labels = {"salt": {"paths": (str(label.path),), "classes": CLASSES}}
    recipe = load_recipe(name="x", paths=(str(made.path),), out=str(tmp_path / "x.zarr"), labels=labels)
    with (
        dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as cluster_client,
        pytest.raises(InputError, match="label 'salt' holds 7"),
    ):
        convert(recipe, client=cluster_client, catalog=Catalog())
    assert Catalog().names() == []
    if Catalog().unfinished("x"):  # shards that were complete by then are kept for another call
        Catalog().remove("x")
    assert not (tmp_path / "x.zarr").exists()


def test_samples_that_are_not_finite_enter_no_statistic(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    volume = np.random.default_rng(5).normal(size=(4, 5, 30)).astype(np.float32)
    volume[1, 2, 3], volume[2, 3, 4], volume[0, 0, 0] = np.inf, -np.inf, np.nan
    made = make_segy(volume=volume, sample_format=5)
    recipe = load_recipe(name="x", paths=(str(made.path),), out=str(tmp_path / "x.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    manifest = zarr.open_group(f"{recipe.out}/manifest/amplitude", mode="r")
    finite = volume[np.isfinite(volume)].astype(float)
    assert manifest["count"][0, 0, 0] == finite.size
    assert manifest["nonfinite_count"][0, 0, 0] == 3
    np.testing.assert_allclose(manifest["mean"][0, 0, 0], finite.mean(), rtol=1e-9)
    np.testing.assert_allclose(manifest["m2"][0, 0, 0], finite.var() * finite.size, rtol=1e-9)


def test_relative_paths_are_kept_absolute(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_segy()
    monkeypatch.chdir(tmp_path)
    entry = convert(load_recipe(name="x", paths=("survey.sgy",), out="x.zarr"), client=client, catalog=Catalog())
    assert entry.sources[0].url == str(made.path)
    assert entry.url == str(tmp_path / "x.zarr")


def test_a_label_value_without_a_class_is_refused_and_nothing_is_left(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    made = make_segy("data.sgy")
    label = make_segy("label.sgy", volume=np.full((12, 9, 50), 3, np.float32))
    labels = {"salt": {"paths": (str(label.path),), "classes": CLASSES}}
    recipe = load_recipe(name="x", paths=(str(made.path),), out=str(tmp_path / "x.zarr"), labels=labels)
    with pytest.raises(InputError, match=r"label 'salt' holds 3 at sample 0 of trace 0"):
        convert(recipe, client=client, catalog=Catalog())
    assert not (tmp_path / "x.zarr").exists()
    assert Catalog().names() == []


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_the_store_is_hardly_larger_than_the_source(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, codec: str
) -> None:
    volume = np.random.default_rng(1).normal(size=(61, 83, 301)).astype(np.float32)
    made = make_segy(volume=volume)
    recipe = load_recipe(name="size", paths=(str(made.path),), out=str(tmp_path / "size.zarr"), codec=codec)
    convert(recipe, client=client, catalog=Catalog())
    stored = sum(path.stat().st_size for path in (tmp_path / "size.zarr").rglob("*") if path.is_file())
    assert stored <= 1.1 * made.path.stat().st_size


def test_a_local_cluster_writes_the_same(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    made = make_segy()
    stores = []
    for name in ("threads", "processes"):
        recipe = load_recipe(name=name, paths=(str(made.path),), out=str(tmp_path / f"{name}.zarr"))
        if name == "threads":
            convert(recipe, client=client, catalog=Catalog())
        else:
            with dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as cluster_client:
                convert(recipe, client=cluster_client, catalog=Catalog())
        root = tmp_path / f"{name}.zarr"
        stores.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()})
    assert stores[0] == stores[1]


def test_a_scheduler_at_an_address(make_segy, catalog_folder: Path, tmp_path: Path) -> None:
    made = make_segy()
    recipe = load_recipe(name="remote", paths=(str(made.path),), out=str(tmp_path / "remote.zarr"))
    with (
        scheduler_and_worker(tmp_path) as address,
        dask_client(scheduler=address, workers=1, memory="auto") as remote,
    ):
        entry = convert(recipe, client=remote, catalog=Catalog())
    np.testing.assert_array_equal(xr.open_zarr(entry.url)["amplitude"], made.volume)
    assert check_store(entry) == []


def test_no_scheduler_is_a_sentence() -> None:
    with (
        pytest.raises(InputError, match="no Dask scheduler answers"),
        dask_client(scheduler="tcp://127.0.0.1:9", workers=1, memory="auto"),
    ):
        pass


def test_predictions_export_on_the_source_headers(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    made = make_segy("data.sgy")
    label = make_segy("label.sgy", volume=(made.volume > 0).astype(np.float32))
    labels = {"salt": {"paths": (str(label.path),), "classes": CLASSES}}
    recipe = load_recipe(name="x", paths=(str(made.path),), out=str(tmp_path / "x.zarr"), labels=labels)
    convert(recipe, client=client, catalog=Catalog())
    (written,) = export("x", out=tmp_path / "salt.sgy", variable="salt", catalog=Catalog())
    with segyio.open(str(written)) as file, segyio.open(str(made.path)) as source:
        np.testing.assert_array_equal(segyio.tools.cube(file), made.volume > 0)
        assert file.header[17] == source.header[17]
    with pytest.raises(InputError, match="no variable 'pepper'"):
        export("x", out=tmp_path / "y.sgy", variable="pepper", catalog=Catalog())


@contextmanager
def scheduler_and_worker(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    environment = os.environ | {"DASK_TEMPORARY_DIRECTORY": str(folder / "dask")}
    scheduler_options = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker_options = ["--nthreads", "1", "--nworkers", "2", "--no-dashboard", "--host", "127.0.0.1"]
    processes = [
        subprocess.Popen([*dask, "scheduler", *scheduler_options], env=environment, stderr=subprocess.DEVNULL),
        subprocess.Popen([*dask, "worker", address, *worker_options], env=environment, stderr=subprocess.DEVNULL),
    ]
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)


def test_a_damaged_store_is_not_exported(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(name="hurt", paths=(str(make_segy().path),), out=str(tmp_path / "hurt.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    (shard, *_) = (path for path in (tmp_path / "hurt.zarr/amplitude/c").rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    with pytest.raises(WorkError, match=r"chunk \(0, 0, 0\) of amplitude/c/0/0/0 is not what was written; nothing is"):
        export("hurt", out=tmp_path / "back.sgy", catalog=Catalog())
    shard.unlink()
    with pytest.raises(WorkError, match=r"is not what was written"):
        export("hurt", out=tmp_path / "back.sgy", catalog=Catalog())
    assert not list(tmp_path.glob("*back*"))


def test_a_conversion_that_makes_nothing_leaves_no_folders(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    bogus = {"train": ("offset:1:2",)}
    out = str(tmp_path / "some/where/x.zarr")
    recipe = load_recipe(name="none", paths=(str(make_segy().path),), out=out, splits=bogus)
    with pytest.raises(InputError, match="is not DIM:FIRST:LAST"):
        convert(recipe, client=client, catalog=Catalog())
    assert not (tmp_path / "some").exists()
