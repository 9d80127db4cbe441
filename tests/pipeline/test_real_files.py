"""Real files: samples equal segyio's bit for bit, and exports equal the files byte for byte."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segyio
import xarray as xr
import yaml
from distributed import Client

from data_catalog import Catalog, InputError
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.recipe import HeaderBytes, load_recipe
from pipeline.survey.files import open_survey

TRUTH = Path(__file__).with_name("known_kinds.yaml")
KNOWN: dict[str, dict[str, Any]] = yaml.safe_load(TRUTH.read_text())

SEGYIO_MISREADS = {"stanzas-unknown-count.sgy": "stanzas-known-count.sgy"}
"""segyio 1.9.14 takes a count of -1 extended text headers for minus 3200 bytes; the twin states its count."""

LAYOUTS = {
    "1.su_first_trace": ("<", 0, 240, 8000, 5),
    "broken.sgy": (">", 10000, 240, 4, 1),
    "decrement-lsb.sgy": ("<", 3600, 240, 4, 1),
    "increment-lsb.sgy": ("<", 3600, 240, 4, 1),
    "mapping-empty.sgy": (">", 6800, 240, 4, 1),
    "mapping-all-types.sgy": (">", 6800, 480, 4, 1),
    "mapping-all-types-lsb.sgy": ("<", 6800, 480, 4, 1),
    "mapping-encoding-ext1.sgy": (">", 6800, 480, 4, 1),
    "mapping-encoding-private.sgy": (">", 6800, 720, 4, 1),
    "mapping-mixed-order.sgy": (">", 6800, 960, 4, 1),
    "mapping-no-extension1.sgy": (">", 6800, 480, 4, 1),
    "rotated-small-rev2.sgy": (">", 3600, 480, 50, 1),
    "small-iline-5-xline-21.sgy": (">", 3600, 240, 50, 5),
    "small-iline-5-xline-21-lsb.sgy": ("<", 3600, 240, 50, 5),
    "trace-header-extension1.sgy": (">", 3600, 480, 4, 1),
    "trace-header-extensions.sgy": (">", 6800, 720, 4, 1),
    "small.su": (">", 0, 240, 50, 5),
    "small-lsb.su": ("<", 0, 240, 50, 5),
    "gom_cdp_nmo.su": (">", 0, 240, 1751, 5),
}
"""Of files that segyio does not open, or reads falsely: byte order, bytes before the traces and of a trace header,
samples and their format, found by hand."""


def read_by_layout(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Headers, uint8 (trace, byte), and samples, float32 (trace, sample), by NumPy alone."""
    order, begin, header, count, code = LAYOUTS.get(path.name, (">", 0, 240, 2000, 5))
    content = np.frombuffer(path.read_bytes(), np.uint8)[begin:]
    traces = content[: content.size // (header + 4 * count) * (header + 4 * count)].reshape(-1, header + 4 * count)
    words = np.ascontiguousarray(traces[:, header:]).view(f"{order}u4").astype(np.uint32)
    return traces[:, :header], words.view(np.float32) if code == 5 else ibm_by_definition(words)


def ibm_by_definition(words: np.ndarray) -> np.ndarray:
    """float32 of IBM words."""
    fraction, power = words & 0xFFFFFF, ((words >> 24) & 0x7F).astype(float) - 64
    return (np.where(words >> 31, -1.0, 1.0) * fraction * 2.0**-24 * 16.0**power).astype(np.float32)


def read_by_segyio(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """segyio's headers, all words that it knows (trace, word), and its samples; None where it does not open a file."""
    path = path.with_name(SEGYIO_MISREADS.get(path.name, path.name))
    for endian in ("big", "little"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with segyio.open(str(path), ignore_geometry=True, endian=endian, strict=False) as file:
                    if file.tracecount and int(file.format) in {1, 2, 3, 5}:
                        words = [file.attributes(first)[:] for first in SEGYIO_WORDS]
                        return np.stack(words, axis=1), file.trace.raw[:].astype(np.float32)
        except (RuntimeError, OSError, IndexError, ValueError):
            continue
    return None


SEGYIO_WORDS = {1: "i4", 9: "i4", 13: "i4", 21: "i4", 37: "i4", 71: "i2", 181: "i4", 189: "i4", 193: "i4"}


def words_in(headers: np.ndarray, order: str) -> np.ndarray:
    """The words that are compared with segyio's."""
    found = [
        np.ascontiguousarray(headers[:, first - 1 : first - 1 + int(dtype[1])]).view(f"{order}{dtype}")[:, 0]
        for first, dtype in SEGYIO_WORDS.items()
    ]
    return np.stack(found, axis=1)


@pytest.mark.parametrize("name", KNOWN)
def test_every_real_file(name: str, real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    """Kind and axes as a geophysicist reads them, headers and samples as others do, and the way back without it."""
    original = real_data / name
    source = tmp_path / "source" / original.name
    source.parent.mkdir()
    shutil.copy(original, source)
    recipe = load_recipe(name="real", paths=(str(source),), out=str(tmp_path / "real.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog())
    shutil.rmtree(source.parent)
    expected = KNOWN[name]
    main = entry.variables["amplitude"]
    assert (entry.kind, main.dims[:-1]) == (expected["kind"], tuple(expected["axes"]))
    with xr.open_zarr(entry.url) as dataset:
        for dim, (first, last, size) in expected["axes"].items():
            labels = dataset[dim].values
            assert (labels[0], labels[-1], labels.size) == (first, last, size)
        numbers = dataset["trace_number"].values.ravel()
        in_file_order = np.argsort(numbers[numbers >= 0])
        samples = dataset["amplitude"].values.reshape(numbers.size, -1)[numbers >= 0][in_file_order]
        headers = dataset["trace_header"].values.reshape(numbers.size, -1)[numbers >= 0][in_file_order]
    compare_with_others(original, entry.sources[0].byte_order, headers, samples)
    (written,) = export("real", out=tmp_path / "again.sgy", variable=None, catalog=Catalog())
    assert written.read_bytes() == original.read_bytes()


def compare_with_others(path: Path, byte_order: str, headers: np.ndarray, samples: np.ndarray) -> None:
    if path.parent.name == "multiformats":
        return  # whose samples have a test of their own
    read = None if path.name in LAYOUTS or path.suffix == ".su" else read_by_segyio(path)
    if read is None:
        expected_headers, expected = read_by_layout(path)
        np.testing.assert_array_equal(headers, expected_headers)
    else:
        words, expected = read
        np.testing.assert_array_equal(words_in(headers, ">" if byte_order == "big" else "<"), words)
    np.testing.assert_array_equal(samples.view(np.uint32), expected.view(np.uint32))


def test_what_holds_no_trace_is_refused(real_data: Path) -> None:
    with pytest.raises(InputError, match=r"text.sgy has 3600 bytes; a SEG-Y file has 3600 bytes of file header and at"):
        open_survey((str(real_data / "segy/segyio-test-data/text.sgy"),), HeaderBytes())


def test_all_real_files_are_known(real_data: Path) -> None:
    others = {"text.sgy", "README.md", "readme.txt", "small-8bit.zgy", "small-16bit.zgy"}
    found = {
        str(path.relative_to(real_data))
        for folder in ("segy", "prestack_su")
        for path in (real_data / folder).rglob("*")
        if path.is_file() and path.name not in others and "_mute_par_" not in path.name
    }
    assert found == KNOWN.keys()


NUMPY_TYPES = {2: "i4", 3: "i2", 6: "f8", 8: "i1", 9: "i8", 10: "u4", 11: "u2", 12: "u8", 16: "u1", 4: "f4", 5: "f4"}
"""What NumPy calls the formats; the file of format 4 holds IEEE floats, whatever it says."""


def read_plainly(path: Path) -> np.ndarray:
    """(trace, sample) of a file without anything special, by NumPy alone; IBM and 3-byte formats are left out."""
    content = path.read_bytes()
    order = "<" if "lsb" in path.name else ">"
    count, code = np.frombuffer(content[3220:3226], f"{order}u2")[[0, 2]].tolist()
    dtype = np.dtype(f"{order}{NUMPY_TYPES[code]}")
    trace = np.dtype([("header", "V240"), ("samples", dtype, (count,))])
    return np.frombuffer(content[3600:], trace)["samples"]


@pytest.mark.parametrize("order", ["msb", "lsb"])
@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16])
def test_every_format_holds_the_same_section(
    code: int, order: str, real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    """A section of whole numbers from -10239 to 10827, modulo what the format can hold; it leads back to its file."""
    folder = real_data / "segy/segyio-test-data/multiformats"
    path = folder / f"Format{code}{order}.sgy"
    recipe = load_recipe(name="section", paths=(str(path),), out=str(tmp_path / "section.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog())
    with xr.open_zarr(entry.url) as dataset:
        numbers = dataset["trace_number"].values.ravel()
        samples = dataset["amplitude"].values.reshape(numbers.size, -1)[np.argsort(numbers)][(numbers < 0).sum() :]
    section = read_plainly(folder / "Format5msb.sgy").astype(np.int64)
    if code in NUMPY_TYPES:
        np.testing.assert_array_equal(samples, read_plainly(path).astype(np.float32))
    kind = {7: "i3", 15: "u3"}.get(code, NUMPY_TYPES.get(code, "f4"))
    expected = section.view(np.uint64) if kind == "u8" else section
    if kind[0] != "f" and kind[1] != "8":
        most = 256 ** int(kind[1])
        expected = section % most if kind[0] == "u" else (section + most // 2) % most - most // 2
    np.testing.assert_array_equal(samples, expected.astype(np.float32))
    (source,) = entry.sources
    assert source.sample_format == (5 if code == 4 else code)
    assert any("read as 4-byte IEEE floats" in warning for warning in entry.warnings) == (code == 4)
    (written,) = export("section", out=tmp_path / "again.sgy", variable=None, catalog=Catalog())
    assert written.read_bytes() == path.read_bytes()


def test_one_file_for_each_inline_makes_a_grid(
    real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    paths = sorted((real_data / "segy/segysak").glob("f3-iline-*.sgy"))
    recipe = load_recipe(name="f3", paths=tuple(map(str, paths)), out=str(tmp_path / "f3.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog())
    assert (entry.sizes["inline"], entry.sizes["crossline"]) == (19, 18)
    written = export("f3", out=tmp_path / "again", variable=None, catalog=Catalog())
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in paths]
