"""SIGKILL at any moment, to a worker, the scheduler or the client: in the end the store is what it would have been."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fsspec
import numpy as np
import pytest
from distributed import Client

from data_catalog import Catalog, layout
from pipeline.convert import Conduct, convert
from pipeline.recipe import load_recipe
from pipeline.segy.fields import FILE_HEADER_NBYTES, TRACE_HEADER_NBYTES
from pipeline.work.window import TASKS_IN_FLIGHT_PER_THREAD

FOLDER = Path(__file__).parent
KILLER = FOLDER.parent / "kills" / "conversion.py"
EXECUTION_LOG = FOLDER / "execution_log.py"
WORKERS = 2
IN_FLIGHT = TASKS_IN_FLIGHT_PER_THREAD * WORKERS

Survey = Literal["plain", "labels", "full scan", "random", "two files"]
Victim = Literal["worker", "scheduler", "client"]
Moment = float | Literal["begun", "planned", "written"]
SURVEYS: tuple[Survey, ...] = ("plain", "labels", "full scan", "random", "two files")
VICTIMS: tuple[Victim, ...] = ("worker", "scheduler", "client")


@dataclass(frozen=True)
class Size:
    """How much there is to convert: inlines and crosslines, of which about ten make a shard."""

    lines: int
    samples: int

    def url(self, values: str = "first_inline=1", *, inlines: int | None = None) -> str:
        shape = f"inlines={inlines or self.lines},crosslines={self.lines},samples={self.samples}"
        return f"rehearsal://{shape},{values}/survey.sgy"


SMALL, LARGE = Size(lines=40, samples=100), Size(lines=80, samples=300)


def recipe_of(survey: Survey, size: Size, folder: Path) -> dict[str, Any]:
    """A recipe's values but for name and place."""
    recipe: dict[str, Any] = {"paths": [size.url()], "chunk_nbytes": 4096, "shard_nbytes": 4096}
    match survey:
        case "labels":
            data, label = labelled(size, folder)
            labels = {"polarity": {"paths": [str(label)], "classes": {0: "trough", 1: "peak"}}}
            return recipe | {"paths": [str(data)], "labels": labels, "splits": {"train": ["inline:0%:50%"]}}
        case "random":
            return recipe | {"paths": [size.url("order=random,seed=3")]}
        case "two files":
            half = size.lines // 2
            return recipe | {"paths": [size.url(f"first_inline={first}", inlines=half) for first in (1, 1 + half)]}
        case _:
            return recipe


def labelled(size: Size, folder: Path) -> tuple[Path, Path]:
    """A survey on disk, crossline by crossline, and one of classes: whether its samples are positive."""
    with fsspec.open(size.url("order=crossline,format=5"), "rb") as file:
        content = bytearray(file.read())
    data, label = folder / "data.sgy", folder / "label.sgy"
    data.write_bytes(content)
    words = np.frombuffer(content, ">f4", offset=FILE_HEADER_NBYTES).reshape(size.lines**2, -1)
    samples = words[:, TRACE_HEADER_NBYTES // 4 :]
    samples[...] = samples > 0
    label.write_bytes(content)
    return data, label


@pytest.fixture(scope="module")
def undisturbed(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes]]:
    """A function that gives the objects of a store that was made without any disturbance."""
    found: dict[tuple[Survey, Size], dict[str, bytes]] = {}

    def make(survey: Survey, size: Size) -> dict[str, bytes]:
        if (survey, size) not in found:
            folder = tmp_path_factory.mktemp("undisturbed")
            recipe = load_recipe(name="made", out=str(folder / "made.zarr"), **recipe_of(survey, size, folder))
            conduct = Conduct(header_scan="full" if survey == "full scan" else "sample")
            convert(recipe, client=client, catalog=Catalog(folder / "catalog"), conduct=conduct)
            root = folder / "made.zarr"
            found[survey, size] = {
                str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
            }
        return found[survey, size]

    return make


class Stage:
    """A conversion on a scheduler and workers of its own, and what is to come out of it."""

    def __init__(self, conversion: Any, dask: Any, executions: Path, expected: dict[str, bytes]) -> None:
        self.conversion = conversion
        self.dask = dask
        self.expected = expected
        self.shard_count = sum(path.startswith("amplitude/c/") for path in expected)
        self._executions = executions

    @property
    def execution_count(self) -> int:
        """How often a worker began a shard."""
        return len(self._executions.read_text().splitlines())

    def add_workers(self) -> None:
        for _ in range(WORKERS):
            self.dask.add_worker()
        self.dask.wait_for_workers(WORKERS)

    def wait_for(self, moment: Moment, call: Any) -> None:
        """Looks at the store until a call has come as far as that."""
        while not self._is_reached(moment):
            assert call.poll() is None, self.conversion.ended(call)
            time.sleep(0.002)

    def _is_reached(self, moment: Moment) -> bool:
        match moment:
            case "begun":
                return self.conversion.exists(layout.LEASE)
            case "planned":
                return self.conversion.exists(layout.PLAN)
            case "written":
                return len(self.conversion.records()) == self.shard_count
            case share:
                return len(self.conversion.records()) >= share * self.shard_count


@pytest.fixture
def set_stage(make_conversion, start_dask, undisturbed, tmp_path: Path) -> Callable[..., Stage]:
    def make(survey: Survey, size: Size) -> Stage:
        executions = tmp_path / "executions"
        executions.touch()
        dask = start_dask(
            environment={"DASK_DISTRIBUTED__WORKER__PRELOAD": str(EXECUTION_LOG), "EXECUTION_LOG": str(executions)}
        )
        options = ("--scheduler", dask.address, *(["--full-scan"] if survey == "full scan" else []))
        conversion = make_conversion(recipe_of(survey, size, tmp_path), options=options)
        stage = Stage(conversion, dask, executions, undisturbed(survey, size))
        stage.add_workers()
        return stage

    return make


@dataclass(frozen=True)
class Kill:
    """Who is killed when.

    Attributes:
        survey: What is converted.
        victim: Who is killed.
        moment: The share of shards that are done by then, or a stage that was reached.
        worker: Which of the workers, if it is one.
    """

    survey: Survey
    victim: Victim
    moment: Moment
    worker: int = 0

    def __str__(self) -> str:
        return (
            f"{self.survey}-{self.victim}-{self.moment if isinstance(self.moment, str) else format(self.moment, '.0%')}"
        )


def kill_of(seed: int) -> Kill:
    """By the seed: any 15 that follow one another have each survey with each victim."""
    chance = random.Random(seed)
    share = chance.uniform(0.12, 0.75)  # the run goes on while the signal is on its way
    return Kill(SURVEYS[seed % len(SURVEYS)], VICTIMS[seed % len(VICTIMS)], share, chance.randrange(WORKERS))


AMID = [kill_of(seed) for seed in range(16)]
AT_STAGES = [
    Kill("two files", "client", "begun"),
    Kill("random", "worker", "planned"),
    Kill("plain", "scheduler", "written"),
    Kill("labels", "client", "written"),
]


@pytest.mark.slow
@pytest.mark.parametrize("kill", AMID + AT_STAGES, ids=str)
def test_a_kill_changes_nothing(kill: Kill, set_stage) -> None:
    check_kill(kill, set_stage(kill.survey, LARGE))


@pytest.mark.parametrize("kill", [*map(kill_of, (5, 6)), pytest.param(kill_of(7), marks=pytest.mark.slow)], ids=str)
def test_a_kill_amid_a_small_conversion_changes_nothing(kill: Kill, set_stage) -> None:
    check_kill(kill, set_stage(kill.survey, SMALL))


def check_kill(kill: Kill, stage: Stage) -> None:
    conversion = stage.conversion
    call = conversion.start()
    stage.wait_for(kill.moment, call)
    match kill.victim:
        case "worker":
            stage.dask.kill_worker(kill.worker)
        case "scheduler":
            stage.dask.kill_scheduler()
        case "client":
            call.kill()
    done = conversion.records()
    assert call.poll() in (None, -signal.SIGKILL)
    assert conversion.catalog.names() == []
    if isinstance(kill.moment, float):
        assert 0.1 <= len(done) / stage.shard_count <= 0.9
    if kill.victim == "worker":
        check_the_call_goes_on(stage, call)
    else:
        check_the_next_call_goes_on(stage, call, kill.victim, done)
    conversion.check_complete(stage.expected)


def check_the_call_goes_on(stage: Stage, call: Any) -> None:
    """Another worker comes; the call ends as if nothing had been, and the next one has nothing to do."""
    conversion = stage.conversion
    stage.dask.add_worker()
    ended = conversion.ended(call)
    assert ended.status == 0, ended
    assert stage.execution_count <= stage.shard_count + IN_FLIGHT
    written = conversion.written()
    assert max(Counter(written).values()) == 1
    assert len(written) >= stage.shard_count - IN_FLIGHT  # a record may be there whose task died before it told
    conversion.check_complete(stage.expected)
    assert conversion.call().status == 0
    assert conversion.written() == written


def check_the_next_call_goes_on(stage: Stage, call: Any, victim: Victim, done: set[tuple[int, ...]]) -> None:
    """It does what is left, but for what was in flight."""
    conversion = stage.conversion
    ended = conversion.ended(call)
    before = conversion.written()
    if victim == "scheduler":
        assert ended.status == 1
        assert "the connection to the Dask scheduler was lost" in ended.said
        stage.dask.wait_for_end_of_workers()
        done = conversion.records()
        status = conversion.status()
        assert (status["state"], status["completed"], status["failures"]) == ("stopped", len(done), [])
        stage.dask.restart_scheduler()
        stage.add_workers()
    ended = conversion.call()
    assert ended.status == 0, ended
    again = conversion.written()[len(before) :]
    assert max(Counter(again).values(), default=0) <= 1
    assert not done & set(again)
    # Tasks of a client that was killed may go on for a moment, and write what the next call finds complete.
    meanwhile = 0 if victim == "scheduler" else IN_FLIGHT
    assert stage.shard_count - meanwhile <= len(done) + len(again) <= stage.shard_count
    assert stage.execution_count <= stage.shard_count + IN_FLIGHT


@pytest.mark.slow
def test_tasks_of_a_killed_client_harm_nothing(set_stage) -> None:
    """A worker freezes over a shard. What it was at is discarded and made anew, of something else; then it goes on."""
    stage = set_stage("plain", SMALL)
    conversion = stage.conversion
    stage.dask.kill_worker(1)
    shape = "inlines=160,crosslines=160,samples=1000"
    shards = {"chunk_nbytes": 2**20, "shard_nbytes": 16 * 2**20}
    call = conversion.start(paths=[f"rehearsal://{shape}/survey.sgy"], **shards)
    while not stage.execution_count:
        assert call.poll() is None, conversion.ended(call)
    stage.dask.workers[0].send_signal(signal.SIGSTOP)
    call.kill()
    assert conversion.records() == set()
    assert conversion.command("data_catalog", "remove", "made", "--yes").status == 0
    other = {"paths": [f"rehearsal://{shape},swap=0/survey.sgy"], **shards}
    assert conversion.call("--scheduler", "threads", "--full-scan", **other).status == 0
    expected = conversion.objects()
    stage.dask.workers[0].send_signal(signal.SIGCONT)
    with Client(stage.dask.address) as watching:
        while any(
            watching.run(
                lambda dask_worker: len(dask_worker.state.executing) + len(dask_worker.state.long_running)
            ).values()
        ):
            time.sleep(0.1)
    conversion.check_complete(expected)


TINY = "inlines=14,crosslines=12,samples=100"


@pytest.mark.parametrize(
    ("values", "header_scan", "first", "step"),
    [
        ("order=inline", "sample", 60, 170),
        pytest.param("order=inline", "sample", 7, 23, marks=pytest.mark.slow),
        pytest.param("order=random", "full", 5, 31, marks=pytest.mark.slow),
        pytest.param("swap=150", "sample", 11, 37, marks=pytest.mark.slow),  # a prediction that turns out wrong
    ],
)
def test_a_kill_at_any_change_of_a_file(values: str, header_scan: str, first: int, step: int, tmp_path: Path) -> None:
    url = f"rehearsal://{TINY},{values}/survey.sgy"
    command = [sys.executable, str(KILLER), str(tmp_path / "killed"), url, header_scan, str(first), str(step)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.splitlines()[-1].endswith("published")
