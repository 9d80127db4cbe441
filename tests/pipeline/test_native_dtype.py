"""Samples that keep the type that they have in their file."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import Catalog, InputError
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.recipe import load_recipe
from pipeline.segy.fields import SAMPLE_FORMATS
from pipeline.segy.samples import as_native, native_dtype, word_dtype, words_of_native
from pipeline.verification.verify import verify

DTYPES = {1: "f4", 2: "i4", 3: "i2", 5: "f4", 6: "f8", 7: "i4", 8: "i1", 9: "i8", 10: "u4", 11: "u2", 12: "u8"} | {
    15: "u4",
    16: "u1",
}


@settings(deadline=None)
@given(st.sampled_from(sorted(DTYPES)), st.data())
def test_words_come_back(code: int, data: st.DataObject) -> None:
    bits = 8 * SAMPLE_FORMATS[code].nbytes
    words = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=20)), word_dtype(code))
    samples = as_native(words, code)
    assert samples.dtype == native_dtype(code) == np.dtype(DTYPES[code])
    if code != 1:
        np.testing.assert_array_equal(words_of_native(samples, code), words)
    if samples.dtype.kind in "iu":
        expected = [
            word - 2**bits if samples.dtype.kind == "i" and word >> bits - 1 else word for word in words.tolist()
        ]
        assert samples.tolist() == expected


@pytest.mark.parametrize("order", ["msb", "lsb"])
@pytest.mark.parametrize("code", sorted(DTYPES))
def test_a_section_in_its_own_type(
    code: int, order: str, real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    path = real_data / f"segy/segyio-test-data/multiformats/Format{code}{order}.sgy"
    recipe = load_recipe(name="own", paths=(str(path),), out=str(tmp_path / "own.zarr"), native_dtype=True)
    entry = convert(recipe, client=client, catalog=Catalog())
    assert entry.variables["amplitude"].dtype == np.dtype(DTYPES[code]).name
    assert verify("own", catalog=Catalog(), client=client).finding_count == 0
    with xr.open_zarr(entry.url) as dataset:
        numbers = dataset["trace_number"].values.ravel()
        found = dataset["amplitude"].values.reshape(numbers.size, -1)[np.argsort(numbers)]
    section = np.frombuffer((path.parent / "Format9msb.sgy").read_bytes()[3600:], "V240,(75,)>i8")["f1"]
    bits = 8 * SAMPLE_FORMATS[code].nbytes
    numbers = [[int(value) for value in trace] for trace in section]
    if found.dtype.kind != "f":
        numbers = [[value % 2**bits for value in trace] for trace in numbers]
    if found.dtype.kind == "i":
        numbers = [[value - 2**bits * (value >> bits - 1) for value in trace] for trace in numbers]
    expected = np.array(numbers, found.dtype)
    np.testing.assert_array_equal(found, expected)
    (written,) = export("own", out=tmp_path / "again.sgy", catalog=Catalog())
    assert written.read_bytes() == path.read_bytes()


def test_traces_without_numbers_may_be_dropped(
    write_headers, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    samples = np.random.default_rng(0).normal(size=(20, 9)).astype(np.float32)
    words = {"inline": np.arange(20) // 5, "crossline": np.arange(20) % 5}
    path = write_headers(samples=samples, **words)
    content = bytearray(path.read_bytes()[:3600])
    content[3224:3226] = (6).to_bytes(2, "big")
    traces = np.frombuffer(path.read_bytes()[3600:], np.uint8).reshape(20, -1)
    doubles = samples.astype(">f8")
    doubles[3, 4] = np.nan
    path.write_bytes(bytes(content) + np.concatenate([traces[:, :240], doubles.view(np.uint8)], axis=1).tobytes())
    options = {"native_dtype": True, "bad_traces": "drop"}
    recipe = load_recipe(name="own", paths=(str(path),), out=str(tmp_path / "own.zarr"), **options)
    entry = convert(recipe, client=client, catalog=Catalog())
    assert (entry.variables["amplitude"].dtype, entry.fates) == ("float64", {"kept": 19, "dropped": 1})
    assert verify("own", catalog=Catalog(), client=client).finding_count == 0
    (written,) = export("own", out=tmp_path / "again.sgy", catalog=Catalog())
    assert written.read_bytes() == path.read_bytes()


def test_own_types_are_not_rounded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be rounded"):
        load_recipe(name="x", paths=("x.sgy",), out="x.zarr", native_dtype=True, significant_bits=11)
