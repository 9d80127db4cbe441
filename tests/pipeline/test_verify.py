"""Verification: what is whole passes; whatever is altered, in the store or in the source, is found and named."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from distributed import Client

from data_catalog import Catalog, Entry, InputError, WorkError, layout
from pipeline.convert import convert
from pipeline.recipe import load_recipe
from pipeline.segy.fields import IBM
from pipeline.segy.samples import encode
from pipeline.storage.codec import checksum, chunk_ranges, index_nbytes
from pipeline.verification.verify import Verification, verify

CLASSES = {0: "sediment", 1: "salt"}
ODD_WORDS = (0x40000001, 0x7FFFFFFF, 0x80000000, 0x41000000, 0x7FC12345, 0xFFA00001, 0x00000001, 0xFF800000)
"""As IBM words: unnormalised, overflowing, negative zero, zero with an exponent, and such that underflow."""

CHUNK_NBYTES, SHARD_NBYTES = 1024, 6000
TRACE_NBYTES = 240 + 50 * 4


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[object, ...], tuple[Path, Entry]]:
    """Folders with a source and a store, by what they were made with: converted once, and copied for each test."""
    return {}


@pytest.fixture
def make_dataset(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, converted, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Entry]:
    """A function that gives a dataset of several shards, with holes, labels and a dead trace, and odd words in it."""

    def make(*, codec: str = "lz4", endian: str = "big", sample_format: int = 1) -> Entry:
        options = (codec, endian, sample_format)
        if options not in converted:
            recipe = prepare(make_segy, endian=endian, sample_format=sample_format) | {"codec": codec}
            entry = convert(
                load_recipe(name="first", out=str(tmp_path / "x.zarr"), **recipe), client=client, catalog=Catalog()
            )
            folder = tmp_path_factory.mktemp("converted") / "x"
            shutil.copytree(tmp_path, folder)
            converted[options] = folder, entry
        folder, entry = converted[options]
        shutil.copytree(folder, tmp_path / "copy")
        mine = {source.url: str(tmp_path / "copy" / Path(source.url).name) for source in entry.sources}
        sources = tuple(source.model_copy(update={"url": mine[source.url]}) for source in entry.sources)
        update = {"name": "x", "url": str(tmp_path / "copy" / "x.zarr"), "sources": sources}
        Catalog().publish(entry.model_copy(update=update))
        return Catalog().open("x")

    return make


def prepare(make_segy, *, endian: str = "big", sample_format: int = 1) -> dict[str, object]:
    """Makes the files; returns the recipe's fields for them."""
    volume = np.random.default_rng(11).normal(size=(12, 9, 50)).astype(np.float32)
    volume[3, 4] = 0
    options = {"endian": endian, "sample_format": sample_format, "keep": lambda i, x: (i + x) % 7 != 0}
    made = make_segy("survey.sgy", volume=volume, **options)
    with made.path.open("r+b") as file:
        file.seek(3600 + 240)
        file.write(b"".join(word.to_bytes(4, endian) for word in ODD_WORDS))
    label = make_segy("salt.sgy", volume=(volume > 0).astype(np.float32), **options)
    return {
        "paths": (str(made.path),),
        "labels": {"salt": {"paths": (str(label.path),), "classes": CLASSES}},
        "chunk_nbytes": CHUNK_NBYTES,
        "shard_nbytes": SHARD_NBYTES,
    }


@pytest.fixture
def check(client: Client, catalog_folder: Path) -> Callable[..., Verification]:
    """A function that verifies the dataset."""

    def check(**options: object) -> Verification:
        return verify("x", catalog=Catalog(), client=client, **options)

    return check


def stored_objects(entry: Entry, path: str) -> list[Path]:
    """The stored objects of an array, in order."""
    return sorted(path for path in Path(entry.url, path, "c").rglob("*") if path.is_file())


def flip(path: Path, byte: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def shard_of(path: Path) -> tuple[int, ...]:
    """Index on the trace dimensions of an object of samples."""
    first = len(path.parts) - path.parts[::-1].index("c")
    return tuple(int(part) for part in path.parts[first:-1])


def counts_per_shard(entry: Entry, variable: str) -> tuple[int, ...]:
    described = entry.variables[variable]
    return tuple(s // c for s, c in zip(described.shard_shape, described.chunk_shape, strict=True))


def patch_manifest(entry: Entry, variable: str, path: Path) -> None:
    """Makes the manifest agree with an object that was altered."""
    counts = counts_per_shard(entry, variable)
    content = path.read_bytes()
    ranges = chunk_ranges(content[-index_nbytes(counts) :], counts)
    checksums = zarr.open_array(f"{entry.url}/{layout.manifest_path(variable, layout.CHECKSUM)}", mode="r+")
    is_fill = zarr.open_array(f"{entry.url}/{layout.manifest_path(variable, layout.IS_FILL)}", mode="r+")
    for index in np.ndindex(counts):
        chunk = tuple(s * n + i for s, n, i in zip((*shard_of(path), 0), counts, index, strict=True))
        if all(i < size for i, size in zip(chunk, checksums.shape, strict=True)):
            start, nbytes = (int(value) for value in ranges[index])
            is_stored = start < 2**64 - 1
            checksums[chunk] = checksum(content[start : start + nbytes]) if is_stored else 0
            is_fill[chunk] = not is_stored


def alter(entry: Entry, variable: str, cell: tuple[int, ...], value: float) -> None:
    """Changes one sample as zarr would, and the manifest with it."""
    array = zarr.open_array(f"{entry.url}/{variable}", mode="r+")
    array[cell] = value
    shard = [index // size for index, size in zip(cell, entry.variables[variable].shard_shape, strict=True)]
    patch_manifest(entry, variable, Path(entry.url, variable, "c", *map(str, shard)))


def trace_number(entry: Entry, cell: tuple[int, int]) -> int:
    return int(zarr.open_array(f"{entry.url}/trace_number", mode="r")[cell])


def codes(found: Verification) -> list[str]:
    return [finding.code for finding in found.findings]


@pytest.mark.parametrize(
    ("codec", "endian", "sample_format"),
    [("lz4", "big", 1), ("none", "little", 1), ("zstd", "big", 5), ("lz4", "little", 5)],
)
def test_what_was_converted_is_as_it_should_be(
    make_dataset, check, codec: str, endian: str, sample_format: int
) -> None:
    entry = make_dataset(codec=codec, endian=endian, sample_format=sample_format)
    found = check()
    assert found.findings == ()
    assert found.finding_count == 0
    assert found.without_checksums == ()
    assert found.compared.shards == found.shard_count >= 2 * 4
    trace_count = sum(source.trace_count for source in entry.sources)
    assert found.compared.traces == trace_count
    assert found.compared.source_nbytes == trace_count * TRACE_NBYTES
    is_fill = [
        zarr.open_array(f"{entry.url}/{layout.manifest_path(name, layout.IS_FILL)}", mode="r")[:]
        for name in ("amplitude", "salt")
    ]
    assert found.compared.chunks == sum(int((~np.asarray(values)).sum()) for values in is_fill) > 40
    assert bool(stored_objects(entry, "residue/amplitude")) is (sample_format == 1)


def test_several_files_and_volumes(make_segy, client: Client, catalog_folder: Path, tmp_path: Path, check) -> None:
    names = {"amplitude": ("b.sgy", "a.sgy"), "near": ("d.sgy", "c.sgy")}
    made = {
        name: make_segy(name, first_inline=124 if name in "b.sgy d.sgy" else 100, volume=None)
        for files in names.values()
        for name in files
    }
    paths = {variable: tuple(str(made[name].path) for name in files) for variable, files in names.items()}
    recipe = load_recipe(
        name="x",
        paths=paths["amplitude"],
        volumes={"near": paths["near"]},
        out=str(tmp_path / "x.zarr"),
        chunk_nbytes=CHUNK_NBYTES,
        shard_nbytes=SHARD_NBYTES,
    )
    convert(recipe, client=client, catalog=Catalog())
    found = check()
    assert found.findings == ()
    assert found.compared.traces == 4 * 12 * 9
    with made["c.sgy"].path.open("r+b") as file:
        file.seek(3201 - 1)  # job number, in the binary header
        file.write(b"\x01")
    (finding,) = check().findings
    assert (finding.code, finding.variable, finding.shard) == ("file-header-differs", "near", None)
    assert "source/near_file_header_1" in finding.message
    assert "in 1 bytes, the first is byte 3201: 0 is stored, and 1 in the source" in finding.message


@pytest.mark.parametrize("sample_format", [1, 5])
def test_rounded_samples(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, check, sample_format: int
) -> None:
    fields = prepare(make_segy, sample_format=sample_format)
    recipe = load_recipe(name="x", out=str(tmp_path / "x.zarr"), significant_bits=11, **fields)
    entry = convert(recipe, client=client, catalog=Catalog())
    found = check()
    assert (found.findings, found.compared.traces) == ((), sum(source.trace_count for source in entry.sources))
    alter(entry, "amplitude", (10, 8, 33), 1 + 2**-12)
    (finding,) = check().findings
    assert (finding.code, finding.count) == ("samples-differ", 1)
    assert re.search(r"is 1\.0002441 \(word 0x3f800800\), and .* in the source, rounded\.", finding.message)


def test_traces_in_file_order(make_segy, client: Client, catalog_folder: Path, tmp_path: Path, check) -> None:
    made = make_segy()
    recipe = load_recipe(
        name="x",
        paths=(str(made.path),),
        out=str(tmp_path / "x.zarr"),
        kind="flat",
        chunk_nbytes=CHUNK_NBYTES,
        shard_nbytes=SHARD_NBYTES,
    )
    entry = convert(recipe, client=client, catalog=Catalog())
    found = check()
    assert (found.findings, found.compared.traces) == ((), 108)
    assert found.shard_count > 2
    alter(entry, "amplitude", (77, 5), 3.0)
    (finding,) = check().findings
    assert "sample 5 of trace 77 (trace 77) is 3.0" in finding.message


def test_a_shard_without_traces(make_segy, client: Client, catalog_folder: Path, tmp_path: Path, check) -> None:
    made = make_segy(keep=lambda inline, crossline: inline >= 112 or crossline >= 305)
    recipe = load_recipe(
        name="x",
        paths=(str(made.path),),
        out=str(tmp_path / "x.zarr"),
        chunk_nbytes=CHUNK_NBYTES,
        shard_nbytes=SHARD_NBYTES,
    )
    entry = convert(recipe, client=client, catalog=Catalog())
    assert len(stored_objects(entry, "amplitude")) < check().shard_count
    assert check().findings == ()


@pytest.mark.parametrize("variable", ["amplitude", "salt"])
def test_a_flipped_byte_names_its_shard_and_chunk(make_dataset, check, variable: str) -> None:
    entry = make_dataset()
    path = stored_objects(entry, variable)[1]
    counts = counts_per_shard(entry, variable)
    ranges = chunk_ranges(path.read_bytes()[-index_nbytes(counts) :], counts)
    index = tuple(int(i) for i in np.argwhere(ranges[..., 0] != 2**64 - 1)[-1])
    flip(path, int(ranges[index][0]) + int(ranges[index][1]) // 2)
    for with_source in (False, True):
        (finding,) = check(with_source=with_source).findings
        assert (finding.code, finding.variable, finding.shard) == ("checksum-differs", variable, shard_of(path))
        chunk = tuple(s * n + i for s, n, i in zip((*shard_of(path), 0), counts, index, strict=True))
        expected = f"{variable}, shard {shard_of(path)}: chunk {chunk} has CRC-32C 0x"
        assert finding.message.startswith(expected)


@pytest.mark.parametrize("byte", [-1, -4, -5, -20])
def test_a_damaged_index_is_found(make_dataset, check, byte: int) -> None:
    entry = make_dataset()
    path = stored_objects(entry, "amplitude")[2]
    flip(path, byte, bit=3)
    (finding,) = check(with_source=False).findings
    assert (finding.code, finding.shard) == ("object-damaged", shard_of(path))
    assert "the index at the end of the shard is damaged" in finding.message
    assert check().findings == (finding,), "headers and live are compared all the same"


@pytest.mark.parametrize("nbytes", [0, 30, -1])
def test_a_shard_that_was_cut_off_is_found(make_dataset, check, nbytes: int) -> None:
    entry = make_dataset()
    path = stored_objects(entry, "salt")[0]
    path.write_bytes(path.read_bytes()[:nbytes])
    (finding,) = check(with_source=False).findings
    assert (finding.code, finding.variable, finding.shard) == ("object-damaged", "salt", shard_of(path))


def test_a_missing_object_is_found(make_dataset, check) -> None:
    entry = make_dataset()
    path = stored_objects(entry, "amplitude")[1]
    path.unlink()
    (finding,) = check(with_source=False).findings
    assert (finding.code, finding.shard) == ("object-missing", shard_of(path))
    assert str(path.relative_to(entry.url)) in finding.message
    assert finding.count > 1


def test_chunks_that_come_and_go_are_found(make_dataset, check) -> None:
    entry = make_dataset()
    is_fill = zarr.open_array(f"{entry.url}/{layout.manifest_path('amplitude', layout.IS_FILL)}", mode="r+")
    shape = entry.variables["amplitude"].chunk_shape
    array = zarr.open_array(f"{entry.url}/amplitude", mode="r+")
    array[tuple(slice(0, size) for size in shape)] = 0  # zarr stores no chunk of fill values
    is_fill[is_fill.shape[0] - 1, 0, 0] = True
    found = check(with_source=False)
    # Zarr wrote the other chunks of the shard anew, of which some are compressed otherwise.
    assert {"chunk-missing", "chunk-unexpected"} <= set(codes(found))
    messages = [finding.message for finding in found.findings]
    assert any("chunk (0, 0, 0) is not stored, and should hold more" in message for message in messages)
    last = (is_fill.shape[0] - 1, 0, 0)
    assert any(f"chunk {last} is stored, and should hold the fill value alone" in message for message in messages)


@pytest.mark.parametrize(("endian", "sample_format"), [("big", 1), ("little", 5)])
def test_a_wrong_sample_is_found_though_checksums_are_right(
    make_dataset, check, endian: str, sample_format: int
) -> None:
    entry = make_dataset(endian=endian, sample_format=sample_format)
    was = float(zarr.open_array(f"{entry.url}/amplitude", mode="r")[10, 8, 33])
    alter(entry, "amplitude", (10, 8, 33), 1.5)
    assert check(with_source=False).findings == ()
    (finding,) = check().findings
    assert (finding.code, finding.variable, finding.count) == ("samples-differ", "amplitude", 1)
    place = f"sample 33 of trace {trace_number(entry, (10, 8))} (inline 120, crossline 308)"
    word = 0x41180000 if sample_format == 1 else 0x3FC00000
    assert f"{place} is 1.5 (word {word:#010x}), and {np.float32(was)!s} (word 0x" in finding.message


def test_a_bit_that_encoding_would_round_away_is_found(make_dataset, check) -> None:
    entry = make_dataset()
    sample = np.array([1.0], np.float32)  # 1.0 fills one of the four bits of its hexadecimal digit: three are lost
    wrong = (sample.view(np.uint32) + 1).view(np.float32)
    assert encode(sample, IBM) == encode(wrong, IBM)
    source = Path(entry.sources[0].url)
    number = trace_number(entry, (5, 5))
    with source.open("r+b") as file:
        file.seek(3600 + number * TRACE_NBYTES + 240)
        file.write(int(encode(sample, IBM)[0]).to_bytes(4, "big"))
    alter(entry, "amplitude", (5, 5, 0), 1.0)
    assert check().findings == ()
    alter(entry, "amplitude", (5, 5, 0), float(wrong[0]))
    (finding,) = check().findings
    assert "is 1.0000001 (word 0x41100000), and 1.0 (word 0x41100000) in the source" in finding.message


def test_a_value_where_there_is_no_trace_is_found(make_dataset, check) -> None:
    entry = make_dataset()
    hole = next(cell for cell in np.ndindex(12, 9) if trace_number(entry, cell) == -1)
    alter(entry, "amplitude", (*hole, 7), -0.0)
    (finding,) = check().findings
    place = f"sample 7 of the cell without a trace (inline {100 + 2 * hole[0]}, crossline {300 + hole[1]})"
    assert f"{place} is -0.0 (word 0x80000000), and 0.0 (word 0x00000000)" in finding.message


@pytest.mark.parametrize("cell", [(0, 1), (7, 3), (11, 8)])
def test_a_changed_header_byte_is_found(make_dataset, check, cell: tuple[int, int]) -> None:
    entry = make_dataset()
    headers = zarr.open_array(f"{entry.url}/trace_header", mode="r+")
    was = int(headers[(*cell, 191)])
    headers[(*cell, 191)] = was ^ 1
    (finding,) = check().findings
    trace = f"trace {trace_number(entry, cell)} (inline {100 + 2 * cell[0]}, crossline {300 + cell[1]})"
    assert finding.code == "trace-header-differs"
    assert f"byte 192 of the header of {trace} is {was ^ 1}, and {was} in the source" in finding.message


def test_live_that_is_wrong_is_found_and_labels_follow_it(make_dataset, check) -> None:
    entry = make_dataset()
    live = zarr.open_array(f"{entry.url}/live", mode="r+")
    assert not live[3, 4]
    assert trace_number(entry, (3, 4)) >= 0, "recorded, and all zero"
    live[3, 4] = True
    live[8, 3] = False
    assert live[8, 2]
    found = check()
    assert set(codes(found)) == {"live-differs", "classes-differ"}
    messages = "\n".join(finding.message for finding in found.findings)
    assert "(inline 106, crossline 304) is marked as live, and holds no sample other than 0 in the source" in messages
    assert "(inline 116, crossline 303) is marked as not live, and holds a sample other than 0" in messages
    assert re.search(r"salt, .* of trace \d+ \(inline 106, crossline 304\) is 255, and should be 0", messages)
    assert re.search(r"salt, .* of trace \d+ \(inline 116, crossline 303\) is [01], and should be 255", messages)


def test_a_wrong_class_is_found(make_dataset, check) -> None:
    entry = make_dataset()
    was = int(zarr.open_array(f"{entry.url}/salt", mode="r")[6, 6, 21])
    alter(entry, "salt", (6, 6, 21), 1 - was)
    (finding,) = check().findings
    assert finding.code == "classes-differ"
    place = f"sample 21 of trace {trace_number(entry, (6, 6))} (inline 112, crossline 306)"
    assert f"{place} is {1 - was}, and should be {was}." in finding.message


@pytest.mark.parametrize(("wrong", "complaint"), [(10**6, "the source has"), (-2, "the source has"), (None, "twice")])
def test_trace_numbers_that_cannot_be_are_found(make_dataset, check, wrong: int | None, complaint: str) -> None:
    entry = make_dataset()
    numbers = zarr.open_array(f"{entry.url}/trace_number", mode="r+")
    numbers[0, 1] = int(numbers[0, 2]) if wrong is None else wrong
    (finding,) = check().findings
    assert finding.code == "trace-number-wrong"
    assert complaint in finding.message


def test_a_residue_that_is_wrong_is_found(make_dataset, check) -> None:
    entry = make_dataset()
    residue = zarr.open_array(f"{entry.url}/residue/amplitude", mode="r+")
    cell = tuple(int(i) for i in np.argwhere(np.asarray(residue[:]))[0])
    word_count = np.count_nonzero(residue[:])
    residue[cell] = int(residue[cell]) ^ 4
    (finding,) = check().findings
    assert (finding.code, finding.count) == ("samples-differ", 1)
    assert f"sample {cell[2]} of trace " in finding.message
    for path in stored_objects(entry, "residue/amplitude"):
        path.unlink()
    (finding,) = check().findings
    assert (finding.code, finding.count) == ("samples-differ", word_count)


@pytest.mark.parametrize(
    ("byte", "code"),
    [
        (10, "file-header-differs"),
        (3215, "file-header-differs"),
        (3600 + 5 * TRACE_NBYTES + 80, "trace-header-differs"),
        (3600 + 5 * TRACE_NBYTES + 240 + 77, "samples-differ"),
    ],
)
def test_a_source_that_changed_unseen_is_found(make_dataset, check, byte: int, code: str) -> None:
    entry = make_dataset()
    source = Path(entry.sources[0].url)
    was = source.stat()
    flip(source, byte, bit=2)
    os.utime(source, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert check(with_source=False).findings == ()
    (finding,) = check().findings
    assert (finding.code, finding.count) == (code, 1)
    assert (" trace 5 (inline " in finding.message) is (byte >= 3600)


@pytest.mark.parametrize("variable", ["amplitude", "salt"])
def test_a_source_that_is_gone_or_another_is_refused(make_dataset, check, variable: str) -> None:
    entry = make_dataset()
    source = next(Path(source.url) for source in entry.sources if source.variable == variable)
    content = source.read_bytes()
    source.write_bytes(content + content[-TRACE_NBYTES:])
    with pytest.raises(InputError, match=r"is not the file that 'x' was made of any more: .*--checksums-only"):
        check()
    source.write_bytes(content[:3225] + b"\x05" + content[3226:])  # format code: IEEE instead of IBM
    with pytest.raises(InputError, match=r"expected .* format 1, big endian\), found .* format 5, big endian\)"):
        check()
    source.unlink()
    with pytest.raises(InputError, match=r"cannot be compared with its source: .*cannot be opened.*--checksums-only"):
        check()
    assert check(with_source=False).findings == ()


def test_a_dataset_of_before_checksums(make_dataset, check) -> None:
    entry = make_dataset()
    for variable in ("amplitude", "salt"):
        Path(entry.url, layout.manifest_path(variable, layout.CHECKSUM), "zarr.json").unlink()
    found = check()
    assert (found.findings, found.without_checksums, found.compared.chunks) == ((), ("amplitude", "salt"), 0)
    assert found.compared.traces > 0
    with pytest.raises(InputError, match="no checksums in its manifest"):
        check(with_source=False)


def test_traces_that_the_store_lost_are_missed(make_dataset, check) -> None:
    entry = make_dataset()
    for path in ("amplitude", "live", "trace_number", "trace_header", "residue/amplitude"):
        for stored in stored_objects(entry, path):
            if stored.relative_to(Path(entry.url, path, "c")).parts[:2] == ("0", "0"):
                stored.unlink()
    for variable in ("amplitude", "salt"):
        Path(entry.url, layout.manifest_path(variable, layout.CHECKSUM), "zarr.json").unlink()
    found = check()
    assert set(codes(found)) == {"classes-differ"}, "live is gone, so the labels should be too"
    for path in stored_objects(entry, "salt"):
        if shard_of(path) == (0, 0):
            path.unlink()
    (finding,) = check().findings
    assert finding.code == "traces-missing"
    assert re.search(r"amplitude: the store has \d+ of the \d+ traces", finding.message)


def test_an_array_that_is_missing_altogether(make_dataset, check) -> None:
    entry = make_dataset()
    Path(entry.url, "residue/amplitude/zarr.json").unlink()
    with pytest.raises(WorkError, match="lacks residue/amplitude, so 'amplitude' cannot be compared"):
        check()
    assert check(with_source=False).findings == ()


def test_what_cannot_be_read_does_not_hide_the_rest(make_dataset, check) -> None:
    entry = make_dataset()
    first, second, *_ = stored_objects(entry, "amplitude")
    first.unlink()
    first.mkdir()
    second.unlink()
    found = check(with_source=False)
    assert codes(found) == ["not-compared", "object-missing"]
    assert str(shard_of(first)) in found.findings[0].message


@pytest.mark.slow
def test_any_flipped_bit_is_found_or_changes_nothing(make_dataset, check) -> None:
    entry = make_dataset()
    rng = np.random.default_rng(5)
    arrays = ("amplitude", "salt", "live", "trace_number", "trace_header", "residue/amplitude", "source/file_header_0")
    guarded = {"amplitude", "salt"}
    for path in np.repeat(arrays, 4):
        before = np.asarray(zarr.open_array(f"{entry.url}/{path}", mode="r")[:])
        stored = rng.choice(stored_objects(entry, path))
        content = stored.read_bytes()
        flip(stored, rng.integers(len(content)), bit=rng.integers(8))
        if not check().findings:
            assert path not in guarded
            np.testing.assert_array_equal(zarr.open_array(f"{entry.url}/{path}", mode="r")[:], before)
        stored.write_bytes(content)
    assert check().findings == ()


def test_a_share_of_the_shards(make_dataset, check) -> None:
    entry = make_dataset()
    whole = check()
    for path in stored_objects(entry, "amplitude"):
        flip(path, 20)
    damaged = {finding.shard for finding in check(with_source=False).findings}
    per_variable = whole.shard_count // 2
    assert len(damaged) == per_variable
    shards = []
    for share in (0.01, 0.5, 1.0):
        found = check(sample=share, with_source=False)
        assert found.compared.shards == 2 * max(1, -(-per_variable * share // 1))
        shards.append({finding.shard for finding in found.findings})
    assert shards[0] < shards[1] < shards[2] == damaged
    assert {finding.shard for finding in check(sample=0.5, with_source=False).findings} == shards[1]
    for share in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(InputError, match="is no share of the shards"):
            check(sample=share)


@pytest.mark.slow
def test_a_store_on_s3(make_segy, client: Client, catalog_folder: Path, check, bucket_url: str) -> None:
    from s3fs import S3FileSystem

    fields = prepare(make_segy) | {"labels": None, "shard_nbytes": 12_000}
    recipe = load_recipe(name="x", out=f"{bucket_url}/x.zarr", **fields)
    entry = convert(recipe, client=client, catalog=Catalog())
    assert check().findings == ()
    filesystem = S3FileSystem(use_listings_cache=False)
    paths = sorted(filesystem.find(f"{entry.url}/amplitude/c"))
    content = bytearray(filesystem.cat_file(paths[0]))
    content[20] ^= 1
    filesystem.pipe_file(paths[0], bytes(content))
    filesystem.rm_file(paths[1])
    assert sorted(codes(check(with_source=False))) == ["checksum-differs", "object-missing"]


def run_verify(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "verify", "x", "--scheduler", "threads", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_what_was_compared(make_dataset) -> None:
    make_dataset()
    done = run_verify()
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert re.fullmatch(
        r"x: (\d+) of \1 shards were compared, \d+ stored chunks \(\d+ bytes\) with their checksums and \d+ traces "
        r"\(\d+ bytes\) with their source; all is as it should be\.\n",
        done.stdout,
    )


def test_the_command_names_what_it_finds(make_dataset) -> None:
    entry = make_dataset()
    for path in (*stored_objects(entry, "amplitude"), *stored_objects(entry, "salt")):
        flip(path, 20)
    for path in ("trace_header", "live", "residue/amplitude"):
        array = zarr.open_array(f"{entry.url}/{path}", mode="r+")
        array[:] = np.asarray(array[:]) ^ True
    done = run_verify("--json")
    assert done.returncode == 1
    found = Verification.model_validate_json(done.stdout)
    assert found.finding_count == len(found.findings) > 20
    done = run_verify()
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert f"failed: {found.finding_count} faults were found in 'x'" in done.stderr
    *printed, more, last = done.stdout.splitlines()
    assert printed == [finding.message for finding in found.findings[:20]]
    assert more == f"and {found.finding_count - 20} more"
    assert "all is as it should be" not in last


def test_the_command_refuses_a_source_that_is_gone(make_dataset) -> None:
    entry = make_dataset()
    Path(entry.sources[0].url).unlink()
    done = run_verify()
    assert (done.returncode, done.stdout) == (2, "")
    assert "--checksums-only looks at the store by itself" in done.stderr
    assert "dashboard" not in done.stderr, "refused before anything was started"
