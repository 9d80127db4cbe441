"""Files as they are found: layouts, revisions, byte orders, formats that headers get wrong, ends that are missing."""

from collections.abc import Callable
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
from pipeline.recipe import HeaderBytes, load_recipe
from pipeline.segy.byte_order import swap_pairs
from pipeline.segy.fields import IBM, IEEE, Field
from pipeline.segy.file import SegyFile, open_segy
from pipeline.segy.float_formats import likelier_format
from pipeline.segy.opening import Reading
from pipeline.segy.samples import decode, encode
from pipeline.segy.stanzas import layout_of
from pipeline.survey.files import open_survey

MakeFile = Callable[..., Path]
Roundtrip = Callable[..., np.ndarray]


def put(content: bytearray, first: int, value: float, dtype: str) -> None:
    """Writes a word, big endian; bytes count from 1."""
    word = np.array([value], f">{dtype}").tobytes()
    content[first - 1 : first - 1 + len(word)] = word


@pytest.fixture
def write_file(tmp_path: Path) -> MakeFile:
    """A function that writes a file of a grid of 3 x 4 traces, of revision 2 if that is asked for."""

    def write(
        name: str = "made.sgy",
        *,
        samples: np.ndarray | None = None,
        code: int = IEEE,
        interval: float = 4000,
        text_headers: int = 0,
        extensions: int = 0,
        binary: dict[tuple[int, str], float] | None = None,
        tail: bytes = b"",
        traces: int = 12,
    ) -> Path:
        if samples is None:
            samples = np.random.default_rng(3).normal(size=(traces, 30)).astype(np.float32) * 1000
        header = bytearray(b"C 1 made by a test".ljust(3200).decode().encode("cp037") + bytes(400))
        for first, value in ((3217, interval if interval < 2**15 else 0), (3221, samples.shape[1]), (3225, code)):
            if first != 3221 or value < 2**16:
                put(header, first, value, "u2")
        for (first, dtype), value in (binary or {}).items():
            put(header, first, value, dtype)
        content = bytes(header) + b"".join(b"\x40" * 3200 for _ in range(text_headers))
        for number, row in enumerate(samples):
            trace = bytearray(240 * (1 + extensions))
            put(trace, 115, samples.shape[1] % 2**16, "u2")
            put(trace, 189, 5 + number // 4, "i4")
            put(trace, 193, 70 + number % 4, "i4")
            content += bytes(trace) + encode(np.ascontiguousarray(row), code).astype(">u4").tobytes()
        path = tmp_path / name
        path.write_bytes(content + tail)
        return path

    return write


@pytest.fixture
def roundtrip(client: Client, catalog_folder: Path, tmp_path: Path) -> Roundtrip:
    """A function that converts a file, deletes it, sees that its export is the same, and returns its traces."""

    def convert_and_export(path: Path, **options: object) -> np.ndarray:
        recipe = load_recipe(name=path.stem, paths=(str(path),), out=str(tmp_path / f"{path.stem}.zarr"), **options)
        entry = convert(recipe, client=client, catalog=Catalog())
        content = path.read_bytes()
        path.unlink()
        (written,) = export(path.stem, out=tmp_path / "again.sgy", catalog=Catalog(), overwrite=True)
        assert written.read_bytes() == content
        return entry  # type: ignore[return-value]

    return convert_and_export


def opened(path: Path, **reading: object) -> SegyFile:
    return open_segy(str(path), path.stat().st_size, Reading.model_validate(reading))


def test_revision_2_says_more_than_two_bytes_hold(write_file: MakeFile, roundtrip: Roundtrip) -> None:
    samples = np.ones((2, 70_000), np.float32)
    second = {(3501, "u1"): 2, (3269, "i4"): 70_000, (3273, "f8"): 62.5}
    path = write_file(samples=samples, interval=0, binary=second)
    file = opened(path)
    assert (file.sample_count, file.sample_interval_us, file.revision) == (70_000, 62.5, (2, 0))
    entry = roundtrip(path)
    assert entry.sizes["time"] == 70_000


def test_trace_header_extensions_and_a_first_trace_somewhere(write_file: MakeFile, roundtrip: Roundtrip) -> None:
    second = {(3501, "u1"): 2, (3507, "u2"): 2, (3505, "i2"): 3, (3521, "u8"): 3600 + 3 * 3200}
    path = write_file(text_headers=3, extensions=2, binary=second)
    file = opened(path)
    assert (file.header_nbytes, file.trace_header_nbytes, file.trace_count) == (13_200, 720, 12)
    assert roundtrip(path).sizes["trace_header_byte"] == 720


def test_records_behind_the_traces_are_kept(write_file: MakeFile, roundtrip: Roundtrip) -> None:
    for name, words in {"count": {(3513, "u8"): 12}, "records": {(3529, "i4"): 1}}.items():
        path = write_file(f"{name}.sgy", binary={(3501, "u1"): 2, **words}, tail=b"((SEG: trailer))".ljust(3200))
        file = opened(path)
        assert (file.trace_count, file.tail_nbytes) == (12, 3200)
        roundtrip(path)


def test_records_that_the_file_has_no_room_for_are_not_there(write_file: MakeFile, roundtrip: Roundtrip) -> None:
    """Their bytes, less than which the file has, leave whole traces as well, of a number below none."""
    path = write_file(binary={(3501, "u1"): 2, (3529, "i4"): 28}, tail=bytes(28 * 3200 % 360))
    assert path.stat().st_size < 28 * 3200
    file = opened(path)
    assert (file.trace_count, file.tail_nbytes) == (12, 320)
    roundtrip(path)


@pytest.mark.parametrize(
    ("cut", "truncated", "traces", "fate"),
    [
        (37, "salvage", 12, {"kept": 11, "truncated": 1}),
        (37, "drop", 11, {"kept": 11}),
        (121, "salvage", 11, {"kept": 11}),  # nothing but a header, of which a byte is missing
        (200, "salvage", 11, {"kept": 11}),
    ],
)
def test_a_file_that_was_cut_off(
    cut: int, truncated: str, traces: int, fate: dict[str, int], write_file: MakeFile, roundtrip: Roundtrip
) -> None:
    path = write_file()
    path.write_bytes(path.read_bytes()[:-cut])
    assert opened(path, truncated=truncated).trace_count == traces
    entry = roundtrip(path, reading={"truncated": truncated})
    assert entry.fates == fate
    assert any("file ends within trace" in text or "file goes on for" in text for text in entry.warnings)


def test_what_is_missing_of_a_trace_is_zero(write_file: MakeFile, client: Client, catalog_folder: Path, tmp_path: Path):
    path = write_file()
    whole = np.frombuffer(path.read_bytes()[-120:], ">f4")
    path.write_bytes(path.read_bytes()[:-42])
    recipe = load_recipe(name="cut", paths=(str(path),), out=str(tmp_path / "cut.zarr"))
    with xr.open_zarr(convert(recipe, client=client, catalog=Catalog()).url) as dataset:
        found = dataset["amplitude"].values[2, 3]
        assert dataset["fate"].values[2, 3] == 3
    np.testing.assert_array_equal(found[:19], whole[:19])
    assert found[19] == np.frombuffer(whole[19:20].tobytes()[:2] + b"\0\0", ">f4")[0]
    assert not found[20:].any()


def test_a_file_that_was_cut_off_is_refused_on_request(write_file: MakeFile) -> None:
    path = write_file()
    path.write_bytes(path.read_bytes()[:-37])
    with pytest.raises(InputError, match=r"is truncated or its headers are wrong: 30 samples a trace make 11 whole"):
        opened(path, truncated="fail")


def test_a_file_without_a_whole_trace_is_refused(write_file: MakeFile) -> None:
    path = write_file()
    path.write_bytes(path.read_bytes()[:3900])
    with pytest.raises(InputError, match="holds no whole trace: 30 samples a trace make 360 bytes, and 300 bytes"):
        opened(path)


@pytest.mark.parametrize("code", [IBM, IEEE, 3, 8])
def test_pairs_of_swapped_bytes(code: int, write_file: MakeFile, roundtrip: Roundtrip, tmp_path: Path) -> None:
    straight = np.frombuffer(write_file(binary={(3297, "i4"): 0x01020304}).read_bytes(), np.uint8).copy()
    nbytes = {IBM: 4, IEEE: 4, 3: 2, 8: 1}[code]
    swapped = straight[: 3600 + 12 * (240 + 30 * nbytes)].copy()
    swapped[3224:3226] = (0, code)
    parts = swapped[3600:].reshape(12, -1)
    parts[:, :240] = straight[3600:].reshape(12, -1)[:, :240]
    swap_pairs(parts, header_nbytes=240)
    swap_pairs(swapped[None, 3200:3600], header_nbytes=400)
    assert bytes(swapped[3296:3300]) == b"\x02\x01\x04\x03"
    path = tmp_path / "pairs.sgy"
    path.write_bytes(swapped.tobytes())
    file = opened(path)
    expected = IEEE if code == IBM else code  # which the samples are
    assert (file.byte_order, file.format_code, file.trace_count) == ("pairwise", expected, 12)
    entry = roundtrip(path)
    assert entry.kind == "stack3d"
    assert entry.sources[0].byte_order == "pairwise"


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=60), st.integers(0, 59))
def test_swapping_twice_changes_nothing(content: bytes, header_nbytes: int) -> None:
    row = np.frombuffer(content, np.uint8).copy()[None]
    swap_pairs(row, header_nbytes=min(header_nbytes, row.shape[1]))
    swap_pairs(row, header_nbytes=min(header_nbytes, row.shape[1]))
    assert row.tobytes() == content


@pytest.mark.parametrize(("stated", "true"), [(IBM, IEEE), (IEEE, IBM)])
def test_the_other_float_than_is_stated(stated: int, true: int, write_file: MakeFile, roundtrip: Roundtrip) -> None:
    path = write_file(code=true)
    content = bytearray(path.read_bytes())
    put(content, 3225, stated, "u2")
    path.write_bytes(content)
    file = opened(path)
    assert file.format_code == true
    assert "by their bits" in file.oddities[0]
    assert opened(path, sample_format=stated).format_code == stated
    assert roundtrip(path).sources[0].sample_format == true


@settings(deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-12, 1e12), st.booleans())
def test_floats_are_told_apart_at_any_scale(seed: int, scale: float, skewed: bool) -> None:
    samples = np.random.default_rng(seed).normal(size=2000) * scale
    if skewed:
        samples = np.cumsum(samples)
    for code in (IBM, IEEE):
        words = encode(samples.astype(np.float32), code)
        assert likelier_format(words) in {code, None}
        if not skewed:
            assert likelier_format(words) == code


def test_too_few_words_tell_nothing() -> None:
    assert likelier_format(encode(np.arange(1, 100, dtype=np.float32), IBM)) is None
    assert likelier_format(np.zeros(9999, np.uint32)) is None
    assert decode(np.zeros(1, np.uint32), IBM)[0] == 0


def test_a_format_that_is_none(write_file: MakeFile, roundtrip: Roundtrip) -> None:
    path = write_file(code=IEEE)
    content = bytearray(path.read_bytes())
    put(content, 3225, 0, "u2")
    path.write_bytes(content)
    file = opened(path)
    assert file.format_code == IEEE
    assert "bytes 3225-3226 hold 0, which is no sample format" in file.oddities[0]
    roundtrip(path)


@pytest.mark.parametrize("order", ["big", "little"])
def test_seismic_unix(order: str, roundtrip: Roundtrip, tmp_path: Path) -> None:
    header = np.zeros((12, 240), np.uint8)
    sign = ">" if order == "big" else "<"
    for first, dtype, values in (
        (115, "u2", np.full(12, 30)),
        (117, "u2", np.full(12, 2000)),
        (9, "i4", np.arange(12) // 4),
        (13, "i4", np.arange(12) % 4),
        (37, "i4", np.arange(12) % 4 * 10),
    ):
        column = values.astype(f"{sign}{dtype}")
        header[:, first - 1 : first - 1 + column.itemsize] = column.view(np.uint8).reshape(12, -1)
    samples = np.random.default_rng(3).normal(size=(12, 30)).astype(f"{sign}f4")
    content = np.concatenate([header, samples.view(np.uint8)], axis=1).tobytes()
    for name, reading in (("a.su", {}), ("b.dat", {}), ("c.sgy", {"format": "su"})):
        path = tmp_path / name
        path.write_bytes(content)
        file = opened(path, **reading)
        assert (file.format, file.byte_order, file.sample_count, file.trace_count) == ("su", order, 30, 12)
        assert file.sample_interval_us == 2000
        entry = roundtrip(path, reading=reading)
        assert (entry.kind, entry.sizes["shot"], entry.sizes["channel"]) == ("shots", 3, 4)
    path = tmp_path / "cut.su"
    path.write_bytes(content[:-21])
    assert roundtrip(path).fates == {"kept": 11, "truncated": 1}


def test_a_stale_count_of_traces_does_not_hide_any(write_file: MakeFile) -> None:
    file = opened(write_file(binary={(3501, "u1"): 2, (3513, "u8"): 1}))
    assert (file.trace_count, file.tail_nbytes) == (12, 0)
    assert "states 1 traces" in file.oddities[0]


def test_a_format_that_is_insisted_on_does_not_decide_the_byte_order(tmp_path: Path) -> None:
    header = np.zeros(3600, np.uint8)
    for first, value in ((3217, 4000), (3221, 40), (3225, 1)):
        header[first - 1 : first + 1] = np.frombuffer(np.array([value], "<u2").tobytes(), np.uint8)
    path = tmp_path / "little.sgy"
    path.write_bytes(header.tobytes() + bytes(120 * (240 + 160)))
    file = opened(path, sample_format=5)
    assert (file.byte_order, file.sample_count, file.trace_count, file.format_code) == ("little", 40, 120, 5)


@pytest.mark.parametrize(
    "reading", [{"sample_count": 0}, {"sample_count": -60}, {"sample_format": 13}, {"sample_interval_us": -4}]
)
def test_readings_that_cannot_be(reading: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Reading.model_validate(reading)


def test_a_dead_file_takes_the_format_of_its_siblings(write_file: MakeFile, tmp_path: Path) -> None:
    paths = [write_file(f"{name}.sgy", code=IEEE) for name in "ab"]
    for path in paths:
        content = bytearray(path.read_bytes())
        put(content, 3225, IBM, "u2")
        path.write_bytes(content)
    dead = np.frombuffer(paths[1].read_bytes(), np.uint8).copy()
    dead[3600:].reshape(12, -1)[:, 240:] = 0
    paths[1].write_bytes(dead.tobytes())
    survey = open_survey(tuple(map(str, paths)), HeaderBytes())
    assert {file.format_code for file in survey.files} == {IEEE}


def test_text_is_neither(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear colleague, " * 900)
    with pytest.raises(InputError, match="is not SEG-Y"):
        opened(path)


LAYOUT = b"""((SEG: Layout:text/xml))<?xml version="1.0"?><segy-layout name="x">
<entry name="iline" byte="5" type="int4"/><entry name="xline" byte="29" type="int2"/>
<entry name="cdp_x" byte="400" type="coor4"/><entry name="cdp_y" byte="9" type="ieee32"/>
<entry name="unheard" byte="1" type="int4"/><entry/></segy-layout>"""


@pytest.mark.parametrize("encoding", ["ascii", "cp037"])
def test_a_layout_stanza_says_where_words_are(encoding: str) -> None:
    content = LAYOUT.decode().encode(encoding)
    assert layout_of(content) == {"inline": Field(5, "i4"), "crossline": Field(29, "i2")}
    assert layout_of(b"((SEG: Something))") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"</segy-layout>", b""), "no end"),
        ((b"<entry/>", b"<entry>"), "malformed"),
        ((b"<segy-layout", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><segy-layout'), "entities"),
    ],
)
def test_a_layout_that_cannot_be_used(change: tuple[bytes, bytes], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        layout_of(LAYOUT.replace(*change))


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        ("29", None),
        (189, None),
        ("189-192", None),
        ("29-30", None),
        (238, "does not fit"),
        ("7-9", "two or four"),
        ("x", "is a byte"),
    ],
)
def test_positions_of_words(position: int | str, reason: str | None) -> None:
    if reason is None:
        assert HeaderBytes(inline=position).fields["inline"].first_byte in {29, 189}
    else:
        with pytest.raises(ValueError, match=reason):
            HeaderBytes(inline=position)
