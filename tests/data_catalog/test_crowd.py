"""Many processes on one catalog, of which some are killed at any moment: no entry is torn, and none is lost."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_catalog import Catalog, Entry

WORKER = Path(__file__).with_name("crowd_worker.py")
PROCESSES = 8
PATIENCE_S = 1800
"""The object store of the tests answers some hundred requests a second."""


@pytest.mark.timeout(PATIENCE_S + 60)
@pytest.mark.parametrize(
    ("operations", "kills"),
    [pytest.param(60, 3, id="60"), pytest.param(1000, 60, id="1000", marks=pytest.mark.slow)],
)
def test_nothing_is_torn_or_lost_in_a_crowd(
    operations: int, kills: int, make_entry: Callable[..., Entry], catalog_place: str, tmp_path: Path
) -> None:
    catalog = Catalog()
    catalog.publish(make_entry(name="shared", split_by={"tokens": []}))
    stores, notes = tmp_path / "stores", tmp_path / "notes"
    stores.mkdir()
    notes.mkdir()
    template = make_entry().url

    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [catalog_place, template, stores, number, notes / str(number)]
        return subprocess.Popen([sys.executable, WORKER, *map(str, arguments)])

    chance, begun, killed = random.Random(7), time.monotonic(), 0
    workers = [start(number) for number in range(PROCESSES)]
    try:
        while (done := len(_notes(notes))) < operations or killed < kills:
            assert time.monotonic() - begun < PATIENCE_S, f"{done} operations and {killed} kills"
            time.sleep(chance.uniform(0.05, 0.3))
            assert all(worker.poll() is None for worker in workers), "a worker ended by itself"
            if killed < kills and done > operations * killed / (2 * kills):
                number = chance.randrange(PROCESSES)
                workers[number].send_signal(signal.SIGKILL)
                workers[number].wait()
                workers[number] = start(number)
                killed += 1
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    found = _notes(notes)
    assert [line for line in found if line[0] in {"torn", "failed"}] == []
    names = set(catalog.names())
    for name in names:
        catalog.open(name)  # entry and store: what is listed can be used
    added = {line[1] for line in found if line[0] == "added"}
    going = {line[1] for line in found if line[0] == "removing"}
    gone = {line[1] for line in found if line[0] == "removed"}
    assert added - going <= names
    assert not gone & names
    tokens = catalog.read("shared").split_by["tokens"]
    assert isinstance(tokens, list)
    assert len(tokens) == len(set(map(str, tokens))) == catalog.read("shared").revision - 1
    assert {line[1] for line in found if line[0] == "replaced"} <= set(map(str, tokens))


def _notes(folder: Path) -> list[list[str]]:
    """What was noted by all, but for lines that a kill cut short."""
    return [
        line.split(maxsplit=2)
        for path in folder.iterdir()
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]
