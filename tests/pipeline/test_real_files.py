"""Real files: samples equal segyio's bit for bit, and exports equal the files byte for byte."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import segyio
import xarray as xr
from distributed import Client

from data_catalog import Catalog, InputError
from pipeline.convert import convert
from pipeline.export import export
from pipeline.recipe import HeaderBytes, load_recipe
from pipeline.segy.fields import IBM
from pipeline.survey.files import Survey, open_survey

SEGYIO_MISREADS = {"stanzas-unknown-count.sgy": "stanzas-known-count.sgy"}
"""segyio 1.9.14 takes a count of -1 extended text headers for minus 3200 bytes; the twin states its count."""


def oracle(path: Path) -> np.ndarray | None:
    """segyio's reading of a file of IBM or IEEE floats; None where segyio does not open it."""
    path = path.with_name(SEGYIO_MISREADS.get(path.name, path.name))
    format_word = path.read_bytes()[3224:3226]
    for endian in ("big", "little"):
        if int.from_bytes(format_word, endian) not in (1, 5):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with segyio.open(str(path), ignore_geometry=True, endian=endian, strict=False) as file:
                    return file.trace.raw[:] if file.tracecount else None
        except (RuntimeError, OSError, IndexError, ValueError):
            continue
    return None


def sample_words(survey: Survey) -> np.ndarray:
    """uint32 (trace, sample): all sample words of a file of 4-byte samples, in native byte order."""
    file = survey.files[0]
    traces = np.empty((survey.trace_count, survey.trace_nbytes), np.uint8)
    survey.read(np.arange(survey.trace_count), traces)
    words = np.ascontiguousarray(traces[:, file.trace_header_nbytes :])
    return words.view(">u4" if file.byte_order == "big" else "<u4").astype(np.uint32)


def unnormalised(ibm_words: np.ndarray) -> np.ndarray:
    """Words whose fraction begins with a zero digit: legal, but segyio reads them wrongly."""
    return np.asarray((ibm_words >> 20 & 0xF == 0) & (ibm_words & 0xFFFFFF != 0))


def test_samples_and_export(real_segy: Path, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    expected = oracle(real_segy)
    try:
        survey = open_survey((str(real_segy),), HeaderBytes())
    except InputError:
        assert expected is None, "segyio opens it"
        return
    recipe = load_recipe(name="real", paths=(str(real_segy),), out=str(tmp_path / "real.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog())
    with xr.open_zarr(entry.url) as dataset:
        numbers = dataset["trace_number"].values.ravel()
        samples = dataset["amplitude"].values.reshape(numbers.size, -1)[numbers >= 0]
        in_file_order = samples[np.argsort(numbers[numbers >= 0])]
    assert in_file_order.shape == (survey.trace_count, survey.files[0].sample_count)
    if expected is not None and survey.files[0].format_code == IBM:
        words = sample_words(survey)
        odd = unnormalised(words)
        assert not odd.any() or real_segy.parent.name == "oneseismic"
        fraction, power = words & 0xFFFFFF, ((words >> 24) & 0x7F).astype(float) - 64
        by_definition = (np.where(words >> 31, -1.0, 1.0) * fraction * 2.0**-24 * 16.0**power).astype(np.float32)
        expected = np.where(odd, by_definition, expected)
    if expected is not None:
        np.testing.assert_array_equal(in_file_order.view(np.uint32), expected.view(np.uint32))
    (written,) = export("real", out=tmp_path / "again.sgy", variable=None, catalog=Catalog())
    assert written.read_bytes() == real_segy.read_bytes()


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


def test_the_oracle_reads_every_folder(real_data: Path) -> None:
    folder = real_data / "segy"
    found = {
        name: sum(oracle(path) is not None for path in (folder / name).glob("**/*.sgy"))
        for name in ("segyio-test-data", "seismic-zfp")
    }
    assert found == {"segyio-test-data": 48, "seismic-zfp": 19}


def test_one_file_for_each_inline_makes_a_grid(
    real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    paths = sorted((real_data / "segy/segysak").glob("f3-iline-*.sgy"))
    recipe = load_recipe(name="f3", paths=tuple(map(str, paths)), out=str(tmp_path / "f3.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog())
    assert (entry.sizes["inline"], entry.sizes["crossline"]) == (19, 18)
    written = export("f3", out=tmp_path / "again", variable=None, catalog=Catalog())
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in paths]


@pytest.mark.parametrize("name", ["small-iline-5-xline-21.sgy", "small-iline-5-xline-21-lsb.sgy"])
def test_header_words_elsewhere(
    name: str, real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    path = real_data / "segy/oneseismic" / name
    header_bytes = {"inline": 5, "crossline": 21}
    recipe = load_recipe(name="x", paths=(str(path),), out=str(tmp_path / "x.zarr"), header_bytes=header_bytes)
    entry = convert(recipe, client=client, catalog=Catalog())
    with xr.open_zarr(entry.url) as dataset:
        assert dataset["inline"].values.tolist() == [1, 2, 3, 4, 5]
        assert dataset["crossline"].values.tolist() == [20, 21, 22, 23, 24]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("31_81_PR.sgy", "stack2d"),
        ("F3_very_small.sgy", "stack3d"),
        ("f3_sparse.sgy", "stack3d"),
        ("viking_small.segy", "flat"),
        ("shotgather.sgy", "flat"),
        ("segysak/volve10r12-full-twt-arb.sgy", "stack2d"),
        ("segysak/volve10-migvel-depth-sub3d.sgy", "stack3d"),
        ("segysak/f3-withdead.sgy", "stack3d"),
        ("segyio-test-data/small-ps.sgy", "flat"),
        ("seismic-zfp/small-dec.sgy", "stack3d"),
        ("seismic-zfp/small_hole.sgy", "stack3d"),
    ],
)
def test_kinds(name: str, kind: str, real_data: Path, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(name="kind", paths=(str(real_data / "segy" / name),), out=str(tmp_path / "kind.zarr"))
    assert convert(recipe, client=client, catalog=Catalog()).kind == kind
