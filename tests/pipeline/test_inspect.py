"""`inspect`: what it finds, the recipe that `convert` takes, and the picture."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

from data_catalog import Catalog, command_line
from pipeline.__main__ import app
from pipeline.survey.inference import stated_positions

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, catalog_folder: Path) -> Run:
    """Runs a command in this process; returns exit status, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            command_line.run(app, name="python -m pipeline")
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def odd_file(write_headers: Any) -> Path:
    """Lines where Petrel writes them, a hole, a repeated trace, dead and NaN traces, and an end that is missing."""
    cells = [(i, x) for i in range(5) for x in range(8)]
    cells = [*cells[:11], *cells[12:], cells[3]]
    samples = np.random.default_rng(0).normal(size=(len(cells), 60)).astype(np.float32)
    samples[4], samples[7, 9] = 0, np.nan
    path = write_headers(
        samples=samples, bytes_5_to_8=[10 + i for i, _ in cells], bytes_21_to_24=[200 + 2 * x for _, x in cells]
    )
    path.write_bytes(path.read_bytes() + path.read_bytes()[3600:3900])
    return path


def test_everything_odd_is_told(odd_file: Path, run: Run) -> None:
    status, printed, _ = run("inspect", odd_file, "--json")
    assert status == 0
    found = json.loads(printed)
    assert (found["kind"], {name: axis["size"] for name, axis in found["axes"].items()}) == (
        "stack3d",
        {"inline": 5, "crossline": 8, "time": 60},
    )
    assert (found["header_words"]["inline"]["first_byte"], found["header_words"]["crossline"]["first_byte"]) == (5, 21)
    best = next(candidate for candidate in found["candidates"] if candidate["fits"])
    assert best["words"] == {"inline": "5-8", "crossline": "21-24"}
    assert found["files"][0]["missing_nbytes"] == 240 + 240 - 300
    odd = " ".join(found["odd"])
    for told in ("ends within trace 40", "2 traces repeat", "grid cells hold no trace", "1 of 41 traces looked at are"):
        assert told in odd
    assert "1 of 41 traces looked at hold NaN" in odd


def test_a_recipe_and_a_picture_are_written(odd_file: Path, run: Run, tmp_path: Path) -> None:
    recipe, picture = tmp_path / "odd.yaml", tmp_path / "odd.png"
    status, printed, _ = run("inspect", odd_file, "--recipe", recipe, "--picture", picture)
    assert status == 0
    assert "kind: stack3d (inline 5, crossline 8, time 60)" in printed
    assert "--header-byte inline=5-8 --header-byte crossline=21-24 --name headers" in printed
    image = imread(picture)
    assert min(image.shape[:2]) >= 700
    assert len(np.unique(image[..., 0])) > 50
    values = yaml.safe_load(recipe.read_text())
    assert values["header_bytes"] == {"inline": "5-8", "crossline": "21-24"}
    assert (values["duplicates"], values["reading"]) == ("first", {"truncated": "salvage"})
    status, _, said = run("convert", recipe, "--out", tmp_path / "x.zarr", "--scheduler", "threads")
    assert status == 0, said
    entry = Catalog().read("headers")
    assert entry.fates == {"kept": 38, "nonfinite": 1, "repeated": 2}
    status, _, said = run("inspect", odd_file, "--recipe", recipe)
    assert status == 2
    assert "odd.yaml exists" in said


def test_seismic_unix_by_its_recipe(write_headers: Any, run: Run, tmp_path: Path) -> None:
    """Of several files, whose words from byte 181 on are not those of SEG-Y."""
    for shot in range(3):
        path = write_headers(
            f"{shot}.sgy",
            samples=np.ones((4, 9), np.float32),
            shot=shot + 7,
            channel=np.arange(1, 5),
            offset=25 * np.arange(4),
            bytes_181_to_184=np.arange(4) * 1_000_003,
        )
        path.with_suffix(".su").write_bytes(path.read_bytes()[3600:])
    recipe = tmp_path / "shots.yaml"
    status, printed, _ = run("inspect", tmp_path / "*.su", "--recipe", recipe)
    assert status == 0
    assert f"python -m pipeline convert '{tmp_path}/*.su' --name survey" in printed
    values = yaml.safe_load(recipe.read_text())
    assert (values["kind"], values["header_bytes"]) == ("shots", {"shot": "9-12", "channel": "13-16"})
    status, _, said = run("convert", recipe, "--out", tmp_path / "x.zarr", "--scheduler", "threads")
    assert status == 0, said
    entry = Catalog().read("survey")
    assert (entry.sizes["shot"], entry.sizes["channel"]) == (3, 4)
    assert "cdp_x" not in entry.variables


def test_presets_and_positions(odd_file: Path, run: Run, tmp_path: Path) -> None:
    status, printed, _ = run("inspect", odd_file, "--preset", "petrel", "--json")
    assert (status, json.loads(printed)["kind"]) == (0, "stack3d")
    status, printed, _ = run("inspect", odd_file, "--preset", "petrel", "--header-byte", "crossline=9", "--json")
    assert json.loads(printed)["kind"] != "stack3d"
    for option, told in (
        (("--preset", "nonsense"), "choose one of rev1, petrel"),
        (("--header-byte", "inline=1-9"), "a word has two or four of the bytes"),
        (("--header-byte", "nonsense=9"), "--header-byte nonsense: there is no such word"),
        (("--truncated", "maybe"), "--truncated"),
        (("--format", "segd"), "--format"),
    ):
        status, _, said = run("inspect", odd_file, *option)
        assert status == 2
        assert told in said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("C37 INLINE: 189, XLINE: 193,", {"inline": 189, "crossline": 193}),
        ("C24 Inline number               : bytes 5-8", {"inline": 5}),
        ("C25 Xline number                : bytes 21-24", {"crossline": 21}),
        ("C24 ILINE 189 Integer - 4 byte", {"inline": 189}),
        ("C12   INLINE BYTES 189-193    | OFFSET BYTES 037-041", {"inline": 189}),
        ("C 4 First inline: 10087  Last inline: 10155", {}),
        ("C 4 First inline: 100  Last inline: 150", {}),
        ("C 9 the outline of 25 fields", {}),
    ],
)
def test_what_text_headers_say_of_positions(line: str, expected: dict[str, int]) -> None:
    text = "".join(f"{each:<80}" for each in ("C 1 CLIENT", line, "C40 END"))
    for encoding in ("cp037", "ascii"):
        assert stated_positions(text.ljust(3200).encode(encoding)) == expected
