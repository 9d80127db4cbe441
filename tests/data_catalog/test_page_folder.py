"""The folder of the web site: whatever a run does, however it ends, what is the user's stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_catalog import Catalog, InputError, Kind, Role
from data_catalog.views.page import write_page
from data_catalog.views.page.site_mark import MARK, locked_mark
from tests.data_catalog.written_store import Made, dipping, write_dataset


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "catalog").mkdir()
    return Catalog(tmp_path / "catalog")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site"


def add(catalog: Catalog, *names: str) -> None:
    line = {"amplitude": Made(Role.INPUT, ("trace", "time"), dipping((20, 30)))}
    for name in names:
        write_dataset(catalog, name, line, kind=Kind.STACK2D)


def remove(catalog: Catalog, name: str) -> None:
    Path(catalog.place, f"{name}.json").unlink()


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(catalog: Catalog, site: Path, *, first: str = "") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, after a line of Python."""
    program = (
        f"import os, sys; from pathlib import Path; {first}\n"
        f"sys.argv = ['x', 'page', '--out', {str(site)!r}, '--catalog', {catalog.place!r}]\n"
        "from data_catalog import __main__, command_line; command_line.run(__main__.app, name='x')"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)


def test_what_is_the_user_s_stays(catalog: Catalog, site: Path) -> None:
    add(catalog, "kept", "gone")
    write_page(catalog, site)
    mine = {"datasets/notes.txt", "datasets/mine.html", "pictures/mine/a.png", "pictures/gone/a.webp", "CNAME"}
    for name in mine:
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("mine")
    remove(catalog, "gone")
    write_page(catalog, site)
    found = files_in(site)
    assert mine <= found
    assert {name for name in found - mine if "gone" in name} == set()
    assert all((site / name).read_text() == "mine" for name in mine)
    assert (site / MARK).read_text().splitlines()[1:] == sorted(found - mine - {MARK})


@pytest.mark.parametrize("kind", ["datasets", "pictures", "pictures/line"])
def test_a_link_to_another_folder_is_not_followed(catalog: Catalog, site: Path, kind: str) -> None:
    add(catalog, "line")
    write_page(catalog, site)
    elsewhere = site.with_name("elsewhere")
    (site / kind).rename(elsewhere)
    (site / kind).symlink_to(elsewhere)
    before = {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")}
    if kind == "pictures/line":
        assert "is a link to another folder" in write_page(catalog, site)["line"]
    else:
        with pytest.raises(InputError, match="is a link to another folder"):
            write_page(catalog, site)
    remove(catalog, "line")
    if kind == "pictures/line":
        write_page(catalog, site)
    assert {path: path.stat().st_mtime_ns for path in elsewhere.rglob("*")} == before


def test_names_in_the_mark_are_judged(catalog: Catalog, site: Path) -> None:
    """It is a file like any other, and a site may have been unpacked from anywhere."""
    write_page(catalog, site)
    (site / "datasets").mkdir()
    (site / "datasets/link.html").symlink_to(site / "index.html")
    (site.parent / "mine.html").write_text("mine")
    names = ["../mine.html", "datasets/../../mine.html", str(site.parent / "mine.html"), "datasets/link.html", "\0"]
    (site / MARK).write_text("\n".join(["Made", *names, "datasets"]))
    write_page(catalog, site)
    assert (site.parent / "mine.html").read_text() == "mine"
    assert (site / "index.html").is_file()


def test_the_second_of_two_runs_at_once_is_refused(catalog: Catalog, site: Path) -> None:
    add(catalog, "line")
    write_page(catalog, site)
    before = files_in(site)
    with locked_mark(site):
        done = run(catalog, site)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            f"error: another `python -m data_catalog page` is at work on {site}: run it again when that has ended."
        ]
    assert files_in(site) == before
    assert write_page(catalog, site) == {}


KILLED_AT = "replace = Path.replace; Path.replace = lambda *both: {} or replace(*both)"


@pytest.mark.parametrize("moment", ["first", "page", "list"])
def test_a_run_that_was_killed_leaves_nothing_in_the_way(catalog: Catalog, site: Path, moment: str) -> None:
    add(catalog, "gone")
    when = {"first": "True", "page": "both[1].suffix == '.html'", "list": "both[1].name == 'index.html'"}[moment]
    killed = run(catalog, site, first=KILLED_AT.format(f"{when} and os.kill(os.getpid(), 9)"))
    assert killed.returncode == -9
    assert list(site.rglob("*.tmp"))
    remove(catalog, "gone")
    done = run(catalog, site)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_in(site) == {MARK, "index.html"}
