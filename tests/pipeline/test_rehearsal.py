"""Computed surveys: any range of bytes, what segyio reads in them, huge ones, and a conversion of one."""

import os
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import pytest
import segyio
import xarray as xr
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import Catalog, InputError
from pipeline.convert import convert
from pipeline.recipe import HeaderBytes, load_recipe
from pipeline.survey.files import open_survey
from pipeline.synthetic.rehearsal import MARK_SPACING, RehearsalSurvey, expected_samples
from pipeline.synthetic.rehearsal_files import RehearsalFileSystem
from pipeline.synthetic.shuffle import shuffled
from pipeline.work.cluster import PROCESSES, dask_client

SMALL = "inlines=5,crosslines=4,samples=140"
TRACE_NBYTES = 240 + 4 * 140
NBYTES = 3600 + 20 * TRACE_NBYTES
PETABYTE = "inlines=250000,crosslines=250000,samples=4000"
ORDERS = ["inline", "crossline", "random"]


def url_of(values: str) -> str:
    return f"rehearsal://{values}/survey.sgy"


def whole(values: str) -> bytes:
    with fsspec.open(url_of(values), "rb") as file:
        return file.read()


def on_disk(values: str, folder: Path) -> str:
    path = folder / "survey.sgy"
    path.write_bytes(whole(values))
    return str(path)


@settings(deadline=None)
@given(start=st.integers(0, NBYTES + 10), size=st.integers(0, NBYTES), order=st.sampled_from(ORDERS))
def test_any_range_is_that_of_the_whole(start: int, size: int, order: str) -> None:
    url = url_of(f"{SMALL},order={order}")
    expected = whole(f"{SMALL},order={order}")[start : start + size]
    filesystem, path = fsspec.url_to_fs(url)
    assert filesystem.cat_file(path, start, start + size) == expected
    buffer = bytearray(size)
    with fsspec.open(url, "rb") as file:
        assert file.seek(start) == start
        assert file.readinto(buffer) == len(expected)
        assert file.tell() == start + len(expected)
    assert buffer == expected.ljust(size, b"\0")


def test_reading_on_goes_through_the_file() -> None:
    content = whole(SMALL)
    assert len(content) == NBYTES
    with fsspec.open(url_of(SMALL), "rb") as file:
        assert b"".join(iter(lambda: file.read(777), b"")) == content
        assert file.seek(-10, os.SEEK_END) == NBYTES - 10
        assert file.read() == content[-10:]
        with pytest.raises(ValueError, match="before the beginning"):
            file.seek(-1)


@pytest.mark.parametrize("code", [1, 5])
@pytest.mark.parametrize("order", ORDERS)
def test_segyio_finds_each_trace_in_its_cell(tmp_path: Path, order: str, code: int) -> None:
    values = f"inlines=5,crosslines=4,samples=140,interval_us=2000,order={order},format={code},first_inline=11"
    path = on_disk(values, tmp_path)
    with segyio.open(path, ignore_geometry=True) as file:
        inlines, crosslines = file.attributes(189)[:], file.attributes(193)[:]
        i, j = inlines - 11, crosslines - 1
        assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == [(a, b) for a in range(5) for b in range(4)]
        np.testing.assert_array_equal(file.trace.raw[:], expected_samples(i, j, samples=140))
        np.testing.assert_array_equal(file.attributes(181)[:] / 100, 500_000 + 25 * i)
        np.testing.assert_array_equal(file.attributes(185)[:] / 100, 5_000_000 + 25 * j)
        np.testing.assert_array_equal(file.attributes(21)[:], 4 * i + j + 1)
        np.testing.assert_array_equal(file.attributes(5)[:], np.arange(1, 21))
        assert (file.attributes(71)[:] == -100).all()
        assert (file.attributes(115)[:] == 140).all()
        assert (file.bin[3217], file.bin[3221], file.bin[3225]) == (2000, 140, code)
        assert b"NOT FIELD DATA" in file.text[0]
        assert all(file.text[0][80 * line : 80 * line + 3] == f"C{line + 1:2d}".encode() for line in range(40))
    if order != "random":
        with segyio.open(path) as file:
            assert file.sorting == getattr(segyio.TraceSortingFormat, f"{order.upper()}_SORTING")


def test_the_samples_are_those_that_the_rule_names() -> None:
    trace = expected_samples(6, 8, samples=300)
    assert (trace[0], trace[1], trace[128], trace[129], trace[256]) == (7, 9, 7, 9, 7)
    assert trace[30] == trace[91] == 1000  # the wavelet's peak, and the next one 61 samples on
    unmarked = np.ones(300, bool)
    unmarked[0::MARK_SPACING] = unmarked[1::MARK_SPACING] = False
    other = expected_samples([[6], [7]], [0, 8], samples=300)
    assert other.shape == (2, 2, 300)
    np.testing.assert_array_equal(other[..., unmarked], np.broadcast_to(trace[unmarked], (2, 2, unmarked.sum())))
    np.testing.assert_array_equal(other[0, 1], trace)


@settings(deadline=None)
@given(count=st.integers(1, 700), seed=st.integers(0, 2**64 - 1))
def test_the_random_order_is_a_permutation(count: int, seed: int) -> None:
    places = shuffled(np.arange(count), count=count, seed=seed)
    np.testing.assert_array_equal(np.sort(places), np.arange(count))


def test_the_random_order_is_the_same_in_parts_and_has_no_trend() -> None:
    numbers = np.arange(100_000)
    places = shuffled(numbers, count=numbers.size, seed=3)
    np.testing.assert_array_equal(shuffled(numbers[77_000:77_100], count=numbers.size, seed=3), places[77_000:77_100])
    assert (places != shuffled(numbers, count=numbers.size, seed=4)).mean() > 0.99
    # For independent ranks the coefficient's standard deviation is 1 / sqrt(100 000) = 0.003.
    for other in (numbers, np.roll(places, 1), np.roll(places, 316), np.roll(places, 317)):
        assert abs(np.corrcoef(places, other)[0, 1]) < 0.02
    assert (np.abs(np.diff(places)) < 1000).mean() < 0.05


def test_swapped_traces_are_in_each_others_place() -> None:
    plain, swapped = (whole(f"{SMALL}{extra}") for extra in ("", ",swap=6"))

    def trace(content: bytes, number: int) -> bytes:
        start = 3600 + number * TRACE_NBYTES
        return content[start + 8 : start + TRACE_NBYTES]  # without its sequence numbers

    for number in range(20):
        assert trace(swapped, number) == trace(plain, {6: 7, 7: 6}.get(number, number))
    assert trace(swapped, 6) != trace(plain, 6)


@pytest.mark.parametrize("order", ORDERS)
def test_a_petabyte_takes_no_memory(order: str) -> None:
    values = f"{PETABYTE},order={order}"
    (file,) = open_survey((url_of(values),), HeaderBytes()).files
    assert file.nbytes == 3600 + 250_000**2 * 16_240 > 10**15
    assert (file.trace_count, file.sample_count, file.oddities) == (250_000**2, 4000, ())
    last = file.trace_count - 1
    filesystem, path = fsspec.url_to_fs(file.url)
    tracemalloc.start()
    try:
        content = filesystem.cat_file(path, file.nbytes - 3 * file.trace_nbytes)
        peak_nbytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_nbytes < 2**20
    survey = RehearsalSurvey(inlines=250_000, crosslines=250_000, samples=4000, order=order)
    i, j = survey.cells(np.arange(last - 2, last + 1))
    for place in range(3):
        words = np.frombuffer(content, ">i4", offset=place * file.trace_nbytes, count=60)
        assert (words[47], words[48]) == (i[place] + 1, j[place] + 1)
        assert (words[45], words[46]) == (50_000_000 + 2_500 * i[place], 500_000_000 + 2_500 * j[place])
        assert words[1] == (last - 2 + place + 1) % 2**31
        assert words[5] == (250_000 * int(i[place]) + int(j[place]) + 1) % 2**31
    if order != "random":
        assert (i[2], j[2]) == (249_999, 249_999)


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("inlines=5,crosslines=4/survey.sgy", "survey.samples: Field required"),
        ("inlines=0,crosslines=4,samples=9/survey.sgy", "survey.inlines: .* greater than or equal to 1, found '0'"),
        ("inlines=5,crosslines=many,samples=9/survey.sgy", "survey.crosslines: .*valid integer.* found 'many'"),
        ("inlines=5,crosslines=4,samples=65536/survey.sgy", "survey.samples: .* less than or equal to 65535"),
        (f"{SMALL},orders=random/survey.sgy", "survey.orders: .* not permitted"),
        (f"{SMALL},order=up/survey.sgy", "survey.order: .*'inline', 'crossline' or 'random'"),
        (f"{SMALL},format=3/survey.sgy", "survey.format: Input should be 1 or 5, found '3'"),
        (f"{SMALL},swap=19/survey.sgy", "swap=19 needs a trace after it"),
        (f"{SMALL},samples=141/survey.sgy", "a key is given twice"),
        (f"{SMALL}/other.sgy", "the one file of a rehearsal survey is"),
        (f"{SMALL}/survey.sgy/more", "the one file of a rehearsal survey is"),
        (SMALL, "is a folder"),
        ("survey.sgy", "describes no rehearsal survey"),
        ("", "describes no rehearsal survey"),
    ],
)
def test_a_url_of_no_survey_is_refused_in_a_sentence(path: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as refused:
        open_survey((f"rehearsal://{path}",), HeaderBytes())
    assert "\n" not in str(refused.value)
    assert path == SMALL or not fsspec.url_to_fs(f"rehearsal://{path}")[0].exists(path)


def test_the_file_system_lists_what_it_has() -> None:
    filesystem = RehearsalFileSystem()
    assert filesystem.ls(f"rehearsal://{SMALL}", detail=False) == [f"{SMALL}/survey.sgy"]
    assert filesystem.find(SMALL) == [f"{SMALL}/survey.sgy"]
    assert filesystem.isdir(SMALL)
    assert filesystem.isfile(f"{SMALL}/survey.sgy")
    assert filesystem.size(url_of(SMALL)) == NBYTES
    with pytest.raises(OSError, match="computed and cannot be written"):
        filesystem.open(url_of(SMALL), "wb")


def test_the_etag_tells_surveys_apart() -> None:
    filesystem = RehearsalFileSystem()
    variants = ["", "order=random", "order=random,seed=1", "format=5", "swap=0", "first_inline=2", "interval_us=1"]
    tags = [filesystem.info(url_of(f"{SMALL},{variant}".rstrip(",")))["ETag"] for variant in variants]
    assert len(set(tags)) == len(variants)
    assert filesystem.info(url_of(f"{SMALL},format=1"))["ETag"] == tags[0]


def test_it_can_be_pickled() -> None:
    opened = fsspec.open(url_of(SMALL), "rb")
    with pickle.loads(pickle.dumps(opened)) as file:
        assert file.read(4000) == whole(SMALL)[:4000]
    filesystem = pickle.loads(pickle.dumps(RehearsalFileSystem()))
    assert filesystem.cat_file(f"{SMALL}/survey.sgy") == whole(SMALL)


def test_a_fresh_process_knows_the_protocol() -> None:
    program = f"import fsspec; file = fsspec.open({url_of(SMALL)!r}, 'rb').open(); print(file.read(5000).hex())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert bytes.fromhex(done.stdout) == whole(SMALL)[:5000]


@pytest.mark.parametrize("extra", ["", ",order=crossline,format=5", ",order=random,seed=5", ",swap=40"])
def test_a_conversion_puts_every_trace_in_its_cell(
    client: Client, catalog_folder: Path, tmp_path: Path, extra: str
) -> None:
    url = url_of(f"inlines=13,crosslines=17,samples=300,first_inline=100{extra}")
    recipe = load_recipe(name="rehearsed", paths=(url,), out=str(tmp_path / "rehearsed.zarr"), chunk_nbytes=16384)
    check_converted(convert(recipe, client=client, catalog=Catalog()).url)


@pytest.mark.slow
def test_worker_processes_read_it(catalog_folder: Path, tmp_path: Path) -> None:
    url = url_of("inlines=13,crosslines=17,samples=300,first_inline=100,order=random")
    recipe = load_recipe(name="rehearsed", paths=(url,), out=str(tmp_path / "rehearsed.zarr"))
    with dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as cluster_client:
        check_converted(convert(recipe, client=cluster_client, catalog=Catalog()).url)


def check_converted(url: str) -> None:
    dataset = xr.open_zarr(url)
    expected = expected_samples(np.arange(13)[:, None], np.arange(17), samples=300)
    np.testing.assert_array_equal(dataset["amplitude"], expected)
    np.testing.assert_array_equal(dataset["inline"], 100 + np.arange(13))
    np.testing.assert_array_equal(dataset["crossline"], 1 + np.arange(17))
    assert dataset["live"].all()
    np.testing.assert_array_equal(dataset["cdp_x"][:, 0], 500_000 + 25.0 * np.arange(13))
