"""Several volumes of one grid, and files that say for themselves where their headers hold the geometry."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segyio
import xarray as xr
import yaml
import zarr
from distributed import Client
from typer.testing import CliRunner

from data_catalog import Catalog, Entry, InputError, Role, check_store
from data_catalog.__main__ import app as data_catalog_app
from pipeline.__main__ import app
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.recipe import HeaderBytes, SourceFile, load_recipe
from pipeline.survey.files import open_survey

CLASSES = {0: "sediment", 1: "salt"}
HEADER_NBYTES, SAMPLE_COUNT = 240, 50
TRACE_NBYTES = HEADER_NBYTES + 4 * SAMPLE_COUNT
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def convert_files(client: Client, catalog_folder: Path, tmp_path: Path) -> Callable[..., Entry]:
    def run(*paths: Any, **fields: Any) -> Entry:
        options = {"name": "x", "out": str(tmp_path / "x.zarr"), "chunk_nbytes": 4096, "shard_nbytes": 20_000} | fields
        sources = tuple(path if isinstance(path, dict) else str(path) for path in paths)
        return convert(load_recipe(paths=sources, **options), client=client, catalog=Catalog())

    return run


def is_kept(inline: int, crossline: int) -> bool:
    return (inline + crossline) % 7 != 0


@pytest.fixture
def stacks(make_segy: Any) -> dict[str, Any]:
    """Near, mid and far stack and a label: other formats, byte orders, file headers and orders of traces."""
    volume = np.random.default_rng(3).normal(size=(12, 9, SAMPLE_COUNT)).astype(np.float32)
    volume[4, 5] = 0
    made = {
        "near": make_segy("near.sgy", volume=volume, keep=is_kept),
        "mid": make_segy("mid.sgy", volume=2 * volume, keep=is_kept, sample_format=5, endian="little"),
        "far": make_segy("far.sgy", volume=3 * volume[::-1], keep=is_kept, sample_format=5),
        "salt": make_segy("salt.sgy", volume=(volume > 0).astype(np.float32), keep=is_kept),
    }
    spoil(made["near"].path, "big", [0x40000001, 0x7FFFFFFF, 0x80000000])  # words that float32 cannot carry
    spoil(made["mid"].path, "little", [0x7FC12345, 0xFF800000, 0x80000000])
    reorder(made["far"].path)
    rename(made["mid"].path, "THE MID STACK, WITH A TEXT HEADER OF ITS OWN")
    return made


def spoil(path: Path, endian: str, words: list[int]) -> None:
    """Puts words into the second trace."""
    with path.open("r+b") as file:
        file.seek(3600 + TRACE_NBYTES + HEADER_NBYTES)
        file.write(b"".join(word.to_bytes(4, endian) for word in words))


def reorder(path: Path) -> None:
    """Shuffles the traces of a file, and marks each header by a byte that nobody reads."""
    content = np.fromfile(path, np.uint8)
    traces = content[3600:].reshape(-1, TRACE_NBYTES)
    random = np.random.default_rng(5)
    traces[:] = traces[random.permutation(len(traces))]
    traces[:, 235] = random.integers(0, 256, len(traces))
    content.tofile(path)


def rename(path: Path, text: str) -> None:
    content = path.read_bytes()
    path.write_bytes(text.ljust(80).encode("cp037") + content[80:])


def test_near_mid_and_far_come_back_byte_for_byte_without_their_sources(
    stacks: dict[str, Any], convert_files: Callable[..., Entry], tmp_path: Path
) -> None:
    contents = {name: made.path.read_bytes() for name, made in stacks.items()}
    entry = convert_files(
        stacks["near"].path,
        variable="near",
        volumes={name: (str(stacks[name].path),) for name in ("mid", "far")},
        labels={"salt": {"paths": (str(stacks["salt"].path),), "classes": CLASSES}},
        splits={"train": ("inline:0%:50%",)},
    )
    for made in stacks.values():
        made.path.unlink()
    assert entry.main_variable == "near"
    assert [entry.variables[name].role for name in ("near", "mid", "far")] == [Role.INPUT] * 3
    assert [source.variable for source in entry.sources] == ["near", "mid", "far", "salt"]
    assert Catalog().open("x") == entry  # judges the store as well
    assert check_store(entry) == []

    with xr.open_zarr(entry.url) as dataset:
        for name in ("near", "mid", "far"):
            assert dataset[name].dims == ("inline", "crossline", "time")
            as_made = np.s_[:] if name == "far" else np.s_[1:]  # one trace of the first inline was spoilt in the others
            np.testing.assert_array_equal(dataset[name][as_made], stacks[name].volume[as_made])
    for name in ("near", "mid", "far"):
        (written,) = export("x", out=tmp_path / f"{name}-again.sgy", variable=name, catalog=Catalog())
        assert written.read_bytes() == contents[name]


def test_a_label_is_exported_by_value_on_the_main_headers(
    stacks: dict[str, Any], convert_files: Callable[..., Entry], tmp_path: Path
) -> None:
    near, salt = stacks["near"], stacks["salt"]
    convert_files(
        near.path,
        variable="near",
        volumes={"far": (str(stacks["far"].path),)},
        labels={"salt": {"paths": (str(salt.path),), "classes": CLASSES}},
    )
    (written,) = export("x", out=tmp_path / "again.sgy", variable="salt", catalog=Catalog())
    with (
        segyio.open(str(written), ignore_geometry=True) as file,
        segyio.open(str(near.path), ignore_geometry=True) as n,
    ):
        assert [dict(file.header[i]) for i in range(9)] == [dict(n.header[i]) for i in range(9)]
        found = file.trace.raw[:]
        is_dead = ~(n.trace.raw[:] != 0).any(axis=1)
    with segyio.open(str(salt.path), ignore_geometry=True) as file:
        expected = file.trace.raw[:]
    expected[is_dead] = 255
    np.testing.assert_array_equal(found, expected)


def test_each_volume_has_headers_and_a_manifest_of_its_own(
    stacks: dict[str, Any], convert_files: Callable[..., Entry]
) -> None:
    far = stacks["far"]
    content = far.path.read_bytes()
    entry = convert_files(stacks["near"].path, variable="near", volumes={"far": (str(far.path),)})
    root = zarr.open_group(entry.url, mode="r")
    numbers: Any = root["source/far_trace_number"][...]  # type: ignore[index]
    headers: Any = root["source/far_trace_header"][...]  # type: ignore[index]
    assert np.asarray(root["source/far_file_header_0"][...]).tobytes() == content[:3600]  # type: ignore[index]
    assert sorted(numbers[numbers >= 0]) == list(range(len(content[3600:]) // TRACE_NBYTES))
    np.testing.assert_array_equal(numbers >= 0, np.asarray(root["trace_number"][...]) >= 0)  # type: ignore[index]
    for cell in np.argwhere(numbers >= 0)[::10]:
        start = 3600 + int(numbers[tuple(cell)]) * TRACE_NBYTES
        assert headers[tuple(cell)].tobytes() == content[start : start + HEADER_NBYTES]
    assert not headers[numbers < 0].any()
    samples: Any = root["far"][...]
    manifest = zarr.open_group(f"{entry.url}/manifest/far", mode="r")
    counts: Any = manifest["count"][...]
    assert counts.sum() == np.isfinite(samples[(samples != 0).any(axis=-1)]).sum()
    assert float(np.nanmax(manifest["maximum"][...])) == samples.max()  # type: ignore[arg-type]


def test_volumes_of_several_files(make_segy: Any, convert_files: Callable[..., Entry], tmp_path: Path) -> None:
    """The main survey is one file, the other volume two, and each goes back to the files that it came from."""
    whole = make_segy("whole.sgy", volume=np.random.default_rng(1).normal(size=(24, 9, 50)).astype(np.float32))
    first, second = make_segy("a.sgy", first_inline=100), make_segy("b.sgy", first_inline=124)
    contents = {path.name: path.read_bytes() for path in (first.path, second.path)}
    entry = convert_files(whole.path, volumes={"far": (str(second.path), str(first.path))})
    far = [source for source in entry.sources if source.variable == "far"]
    assert [source.first_trace for source in far] == [0, 12 * 9]
    written = export("x", out=tmp_path / "again", variable="far", catalog=Catalog())
    assert {path.name: path.read_bytes() for path in written} == contents
    np.testing.assert_array_equal(xr.open_zarr(entry.url)["far"], np.concatenate([first.volume, second.volume]))


@pytest.mark.parametrize("kind", ["flat", "stack2d"])
def test_volumes_of_traces_in_file_order(
    kind: str, make_segy: Any, convert_files: Callable[..., Entry], tmp_path: Path
) -> None:
    shape = (1, 60, 50)
    near = make_segy("near.sgy", volume=np.random.default_rng(1).normal(size=shape).astype(np.float32))
    far = make_segy("far.sgy", volume=np.random.default_rng(2).normal(size=shape).astype(np.float32))
    entry = convert_files(near.path, kind=kind, volumes={"far": (str(far.path),)})
    assert entry.kind == kind
    np.testing.assert_array_equal(xr.open_zarr(entry.url)["far"], far.volume[0])
    (written,) = export("x", out=tmp_path / "again.sgy", variable="far", catalog=Catalog())
    assert written.read_bytes() == far.path.read_bytes()


def test_a_rounded_volume_keeps_its_headers(stacks: dict[str, Any], convert_files: Any, tmp_path: Path) -> None:
    entry = convert_files(
        stacks["near"].path, variable="near", volumes={"far": (str(stacks["far"].path),)}, significant_bits=11
    )
    assert "samples are rounded to 11 significant bits, and are exported so" in entry.warnings
    for name in ("near", "far"):
        (loss,) = (warning for warning in entry.warnings if warning.startswith(f"{name}: rounding changed"))
        errors = zarr.open_array(f"{entry.url}/manifest/{name}/rounding_error", mode="r")[...]
        assert f"by more than {errors.max():.3g}, 0." in loss
    for name in ("near", "far"):
        (written,) = export("x", out=tmp_path / f"{name}-again.sgy", variable=name, catalog=Catalog())
        found, source = (np.fromfile(path, np.uint8) for path in (written, stacks[name].path))
        np.testing.assert_array_equal(found[:3600], source[:3600])
        found, source = (content[3600:].reshape(-1, TRACE_NBYTES) for content in (found, source))
        np.testing.assert_array_equal(found[:, :HEADER_NBYTES], source[:, :HEADER_NBYTES])
        assert (found != source).any()
    far, source_far = (np.ascontiguousarray(content[:, 240:]).view(">f4") for content in (found, source))
    np.testing.assert_allclose(far, source_far, rtol=2.0**-11)


def test_volumes_that_begin_at_different_times_are_told(make_segy: Any, convert_files: Callable[..., Entry]) -> None:
    near, far = make_segy("near.sgy"), make_segy("far.sgy")
    with far.path.open("r+b") as file:
        for trace in range(12 * 9):
            file.seek(3600 + trace * TRACE_NBYTES + 108)
            file.write((500).to_bytes(2, "big"))
    entry = convert_files(near.path, volumes={"far": (str(far.path),)})
    assert entry.warnings == (
        "far begins at 500 ms by its first trace header, and amplitude at 20: they are taken to begin together",
    )


def other_interval(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(3216)
        file.write((2000).to_bytes(2, "big"))
        for trace in range(12 * 9):
            file.seek(3600 + trace * TRACE_NBYTES + 116)
            file.write((2000).to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("options", "change", "sentence"),
    [
        ({"first_inline": 102}, None, "9 of the main survey's traces have no partner at their inline and crossline"),
        ({"keep": lambda i, x: (i, x) != (104, 303)}, None, "1 of the main survey's traces have no partner"),
        ({"volume": np.ones((13, 9, 50), np.float32)}, None, "and 9 of 117 traces lie elsewhere or twice"),
        ({"volume": np.ones((12, 9, 51), np.float32)}, None, "its sample count is 51, and the survey's is 50"),
        ({}, other_interval, "its sample interval us is 2000.0, and the survey's is 4000.0"),
    ],
    ids=["shifted", "with a hole", "longer", "more samples", "another interval"],
)
def test_a_volume_on_another_grid_is_refused(
    options: dict[str, Any],
    change: Callable[[Path], None] | None,
    sentence: str,
    make_segy: Any,
    convert_files: Callable[..., Entry],
    tmp_path: Path,
) -> None:
    near = make_segy("near.sgy")
    far = make_segy("far.sgy", **options)
    if change is not None:
        change(far.path)
    with pytest.raises(InputError, match="does not lie on the survey's grid") as refused:
        convert_files(near.path, volumes={"far": (str(far.path),)})
    assert str(refused.value).startswith(f"'far' ({far.path})")
    assert sentence in str(refused.value)
    assert not (tmp_path / "x.zarr").exists()
    assert (Catalog().names(), Catalog().unfinished_names()) == ([], [])


def test_a_flat_volume_of_other_length_is_refused(make_segy: Any, convert_files: Callable[..., Entry]) -> None:
    near = make_segy("near.sgy")
    far = make_segy("far.sgy", volume=np.ones((5, 9, 50), np.float32))
    with pytest.raises(InputError, match="expected 108 traces as in the main survey, found 45"):
        convert_files(near.path, kind="flat", volumes={"far": (str(far.path),)})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"volumes": {"amplitude": ["b.sgy"]}}, "amplitude, amplitude are not all different"),
        ({"volumes": {"far": ["b.sgy"]}, "labels": {"far": {"paths": ["c.sgy"], "classes": CLASSES}}}, "far, far"),
        ({"volumes": {"cdp_x": ["b.sgy"]}}, "cdp_x cannot name a variable"),
        ({"volumes": {"source": ["b.sgy"]}}, "source cannot name a variable"),
        ({"volumes": {"zarr.json": ["b.sgy"]}}, "zarr.json cannot name a variable"),
        ({"volumes": {"a/b": ["b.sgy"]}}, "String should match pattern"),
        ({"volumes": {"far": []}}, "--volume far"),
    ],
)
def test_names_that_collide_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        load_recipe(name="x", out="x.zarr", paths=["a.sgy"], **fields)
    assert sentence in str(refused.value)


def test_volumes_by_options(stacks: dict[str, Any], catalog_folder: Path, tmp_path: Path) -> None:
    """As on the command line: a volume named twice has two files."""
    near, far = stacks["near"].path, stacks["far"].path
    arguments = ["convert", str(near), "--name", "x", "--out", str(tmp_path / "x.zarr"), "--variable", "near"]
    arguments += ["--volume", f"far={far}", "--volume", f"mid={stacks['mid'].path}", "--scheduler", "threads"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    checked = CliRunner().invoke(data_catalog_app, ["check", "x"])
    assert checked.output == f"x: {len(Catalog().open('x').variables)} variables keep to SPEC.md\n"
    assert {"near", "mid", "far"} <= Catalog().open("x").variables.keys()
    target = tmp_path / "again.sgy"
    exported = CliRunner().invoke(app, ["export", "x", "--variable", "far", "--out", str(target)])
    assert exported.exit_code == 0, exported.output
    assert target.read_bytes() == far.read_bytes()


def test_two_files_of_one_volume_by_options(make_segy: Any, catalog_folder: Path, tmp_path: Path) -> None:
    whole = make_segy("whole.sgy", volume=np.ones((24, 9, 50), np.float32))
    parts = [make_segy("a.sgy", first_inline=100), make_segy("b.sgy", first_inline=124)]
    arguments = ["convert", str(whole.path), "--name", "x", "--out", str(tmp_path / "x.zarr"), "--scheduler", "threads"]
    arguments += [option for part in parts for option in ("--volume", f"far={part.path}")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    np.testing.assert_array_equal(xr.open_zarr(Catalog().open("x").url)["far"][12:], parts[1].volume)


def move_words(path: Path, moves: dict[int, int], *, sample_count: int = SAMPLE_COUNT) -> None:
    """Moves 4-byte header words from one position, counted from 1, to another, and leaves 0 behind."""
    content = np.fromfile(path, np.uint8)
    traces = content[3600:].reshape(-1, HEADER_NBYTES + 4 * sample_count)
    for origin, target in moves.items():
        traces[:, target - 1 : target + 3] = traces[:, origin - 1 : origin + 3]
        traces[:, origin - 1 : origin + 3] = 0
    content.tofile(path)


MOVED = {189: 9, 193: 21}
POSITIONS = {"inline": 9, "crossline": 21, "cdp": 1}


def test_files_with_header_positions_of_their_own(
    make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    """A YAML recipe of two files, as two contractors delivered them, and of a volume as a third one did."""
    whole = np.random.default_rng(1).normal(size=(24, 9, 50)).astype(np.float32)
    first, second = make_segy("a.sgy"), make_segy("b.sgy", first_inline=124)
    far = make_segy("far.sgy", volume=whole)
    move_words(second.path, MOVED)
    move_words(far.path, {189: 41, 193: 45})
    contents = {path.name: path.read_bytes() for path in (first.path, second.path)}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "name": "x",
                "out": str(tmp_path / "x.zarr"),
                "paths": [str(first.path), {"path": str(second.path), "header_bytes": POSITIONS}],
                "volumes": {"far": [{"path": str(far.path), "header_bytes": {"inline": 41, "crossline": 45}}]},
            }
        )
    )
    entry = convert(load_recipe(recipe), client=client, catalog=Catalog())
    dataset = xr.open_zarr(entry.url)
    np.testing.assert_array_equal(dataset["inline"], np.concatenate([first.inlines, second.inlines]))
    np.testing.assert_array_equal(dataset["amplitude"], np.concatenate([first.volume, second.volume]))
    np.testing.assert_array_equal(dataset["far"], far.volume)
    first.path.unlink()
    written = export("x", out=tmp_path / "again", catalog=Catalog())
    assert {path.name: path.read_bytes() for path in written} == contents


def test_positions_of_all_files_hold_where_a_file_has_none(make_segy: Any) -> None:
    first, second = make_segy("a.sgy"), make_segy("b.sgy", first_inline=124)
    move_words(first.path, MOVED)
    survey = open_survey(
        (SourceFile(path=str(first.path)), SourceFile(path=str(second.path), header_bytes=HeaderBytes())),
        HeaderBytes.model_validate(POSITIONS),
    )
    words = survey.read_header_words(np.array([0, 12 * 9]))
    assert (words["inline"].tolist(), words["crossline"].tolist()) == ([100, 124], [300, 300])


@pytest.fixture
def lines(make_segy: Any, tmp_path: Path) -> Path:
    """A folder of files that a pattern tells apart from others."""
    folder = tmp_path / "lines"
    folder.mkdir()
    for number, first_inline in ((10, 148), (2, 124), (1, 100)):
        made = make_segy("made.sgy", first_inline=first_inline)
        shutil.move(made.path, folder / f"line_{number:02d}.sgy")
    (folder / "readme.txt").write_text("not seismic")
    return folder


@pytest.mark.parametrize("pattern", ["line_*.sgy", "line_??.sgy", "line_[01][0-2].sgy", "*/line_*.sgy"])
def test_a_pattern_stands_for_all_files_that_match(lines: Path, pattern: str) -> None:
    path = str(lines.parent / pattern) if "/" in pattern else str(lines / pattern)
    survey = open_survey((path,), HeaderBytes())
    assert [Path(file.url).name for file in survey.files] == ["line_01.sgy", "line_02.sgy", "line_10.sgy"]
    assert all(Path(file.url).is_absolute() for file in survey.files)


def test_a_pattern_with_positions(lines: Path) -> None:
    for path in lines.glob("*.sgy"):
        move_words(path, MOVED)
    source = SourceFile(path=str(lines / "*.sgy"), header_bytes=HeaderBytes.model_validate(POSITIONS))
    survey = open_survey((source,), HeaderBytes())
    words = survey.read_header_words(np.array([0, 12 * 9, 24 * 9]))
    assert words["inline"].tolist() == [100, 124, 148]


def test_patterns_are_converted_in_order(lines: Path, convert_files: Callable[..., Entry]) -> None:
    entry = convert_files(lines / "*.sgy", volumes={"far": (str(lines / "line_*.sgy"),)})
    assert entry.sizes["inline"] == 36
    names = ["line_01.sgy", "line_02.sgy", "line_10.sgy"]
    assert [Path(source.url).name for source in entry.sources] == names * 2
    assert entry.recipe["paths"] == [{"path": str(lines / "*.sgy"), "header_bytes": None, "reading": None}]


def test_a_file_whose_name_looks_like_a_pattern(make_segy: Any, tmp_path: Path) -> None:
    for name in ("line[1].sgy", "line1.sgy"):
        shutil.move(make_segy("made.sgy").path, tmp_path / name)
    survey = open_survey((str(tmp_path / "line[1].sgy"),), HeaderBytes())
    assert [Path(file.url).name for file in survey.files] == ["line[1].sgy"]


def test_a_pattern_on_an_object_store(lines: Path, bucket_url: str) -> None:
    from s3fs import S3FileSystem

    for path in lines.glob("*.sgy"):
        S3FileSystem().put_file(str(path), f"{bucket_url}/raw/{path.name}")
    survey = open_survey((f"{bucket_url}/raw/line_*.sgy",), HeaderBytes())
    assert [file.url for file in survey.files] == [
        f"{bucket_url}/raw/line_{number}.sgy" for number in ("01", "02", "10")
    ]


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches .*/\*\.sgy: check the pattern"):
        open_survey((str(tmp_path / "*.sgy"),), HeaderBytes())


def test_a_pattern_for_an_unknown_storage() -> None:
    with pytest.raises(InputError, match=r"nowhere://lines/\*\.sgy cannot be opened"):
        open_survey(("nowhere://lines/*.sgy",), HeaderBytes())


def test_a_pattern_has_its_files_sorted_as_text(make_segy: Any, tmp_path: Path) -> None:
    """As a shell hands them over where the pattern is not quoted: it is the same survey either way."""
    for number in (2, 10, 1):
        shutil.move(make_segy("made.sgy").path, tmp_path / f"line{number}.sgy")
    survey = open_survey((str(tmp_path / "line*.sgy"),), HeaderBytes())
    assert [Path(file.url).name for file in survey.files] == ["line1.sgy", "line10.sgy", "line2.sgy"]


def test_a_pattern_that_matches_a_file_named_before(lines: Path) -> None:
    with pytest.raises(InputError, match=r"line_02\.sgy is named twice"):
        open_survey((str(lines / "line_02.sgy"), str(lines / "*.sgy")), HeaderBytes())
