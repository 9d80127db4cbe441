"""Exports: into object stores, of a box, and of what never was SEG-Y."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import segyio
import zarr
from distributed import Client

from data_catalog import Catalog, Entry, InputError, layout
from pipeline.convert import convert
from pipeline.export import export as export_module
from pipeline.export.export import export
from pipeline.recipe import load_recipe
from pipeline.segy.file import open_segy


@pytest.fixture
def converted(make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> tuple[Any, Entry]:
    """A volume with holes, in many shards, and what was put into it."""
    made = make_segy(keep=lambda inline, crossline: (inline + crossline) % 7 != 0)
    recipe = load_recipe(
        name="made", paths=(str(made.path),), out=str(tmp_path / "made.zarr"), chunk_nbytes=1024, shard_nbytes=2048
    )
    return made, convert(recipe, client=client, catalog=Catalog())


def test_a_part_is_a_file_of_its_own(converted: tuple[Any, Entry], tmp_path: Path) -> None:
    made, _ = converted
    box = "inline:104:112,crossline:303:306,time:40:100"
    (written,) = export("made", out=tmp_path / "part.sgy", catalog=Catalog(), box=box)
    file = open_segy(str(written), written.stat().st_size)
    assert (file.sample_count, file.oddities) == (16, ())
    inlines = [i for i, label in enumerate(made.inlines) if 104 <= label <= 112]
    crosslines = [x for x, label in enumerate(made.crosslines) if 303 <= label <= 306]
    cells = [(i, x) for i in inlines for x in crosslines if (made.inlines[i] + made.crosslines[x]) % 7]
    with segyio.open(str(written), ignore_geometry=True) as opened:
        assert opened.samples.tolist() == list(range(40, 104, 4))
        found = opened.trace.raw[:]
        assert opened.attributes(189)[:].tolist() == [made.inlines[i] for i, _ in cells]
        assert set(opened.attributes(115)[:].tolist()) == {16}
    np.testing.assert_array_equal(found, [made.volume[i, x, 5:21] for i, x in cells])


def test_each_trace_of_a_part_has_its_own_delay(
    write_headers: Any, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    samples = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32)
    path = write_headers(samples=samples, cdp=np.arange(6), delay_ms=[0, 100, 0, 100, 0, 100])
    recipe = load_recipe(name="x", paths=(str(path),), out=str(tmp_path / "x.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    (written,) = export("x", out=tmp_path / "part.sgy", catalog=Catalog(), box="time:40:100")
    with segyio.open(str(written), ignore_geometry=True) as opened:
        assert opened.attributes(109)[:].tolist() == [40, 140] * 3
        np.testing.assert_array_equal(opened.trace.raw[:], samples[:, 10:26])


def test_a_part_states_how_many_traces_it_has(client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    """Also where there are more samples than two bytes hold, as revision 2 says it."""
    header = bytearray(3600)
    for first, dtype, value in (
        (3225, "u2", 5),
        (3269, "i4", 70_000),
        (3501, "u1", 2),
        (3513, "u8", 4),
        (3217, "u2", 1000),
    ):
        word = np.array([value], f">{dtype}").tobytes()
        header[first - 1 : first - 1 + len(word)] = word
    traces = np.zeros((4, 240 + 280_000), np.uint8)
    traces[:, 23] = np.arange(1, 5)
    traces[:, 240:] = np.arange(280_000, dtype=np.float32).reshape(4, 70_000).astype(">f4").view(np.uint8)
    path = tmp_path / "long.sgy"
    path.write_bytes(bytes(header) + traces.tobytes())
    convert(load_recipe(name="x", paths=(str(path),), out=str(tmp_path / "x.zarr")), client=client, catalog=Catalog())
    (written,) = export("x", out=tmp_path / "part.sgy", catalog=Catalog(), box="trace:1:2,time:10:69999")
    content = written.read_bytes()
    file = open_segy(str(written), len(content))
    assert (file.trace_count, file.sample_count, file.oddities) == (2, 69_990, ())
    assert int.from_bytes(content[3512:3520], "big") == 2


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        ("inline:1:2", "inline goes from 100 to 122"),
        ("depth:1:2", "depth is no dimension, or named twice; there are inline, crossline, time"),
        ("inline:1", "is not DIM:FIRST:LAST"),
        ("inline:100:104,inline:100:104", "inline is no dimension, or named twice"),
    ],
)
def test_a_box_that_cannot_be(box: str, sentence: str, converted: tuple[Any, Entry], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        export("made", out=tmp_path / "part.sgy", catalog=Catalog(), box=box)
    assert not (tmp_path / "part.sgy").exists()


@pytest.mark.parametrize("part_nbytes", [1000, 2**26])
def test_a_file_is_written_from_its_first_byte_to_its_last(
    converted: tuple[Any, Entry], monkeypatch: pytest.MonkeyPatch, part_nbytes: int
) -> None:
    made, _ = converted
    place = f"memory://exports-of-{part_nbytes}/again.sgy"
    monkeypatch.setattr(export_module, "PART_NBYTES", part_nbytes)
    monkeypatch.setattr(export_module, "KEPT_NBYTES", 4000)
    assert export("made", out=place, catalog=Catalog()) == [place]
    assert fsspec.filesystem("memory").cat_file(place) == made.path.read_bytes()
    with pytest.raises(InputError, match=r"again.sgy exists"):
        export("made", out=place, catalog=Catalog())


EXPORT = """
import sys
from data_catalog import Catalog
from pipeline.export.export import export
print(export("made", out=sys.argv[1], catalog=Catalog(), overwrite=True))
"""


def test_an_export_into_an_object_store(converted: tuple[Any, Entry], bucket_url: str) -> None:
    made, _ = converted
    subprocess.run([sys.executable, "-c", EXPORT, f"{bucket_url}/again.sgy"], check=True)
    filesystem, folder = fsspec.url_to_fs(bucket_url)
    assert filesystem.cat_file(f"{folder}/again.sgy") == made.path.read_bytes()


def test_a_damaged_store_leaves_no_file_in_an_object_store(converted: tuple[Any, Entry]) -> None:
    _, entry = converted
    shard = next(path for path in sorted((Path(entry.url) / "amplitude/c").rglob("*")) if path.is_file())
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "export", "made", "--out", "memory://exports/broken.sgy"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "nothing is exported" in done.stderr


def test_what_never_was_segy_gets_headers(catalog_folder: Path, tmp_path: Path) -> None:
    """Shot gathers made by arithmetic: example, channel and time."""
    values = np.random.default_rng(0).normal(size=(3, 100, 5)).astype(np.float32)
    url = str(tmp_path / "made.zarr")
    group = zarr.create_group(url)
    axes = {"example": np.arange(3), "time": np.arange(100) * 2.5, "channel": np.arange(1, 6)}
    variables = {}
    for name, array, dims, role in (
        ("gather", values, ("example", "time", "channel"), "input"),
        *((name, labels, (name,), "coordinate") for name, labels in axes.items()),
    ):
        stored = group.create_array(name, data=array, dimension_names=dims, attributes={"role": role})
        variables[name] = {
            "role": role,
            "dims": dims,
            "shape": array.shape,
            "dtype": str(array.dtype),
            "chunk_shape": stored.chunks,
            "shard_shape": stored.chunks,
        }
    for name, dtype in layout.STATISTICS.items():
        group.create_array(f"manifest/gather/{name}", shape=(1, 1, 1), dtype=dtype)
    entry = Entry.model_validate(
        {
            "name": "synthetic",
            "kind": "examples",
            "url": url,
            "created": "2026-01-01T00:00:00Z",
            "main_variable": "gather",
            "sizes": {"example": 3, "time": 100, "channel": 5},
            "variables": variables,
        }
    )
    Catalog().publish(entry)
    (written,) = export("synthetic", out=tmp_path / "fresh.sgy", catalog=Catalog())
    file = open_segy(str(written), Path(written).stat().st_size)
    assert (file.revision, file.trace_count, file.sample_count, file.sample_interval_us) == ((2, 0), 15, 100, 2500)
    with segyio.open(str(written), ignore_geometry=True) as opened:
        np.testing.assert_array_equal(opened.trace.raw[:].reshape(3, 5, 100), values.transpose(0, 2, 1))
        assert opened.attributes(13)[:].tolist() == [1, 2, 3, 4, 5] * 3
        assert opened.attributes(9)[:].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    (part,) = export("synthetic", out=tmp_path / "part.sgy", catalog=Catalog(), box="example:1:1,channel:2:3")
    with segyio.open(str(part), ignore_geometry=True) as opened:
        np.testing.assert_array_equal(opened.trace.raw[:], values[1, :, 1:3].T)
