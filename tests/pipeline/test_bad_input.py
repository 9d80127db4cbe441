"""Wrong input through the command line: exit status 2, a sentence, no traceback, nothing left behind."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_catalog import Catalog, command_line
from pipeline.__main__ import app

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], catalog_folder: Path) -> Run:
    """Runs a command in this process; returns exit status and stderr."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            command_line.run(app, name="python -m pipeline")
        return int(stopped.value.code or 0), capsys.readouterr().err

    return call


def damaged(kind: str, good: Path) -> Path:
    content = good.read_bytes()
    path = good.with_name(f"{kind}.sgy")
    match kind:
        case "truncated":
            path.write_bytes(content[:3700])
        case "text":
            path.write_text("dear diary, today I renamed a letter\n" * 500)
        case "empty":
            path.write_bytes(b"")
        case "header-only":
            path.write_bytes(content[:3600])
        case "no-samples":
            path.write_bytes(content[:3220] + b"\0\0" + content[3222:3714] + b"\0\0" + content[3716:])
        case "no-format":
            path.write_bytes(content[:3224] + (13).to_bytes(2, "big") + content[3226:-1])
        case "folder":
            path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("truncated", "has 3700 bytes"),
        ("text", "is not SEG-Y"),
        ("empty", "has 0 bytes"),
        ("header-only", "has 3600 bytes"),
        ("no-samples", "states no sample count"),
        ("no-format", "should hold a sample format code from 1 to 16, and hold 13 (big endian)"),
        ("folder", "is a folder"),
        ("missing", "cannot be opened"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_a_file_that_cannot_be_used(
    kind: str, sentence: str, command: str, run: Run, make_segy, tmp_path: Path
) -> None:
    path = damaged(kind, make_segy().path)
    target = tmp_path / "x.zarr"
    options = ["--name", "x", "--out", target, "--scheduler", "threads"] if command == "convert" else []
    status, errors = run(command, path, *options)
    assert status == 2
    assert sentence in errors
    assert "Traceback" not in errors
    assert not target.exists()
    assert Catalog().names() == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--name", "x"], "--out is missing: it says where the store goes."),
        (["--name", "a/b", "--out", "OUT"], "--name: String should match pattern"),
        (["--name", "x", "--out", "/dev/null/x"], "/dev/null/x cannot be read or written"),
        (["--name", "x", "--out", "FULL"], "already in use"),
        (["--name", "x", "--out", "OUT", "--catalog", "/dev/null/catalog"], "catalog folder /dev/null/catalog"),
        (["--name", "x", "--out", "OUT", "--split", "train=depth:1:2"], "DIM one of inline, crossline, time"),
        (["--name", "x", "--out", "OUT", "--split", "train=inline:0%:60%", "--split", "test=inline:50%:90%"], "share"),
        (["--name", "x", "--out", "OUT", "--label", "salt=salt.sgy"], "needs its --classes"),
        (["--name", "x", "--out", "OUT", "--label", "salt"], "--label takes NAME="),
        (["--name", "x", "--out", "OUT", "--variable", "time"], "time cannot name a variable"),
        (["--name", "x", "--out", "OUT", "--memory", "lots"], "--memory lots is no size"),
        (["--name", "x", "--out", "OUT", "--memory", "4"], "--memory 4 is 4 bytes, and a worker takes 256MiB"),
        (["--name", "x", "--out", "foo://bucket/x.zarr"], "foo://bucket/x.zarr cannot be opened: Protocol not known"),
        (["--name", "x", "--out", "OUT", "--significant-bits", "99"], "--significant-bits: Input should be less than"),
        (["--name", "x", "--out", "OUT", "--split", "train=inline:0%:160%"], "shares go from 0% to 100%"),
        (
            ["--name", "x", "--out", "OUT", "--inline-byte", "189", "--crossline-byte", "189"],
            "--inline-byte, --crossline-byte: inline and crossline numbers cannot both be at byte 189",
        ),
        (["--name", "x", "--out", "OUT", "--split", "train=inline:1..2:105"], "is not DIM:FIRST:LAST"),
        (["--name", "x", "--out", "OUT", "--codec", "mp3"], "--codec: Input should be"),
        (["--name", "x", "--out", "OUT", "--kind", "shots"], "the traces do not make a shots"),
        (["--name", "x", "--out", "OUT", "--kind", "examples"], "does not make a dataset of kind examples"),
        (["--name", "x", "--out", "OUT", "--inline-byte", "37"], ""),
        (["--name", "x", "--out", "OUT", "--scheduler", "nonsense://x"], "no Dask scheduler answers"),
    ],
)
def test_a_call_that_is_wrong(options: list[str], sentence: str, run: Run, make_segy, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    places = {"OUT": str(tmp_path / "x.zarr"), "FULL": str(full)}
    arguments = [places.get(option, option) for option in options]
    if "--scheduler" not in arguments:
        arguments += ["--scheduler", "threads"]
    if not sentence:
        arguments += ["--kind", "stack3d"]
        sentence = "the traces do not make a stack3d"
    status, errors = run("convert", make_segy().path, *arguments)
    assert status == 2
    assert sentence in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "x.zarr").exists()
    assert (full / "thesis.txt").read_text() == "mine"
    assert Catalog().names() == []


def test_a_misspelt_key_in_a_recipe_lists_every_problem(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("nmae: x\npaths: [a.sgy]\nkind: cube\nheader_bytes: {inline: 300}\n")
    status, errors = run("convert", recipe)
    assert status == 2
    for place in ("recipe.name", "recipe.nmae", "recipe.kind", "recipe.header_bytes.inline", "recipe.out"):
        assert place in errors


def test_a_recipe_and_options_are_merged_key_by_key(run: Run, make_segy, tmp_path: Path) -> None:
    made = make_segy()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: x\npaths: [{made.path}]\nout: {tmp_path}/x.zarr\nheader_bytes: {{cdp_x: 185, cdp_y: 181}}\n"
    )
    assert run("convert", recipe, "--cdp-byte", "1", "--scheduler", "threads")[0] == 0
    header_bytes = Catalog().read("x").recipe["header_bytes"]
    stated = {name: position for name, position in header_bytes.items() if position is not None}
    assert stated == {"cdp": 1, "cdp_x": 185, "cdp_y": 181}


def test_an_ignore_value_that_is_a_class(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: x\npaths: [a]\nout: b\nlabels: {salt: {paths: [c], classes: {0: rock}, ignore_value: 0}}\n"
    )
    status, errors = run("convert", recipe)
    assert status == 2
    assert "recipe.labels.salt: Value error, ignore_value 0 is one of the classes" in errors


def test_an_export_replaces_a_file_only_when_told_and_a_source_never(run: Run, make_segy, tmp_path: Path) -> None:
    path = make_segy().path
    run("convert", path, "--name", "x", "--out", tmp_path / "x.zarr", "--scheduler", "threads")
    other = tmp_path / "other.sgy"
    other.write_text("mine")
    status, errors = run("export", "x", "--out", other)
    assert (status, other.read_text()) == (2, "mine")
    assert "say --overwrite" in errors
    assert run("export", "x", "--out", other, "--overwrite")[0] == 0
    assert other.read_bytes() == path.read_bytes()
    content = path.read_bytes()
    (tmp_path / "link.sgy").symlink_to(path)
    for same in (path, tmp_path / "x.zarr" / ".." / path.name, tmp_path / "link.sgy"):
        status, errors = run("export", "x", "--out", same, "--overwrite")
        assert status == 2
        assert "is a source of 'x', which is never replaced" in errors
        assert path.read_bytes() == content


def test_an_export_of_a_dataset_that_lost_traces(run: Run, make_segy, tmp_path: Path) -> None:
    run("convert", make_segy().path, "--name", "x", "--out", tmp_path / "x.zarr")
    for lost in (tmp_path / "x.zarr/trace_number/c").rglob("*"):
        if lost.is_file():
            lost.unlink()
    status, errors = run("export", "x", "--out", tmp_path / "out.sgy")
    assert status == 1
    assert "parts of it were lost" in errors
    assert not (tmp_path / "out.sgy").exists()


def test_a_file_named_twice(run: Run, make_segy, tmp_path: Path) -> None:
    path = make_segy().path
    status, errors = run("convert", path, path, "--name", "x", "--out", tmp_path / "x.zarr")
    assert status == 2
    assert "is named twice" in errors


def test_an_export_onto_a_folder(run: Run, make_segy, tmp_path: Path) -> None:
    run("convert", make_segy().path, "--name", "x", "--out", tmp_path / "x.zarr", "--scheduler", "threads")
    status, errors = run("export", "x", "--out", tmp_path)
    assert status == 2
    assert "is a folder: name the file to write" in errors


@pytest.mark.parametrize("count", [7, -1])
def test_junk_where_revision_1_has_its_text_header_count(run: Run, make_segy, tmp_path: Path, count: int) -> None:
    path = make_segy().path
    content = bytearray(path.read_bytes())
    content[3500:3502] = b"\0\0"
    content[3504:3506] = count.to_bytes(2, "big", signed=True)
    path.write_bytes(content)
    assert run("convert", path, "--name", "x", "--out", tmp_path / "x.zarr", "--scheduler", "threads")[0] == 0
    assert Catalog().read("x").kind == "stack3d"


def test_a_conversion_that_is_ended_says_how_to_discard_it(make_segy, catalog_folder: Path, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(60, 200, 400)).astype(np.float32)
    target = tmp_path / "x.zarr"
    command = [sys.executable, "-m", "pipeline", "convert", str(make_segy(volume=volume).path)]
    options = ["--name", "x", "--out", str(target), "--scheduler", "threads", "--workers", "1"]
    process = subprocess.Popen(command + options, stderr=subprocess.PIPE, text=True)
    while not (target / "amplitude").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + 15
    assert "Traceback" not in errors
    assert Catalog().names() == []
    assert Catalog().unfinished_names() == ["x"]
    assert "shards are kept: the same command goes on from there" in errors
    assert "`python -m data_catalog remove x` discards them" in errors
    subprocess.run([sys.executable, "-m", "data_catalog", "remove", "x", "--yes"], check=True, capture_output=True)
    assert not target.exists()
    assert Catalog().unfinished_names() == []


def test_a_name_that_is_taken(run: Run, make_segy, tmp_path: Path) -> None:
    path = make_segy().path
    first = run("convert", path, "--name", "x", "--out", tmp_path / "x.zarr", "--scheduler", "threads")
    assert first[0] == 0
    before = (tmp_path / "catalog/x.json").read_bytes()
    status, errors = run("convert", path, "--name", "x", "--out", tmp_path / "y.zarr", "--scheduler", "threads")
    assert status == 2
    assert "already has a dataset named 'x'" in errors
    assert not (tmp_path / "y.zarr").exists()
    assert (tmp_path / "catalog/x.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export", "nothing", "--out", "x.sgy"], "no dataset named 'nothing'"),
        (["convert", "missing.yaml"], "cannot be read"),
        (["convert"], "Missing argument"),
        (["convert", "a.sgy", "--nmae", "x"], "No such option"),
    ],
)
def test_other_calls(arguments: list[str], sentence: str, run: Run) -> None:
    status, errors = run(*arguments)
    assert status == 2
    assert sentence in errors


def test_an_export_that_cannot_be_written(run: Run, make_segy, tmp_path: Path) -> None:
    run("convert", make_segy().path, "--name", "x", "--out", tmp_path / "x.zarr", "--scheduler", "threads")
    status, errors = run("export", "x", "--out", "/dev/null/x.sgy")
    assert status == 2
    assert "cannot be written" in errors


def test_the_shell_sees_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "inspect", str(tmp_path / "gone.sgy")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
