"""The web site of a catalog: what it shows, how little it reads, and that nothing in a dataset can break it."""

import html
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from html.parser import HTMLParser
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import zarr
from PIL import Image

from data_catalog import Catalog, Entry, InputError, Kind, Role
from data_catalog.unfinished import begin_unfinished, write_unfinished
from data_catalog.views.page import write_page
from data_catalog.views.page.trainer_recipe import trainer_recipe
from tests.data_catalog.called import called
from tests.data_catalog.huge_store import write_huge_dataset
from tests.data_catalog.written_store import Made, a_source, classes, dipping, folder_of, write_dataset

STACK = ("inline", "crossline", "time")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "catalog").mkdir()
    return Catalog(tmp_path / "catalog")


def a_stack(catalog: Catalog, name: str = "stack", **more: Any) -> Entry:
    """A volume with salt, a zone and a horizon beside it, and a network's prediction of the salt."""
    shape = (12, 20, 40)
    amplitude = dipping(shape)
    salt = np.where(amplitude > 0, 1, 0)
    salt[:, :, :5] = 255
    horizon = np.full(shape[:2], 60.0, np.float32)
    horizon[:, 15:] = np.nan
    x, y = np.meshgrid(np.arange(12) * 25.0, np.arange(20) * 12.5, indexing="ij")
    variables = {
        "amplitude": Made(Role.INPUT, STACK, amplitude, {"units": "mV"}),
        "salt": classes(STACK, salt, "rock", "salt"),
        "cdp_x": Made(Role.COORDINATE, STACK[:2], 450000 + x + y, {"units": "m", "long_name": "map east"}),
        "cdp_y": Made(Role.COORDINATE, STACK[:2], 6780000 + y - x, {"units": "m"}),
        "time": Made(Role.COORDINATE, ("time",), np.arange(40) * 4.0, {"units": "ms"}),
        "live": Made(Role.COORDINATE, STACK[:2], np.ones(shape[:2], bool)),
    }
    derived = {
        "zones": {
            "label": classes(STACK, amplitude > 50, "upper", "middle", "lower"),
            "top": Made(Role.PICK, STACK[:2], horizon, {"units": "ms"}),
        },
        "unet": {"salt_probability": Made(Role.PREDICTION, STACK, 0.5 + amplitude / 256)},
    }
    splits = {"train": ({"inline": (0, 7)},), "validation": ({"inline": (8, 9)},), "test": ({"inline": (10, 12)},)}
    usual = {"splits": splits, "sources": (a_source("/data/survey.sgy"),), "text_header": "C 1 CLIENT A TEST"}
    return write_dataset(catalog, name, variables, kind=Kind.STACK3D, derived=derived, **(usual | more))


def text_of(site: Path, name: str) -> str:
    return (site / "datasets" / f"{name}.html").read_text()


class Tags(HTMLParser):
    """All tags of a page with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        opened.load()
        return opened.size


def pictures_of(site: Path, name: str) -> dict[str, tuple[int, int]]:
    """Sizes of the pictures that a page shows, by their alternative texts."""
    page = Tags(text_of(site, name))
    return {str(each["alt"]): size_of(site / "datasets" / str(each["src"])) for each in page.all("img")}


def test_a_site_has_a_page_for_each_dataset(catalog: Catalog, tmp_path: Path) -> None:
    a_stack(catalog)
    line = dipping((60, 30))
    write_dataset(catalog, "line", {"amplitude": Made(Role.INPUT, ("trace", "time"), line)}, kind=Kind.STACK2D)
    assert write_page(catalog, tmp_path / "site") == {}
    index = Tags((tmp_path / "site/index.html").read_text())
    assert {each["href"] for each in index.all("a")} == {"datasets/stack.html", "datasets/line.html"}
    for each in index.all("img"):
        assert size_of(tmp_path / "site" / str(each["src"])) == (320, 200)
    found = pictures_of(tmp_path / "site", "stack")
    assert [alt.partition(":")[0] for alt in found if alt.startswith("Image")] == [
        "Image of amplitude at inline 6",
        "Image of amplitude at crossline 10",
        "Image of amplitude at time 80 ms",
    ]
    assert "Histogram of amplitude" in found
    assert "Map of the traces by cdp_x, cdp_y, with splits train, validation, test" in found
    assert sum(path.stat().st_size for path in (tmp_path / "site").rglob("*stack*/*")) < 1e6


def test_nothing_comes_from_elsewhere(catalog: Catalog, tmp_path: Path) -> None:
    a_stack(catalog)
    write_page(catalog, tmp_path / "site")
    for path in (tmp_path / "site").rglob("*.html"):
        for _, attributes in Tags(path.read_text()).found:
            for place in filter(None, (attributes.get("src"), attributes.get("href"))):
                assert place == "data:," or (path.parent / place).resolve().is_relative_to(tmp_path / "site")
                assert place == "data:," or (path.parent / place).is_file()
    assert {path.suffix for path in (tmp_path / "site").rglob("*") if path.is_file()} == {".html", ".webp", ""}


def test_a_page_says_what_the_dataset_is(catalog: Catalog, tmp_path: Path) -> None:
    entry = a_stack(catalog, warnings=("odd headers",), recipe={"out": "here", "reading": {"truncated": "salvage"}})
    write_page(catalog, tmp_path / "site")
    page = Tags(text_of(tmp_path / "site", "stack"))
    words = " ".join(" ".join(page.words).split())
    for said in (
        "stack3d: inline 12, crossline 20, time 40",
        "odd headers",
        "C 1 CLIENT A TEST",
        "/data/survey.sgy",
        "reading truncated salvage",
        f'xarray.open_zarr("{entry.url}/derived/zones")',
        "train inline 0 to 6",
        "made by a test",
        "cdp_x 450000 450512.5 m",
    ):
        assert said in words, said
    assert "out: here" in words, "the whole recipe, as YAML"


def snippets_of(site: Path, name: str) -> list[str]:
    """What a page offers to copy."""
    found = re.findall(r'<div class="snippet">.*?<pre[^>]*>(.*?)</pre>', text_of(site, name), re.DOTALL)
    return [html.unescape(text) for text in found]


@pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated metadata:RuntimeWarning")
def test_the_snippet_opens_the_dataset(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xarray")
    a_stack(catalog)
    write_page(catalog, tmp_path / "site")
    by_name, by_place, *_ = snippets_of(tmp_path / "site", "stack")
    monkeypatch.setenv("TRACEMILL_CATALOG", catalog.place)
    names: dict[str, Any] = {}
    exec(by_name, names)
    assert names["dataset"]["amplitude"].dims == STACK
    exec(by_place, names)


def a_large_label(catalog: Catalog, *, splits: bool) -> Entry:
    shape = (40, 48, 48)
    amplitude = dipping(shape)
    boxes = {"train": ({"inline": (0, 24)},), "test": ({"inline": (30, 40)},)}
    return write_dataset(
        catalog,
        "0123",
        {
            "amplitude": Made(Role.INPUT, STACK, amplitude),
            "salt": classes(STACK, amplitude > 0, "rock", "salt"),
            "live": Made(Role.COORDINATE, STACK[:2], np.ones(shape[:2], bool)),
        },
        kind=Kind.STACK3D,
        splits=boxes if splits else {},
    )


@pytest.mark.slow
@pytest.mark.parametrize("splits", [True, False])
def test_the_trainer_s_snippet_trains(catalog: Catalog, tmp_path: Path, splits: bool) -> None:
    pytest.importorskip("torch")
    a_large_label(catalog, splits=splits)
    write_page(catalog, tmp_path / "site")
    *_, recipe, commands = snippets_of(tmp_path / "site", "0123")
    assert yaml.safe_load(recipe)["dataset"] == {"name": "0123", "variable": "amplitude", "label": "salt"}
    (tmp_path / "0123.yaml").write_text(recipe)
    environment = os.environ | {
        "TRACEMILL_CATALOG": catalog.place,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    assert len(commands.splitlines()) == (1 if splits else 2)
    for command in commands.splitlines():
        python, *arguments = shlex.split(command)
        short = ["--set", "steps=1", "--set", "trackers=[]"] if "trainer" in arguments else []
        done = subprocess.run(
            [sys.executable, *arguments, *short], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert python == "python"
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/0123/checkpoints").is_dir()


def test_a_dataset_without_store_is_told_of(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "gone", "smaller"):
        a_stack(catalog, name)
    (folder_of(catalog) / "gone.zarr").rename(folder_of(catalog) / "elsewhere")
    zarr.create_group(str(folder_of(catalog) / "smaller.zarr"), overwrite=True)
    Path(catalog.place, "torn.json").write_text('{"name": ')
    Path(catalog.place, "unfinished").mkdir()
    write_unfinished(Path(catalog.place, "unfinished/half.json"), begin_unfinished("half", "/data/half.zarr"))
    Path(catalog.place, "unfinished/odd.json").write_text("nothing")
    status = called(monkeypatch, "page", "--out", tmp_path / "site", "--catalog", catalog.place)
    said = capsys.readouterr().err
    assert status == 0
    assert [line.split(":")[1].strip() for line in said.splitlines()] == ["gone", "smaller", "odd", "torn"]
    index = (tmp_path / "site/index.html").read_text()
    for name in ("good", "gone", "smaller", "half", "torn", "odd"):
        assert name in index
    assert "/data/half.zarr" in index
    gone, good = text_of(tmp_path / "site", "gone"), text_of(tmp_path / "site", "good")
    assert "expected a Zarr v3 group here, found none" in gone
    assert "<img" not in gone
    assert "data_catalog.open" in gone, "what the entry knows is there"
    assert "There are no pictures" not in good


def test_a_chunk_that_cannot_be_decoded_costs_its_section_alone(catalog: Catalog, tmp_path: Path) -> None:
    a_stack(catalog)
    (chunk,) = (folder_of(catalog) / "stack.zarr/amplitude/c/0/0").glob("0")
    chunk.write_bytes(b"no such codec")
    wrong = write_page(catalog, tmp_path / "site")
    assert set(wrong) == {"stack"}
    assert "stack.zarr/amplitude cannot be read" in wrong["stack"]
    alternatives = pictures_of(tmp_path / "site", "stack")
    assert "Histogram of amplitude" in alternatives
    assert any("time 80 ms" in each for each in alternatives), "its chunks are others"
    assert not any("crossline 10" in each for each in alternatives)


def test_figures_are_the_manifest_s(catalog: Catalog, tmp_path: Path) -> None:
    """No pass over the data: what the manifest says is believed, even if it is not so."""
    a_stack(catalog)
    manifest = zarr.open_group(str(folder_of(catalog) / "stack.zarr/manifest"), mode="r+")
    manifest["amplitude/maximum"][...] = 4321.5
    counts = np.zeros((1, 2, 3, 256), np.int64)
    counts[0, 0, 0, [0, 1, 255]] = 30, 10, 5
    manifest["salt/class_counts"][...] = counts
    write_page(catalog, tmp_path / "site")
    words = " ".join(" ".join(Tags(text_of(tmp_path / "site", "stack")).words).split())
    assert "greatest 4321.5 mV" in words
    assert "rock 30 75.0 % salt 10 25.0 %" in words
    assert "5 samples are left out" in words


def test_a_folder_of_others_is_left_alone(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/thesis.tex").write_text("mine")
    assert called(monkeypatch, "page", "--out", tmp_path / "site", "--catalog", catalog.place) == 2
    assert "is not empty, and was not made by" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["thesis.tex"]
    assert called(monkeypatch, "page", "--out", tmp_path / "site/thesis.tex", "--catalog", catalog.place) == 2
    assert called(monkeypatch, "page", "--out", tmp_path / "new", "--catalog", tmp_path / "nowhere") == 2
    assert "there is no catalog" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_second_run_replaces_the_first(catalog: Catalog, tmp_path: Path) -> None:
    a_stack(catalog)
    a_stack(catalog, "second")
    site = tmp_path / "site"
    site.mkdir()
    write_page(catalog, site)
    (site / "CNAME").write_text("data.example.org")
    Path(catalog.place, "second.json").unlink()
    a_stack(catalog, "third")
    write_page(catalog, site)
    assert sorted(path.name for path in (site / "datasets").iterdir()) == ["stack.html", "third.html"]
    assert sorted(path.name for path in (site / "pictures").iterdir()) == ["stack", "third"]
    assert "second" not in (site / "index.html").read_text()
    assert (site / "CNAME").read_text() == "data.example.org", "what lies beside it is nobody's but the user's"
    assert not list(site.rglob("*.tmp"))


def test_many_datasets_are_drawn_by_several_processes(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work: set[int | None] = set()

    class Watched(ProcessPoolExecutor):
        def map(self, *arguments: Any, **options: Any) -> Any:
            for page in super().map(*arguments, **options):
                at_work.update(process.pid for process in active_children())
                yield page

    monkeypatch.setattr("data_catalog.views.page.site.ProcessPoolExecutor", Watched)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    line = {"amplitude": Made(Role.INPUT, ("trace", "time"), dipping((20, 30)))}
    for number in range(17):
        write_dataset(catalog, f"line-{number}", line, kind=Kind.STACK2D)
    (folder_of(catalog) / "line-3.zarr").rename(folder_of(catalog) / "elsewhere")
    assert set(write_page(catalog, tmp_path / "site")) == {"line-3"}
    assert len(list((tmp_path / "site/datasets").iterdir())) == 17
    assert len(list((tmp_path / "site/pictures").iterdir())) == 16
    assert len(at_work) == 2


def test_an_empty_catalog_has_a_page(catalog: Catalog, tmp_path: Path) -> None:
    write_page(catalog, tmp_path / "site")
    assert "There are none yet" in (tmp_path / "site/index.html").read_text()


def test_a_missing_library_is_a_sentence(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None; sys.argv = ['x', 'page', '--out', 'site', '--catalog', '.']\n"
        "from data_catalog import __main__, command_line; command_line.run(__main__.app, name='x')"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the page takes matplotlib, which is not installed")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def hostile(catalog: Catalog) -> Entry:
    """Everything that a stranger may write into a dataset is markup."""
    shape = (12, 20, 40)
    amplitude = dipping(shape)
    live = Made(Role.COORDINATE, STACK[:2], np.ones(shape[:2], bool), {"long_name": SCRIPT})
    return write_dataset(
        catalog,
        "hostile",
        {
            "amplitude": Made(Role.INPUT, STACK, amplitude, {"long_name": SCRIPT, "units": "<b>$mV$"}),
            "salt": classes(STACK, amplitude > 0, SCRIPT, "</script><img/src=x/onerror=alert(2)>"),
            "live": live,
            "time": Made(Role.COORDINATE, ("time",), np.arange(40) * 4.0, {"units": "毫 $\\frac{$"}),
        },
        kind=Kind.STACK3D,
        sources=(a_source("javascript:alert(3)"),),
        text_header=f"C 1 {SCRIPT} </pre>",
        warnings=(SCRIPT, '"><svg onload=alert(4)>'),
        recipe={SCRIPT: SCRIPT, "nested": [{"url": "javascript:alert(5)"}], "x": "</textarea>"},
        split_by={"by": SCRIPT},
    )


def test_whatever_a_dataset_says_is_text(catalog: Catalog, tmp_path: Path) -> None:
    hostile(catalog)
    Path(catalog.place, "torn.json").write_text(f'{{"name": "{SCRIPT}"}}')
    assert set(write_page(catalog, tmp_path / "site")) == {"torn"}
    for path in (tmp_path / "site").rglob("*.html"):
        page = Tags(path.read_text())
        assert len(page.all("script")) == 1
        for tag, attributes in page.found:
            assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
            places = [str(attributes[name]) for name in ("href", "src") if name in attributes]
            assert all(re.fullmatch(r"[A-Za-z0-9._/-]+|data:,", place) for place in places)
        assert {tag for tag, _ in page.found}.isdisjoint({"b", "textarea", "iframe", "object"})
    words = text_of(tmp_path / "site", "hostile")
    assert words.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert "javascript:alert(3)" in words


def test_names_lead_nowhere_else(catalog: Catalog, tmp_path: Path) -> None:
    entry = a_stack(catalog)
    for name in ("..%2f..%2fup", ".hidden", "a b"):
        Path(catalog.place, f"{name}.json").write_text(entry.model_dump_json())
    Path(catalog.place, "other.json").write_text(entry.model_dump_json().replace('"stack"', '"../../up"', 1))
    wrong = write_page(catalog, tmp_path / "site")
    assert set(wrong) == {"other"}
    assert [path.name for path in (tmp_path / "site/datasets").iterdir()] == ["stack.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "site", "stack.zarr"]


def count_reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A function that says how many objects were asked for since."""
    from zarr.storage import LocalStore

    asked: list[str] = []
    get = LocalStore.get

    async def counted(self: Any, key: str, *arguments: Any, **options: Any) -> Any:
        asked.append(key)
        return await get(self, key, *arguments, **options)

    monkeypatch.setattr(LocalStore, "get", counted)
    return lambda: len(asked)


def test_of_a_huge_dataset_a_bounded_part_is_read(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_huge_dataset(catalog)
    reads = count_reads(monkeypatch)
    assert write_page(catalog, tmp_path / "site") == {}
    assert 100 < reads() < 1500, "of 351 000 chunks of each variable"
    page = text_of(tmp_path / "site", "huge")
    assert "time 2000 (512 of 9000 along inline, out of the middle" in page
    assert "of the first and the last chunk" in page


def test_wrong_calls_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_page(catalog, Path("/proc/nothing/site"))


def test_pictures_are_of_the_right_size(catalog: Catalog, tmp_path: Path) -> None:
    a_stack(catalog)
    write_page(catalog, tmp_path / "site")
    page = Tags(text_of(tmp_path / "site", "stack"))
    for each in page.all("img"):
        if "width" in each:
            stated = int(str(each["width"])), int(str(each["height"]))
            assert size_of(tmp_path / "site/datasets" / str(each["src"])) == stated


def test_what_nobody_thought_of_costs_one_page(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "odd"):
        a_stack(catalog, name)
    recipe = trainer_recipe

    def fails(entry: Entry) -> Any:
        return recipe(entry) if entry.name == "good" else 1 / 0

    monkeypatch.setattr("data_catalog.views.page.snippets.trainer_recipe", fails)
    assert write_page(catalog, tmp_path / "site") == {"odd": "ZeroDivisionError: division by zero"}
    assert "ZeroDivisionError" in text_of(tmp_path / "site", "odd")
    assert "trainer fit" in text_of(tmp_path / "site", "good")
