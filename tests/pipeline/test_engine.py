"""The window of tasks on real threads and processes: storage that fails, workers and schedulers that are killed.

Functions that processes run are made inside the tests, so that they travel by value: this module is nowhere to import.
"""

import errno
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
import s3fs
from distributed import Client
from distributed.metrics import context_meter
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import InputError, WorkError
from pipeline.work import attempt, window
from pipeline.work.cluster import PROCESSES, dask_client
from pipeline.work.engine import Outcome, run_windowed
from pipeline.work.failure import SourceError


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PAUSES_S", (0.0, 0.0))


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def run_with(outcomes: Iterator[Outcome[Any]], happening: Callable[[], None]) -> None:
    """Lets something happen after some outcomes, and goes on."""
    for number, _ in enumerate(outcomes):
        if number == 5:
            happening()


_functions: dict[int, Callable[[Any, Any], Any]] = {}


def in_this_process(client: Client, function: Callable[[Any, Any], Any], items: Any) -> Iterator[Outcome[Any]]:
    """Runs a function that keeps state in this process; sent to Dask, it would be copied with all it refers to."""
    _functions[id(function)] = function
    return run_windowed(client, _call, items, shared=id(function))


def _call(number: int, item: Any) -> Any:
    return _functions[number](None, item)


@settings(max_examples=25)
@given(items=st.lists(st.integers(), max_size=60))
def test_every_item_has_one_outcome(client: Client, items: list[int]) -> None:
    outcomes = list(run_windowed(client, lambda shared, item: shared * item, iter(items), shared=3))
    assert Counter(outcome.item for outcome in outcomes) == Counter(items)
    assert all(outcome.result() == 3 * outcome.item for outcome in outcomes)


def test_items_are_taken_as_there_is_room(client: Client) -> None:
    taken = itertools.count()
    endless = (next(taken) for _ in itertools.count())
    outcomes = run_windowed(client, lambda shared, item: item, endless, shared=None)
    done = [next(outcomes).item for _ in range(30)]
    outcomes.close()
    threads = sum(client.nthreads().values())
    assert next(taken) <= len(done) + window.TASKS_IN_FLIGHT_PER_THREAD * threads


def test_storage_that_fails_twice_is_tried_again(client: Client, no_pauses: None) -> None:
    calls: Counter[int] = Counter()

    def write(shared: None, item: int) -> int:
        calls[item] += 1
        if item == 3 and calls[item] < 3:
            raise OSError(errno.EIO, "Input/output error")
        return item

    assert {outcome.item: outcome.result() for outcome in in_this_process(client, write, range(6))} == {
        item: item for item in range(6)
    }
    assert calls == Counter({0: 1, 1: 1, 2: 1, 3: 3, 4: 1, 5: 1})


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(errno.EIO, "Input/output error", "/out/c/0"), "target", "Input/output error: '/out/c/0' (3 attempts)"),
        (SourceError("survey.sgy cannot be read"), "source", "survey.sgy cannot be read (3 attempts)"),
        (TimeoutError(), "target", "TimeoutError (3 attempts)"),
        (OSError("s3://me:secret@host/b?X-Amz-Signature=secret is gone"), "target", "s3://host/b is gone (3 attempts)"),
        (MemoryError("Unable to allocate 9 TiB"), "worker", "too little memory: Unable to allocate 9 TiB"),
    ],
)
def test_an_item_that_fails_for_good_does_not_stop_the_others(
    client: Client, no_pauses: None, error: Exception, kind: str, message: str
) -> None:
    def write(shared: None, item: int) -> int:
        if item == 3:
            raise error
        return item

    outcomes = {outcome.item: outcome for outcome in in_this_process(client, write, range(6))}
    assert [item for item, outcome in outcomes.items() if outcome.failure] == [3]
    assert outcomes[3].failure.kind == kind
    assert message in outcomes[3].failure.message
    assert "secret" not in outcomes[3].failure.message
    with pytest.raises(WorkError, match="could not be finished"):
        outcomes[3].result()
    assert all(outcomes[item].value == item for item in (0, 1, 2, 4, 5))


def test_a_task_that_gave_up_its_thread_waits_for_one_before_another_attempt(client: Client, no_pauses: None) -> None:
    threads = sum(client.nthreads().values())
    lock = threading.Lock()
    at_work, most, tried = [0], [0], Counter[int]()

    def work(shared: None, item: int) -> int:
        with lock:
            tried[item] += 1
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(0.05)
        with lock:
            at_work[0] -= 1
        attempt.give_up_thread()
        time.sleep(0.02)
        if tried[item] < 3:
            raise OSError(errno.EIO, "the disk does not take it")
        return item

    outcomes = list(in_this_process(client, work, range(12)))
    assert sorted(outcome.result() for outcome in outcomes) == list(range(12))
    assert set(tried.values()) == {3}
    assert most[0] <= threads


def test_tasks_that_give_up_their_threads_leave_nothing_to_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def meters(shared: None, item: int) -> int:
        attempt.give_up_thread()
        time.sleep(0.05)  # now the next task begins, because of this one
        return len(context_meter._callbacks.get())  # whom Dask tells of the time that is spent

    monkeypatch.setattr(window, "TASKS_IN_FLIGHT_PER_THREAD", 30)
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": "inf"}),
        dask_client(scheduler=None, workers=1, memory="auto") as own_client,
    ):
        outcomes = run_windowed(own_client, meters, range(30), shared=None)
        counts = [outcome.result() for outcome in outcomes]
    assert len(set(counts)) <= 2


def test_an_object_store_that_is_away_fails_the_item(client: Client, no_pauses: None) -> None:
    options = {"retries": {"max_attempts": 0}}
    away = s3fs.S3FileSystem(key="k", secret="s", endpoint_url="http://127.0.0.1:9", config_kwargs=options)
    (outcome,) = in_this_process(client, lambda shared, item: away.cat_file(item), ["bucket/key"])
    assert outcome.failure.kind == "target"
    assert "127.0.0.1:9" in outcome.failure.message


@pytest.mark.parametrize("number", sorted(attempt.DISK_FULL))
def test_a_full_disk_ends_the_run_at_once(client: Client, number: int) -> None:
    calls: Counter[int] = Counter()

    def write(shared: None, item: int) -> None:
        calls[item] += 1
        raise OSError(number, os.strerror(number))

    with pytest.raises(WorkError, match="make room"):
        list(in_this_process(client, write, range(100)))
    assert set(calls.values()) == {1}
    assert len(calls) < 100


@pytest.mark.parametrize("error", [InputError("label holds 7"), WorkError("no"), ZeroDivisionError("a bug")])
def test_other_errors_end_the_run_as_they_are(client: Client, error: Exception) -> None:
    def write(shared: None, item: int) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        list(in_this_process(client, write, range(100)))


def test_when_a_run_ends_early_what_runs_has_ended_and_nothing_else_begins(client: Client) -> None:
    begun: list[int] = []
    ended: list[int] = []
    others_run = threading.Event()

    def work(shared: None, item: int) -> None:
        begun.append(item)
        if item == 0:
            others_run.wait(30)
            raise InputError("enough")
        others_run.set()
        time.sleep(0.5)
        ended.append(item)

    with pytest.raises(InputError, match="enough"):
        list(in_this_process(client, work, range(100)))
    at_the_end = {0, *ended}  # with what the other thread began before it heard of the end
    time.sleep(0.5)
    assert set(begun) == at_the_end
    assert len(begun) < 50


@pytest.mark.parametrize("place", ["threads", "processes", "foreign"])
def test_blosc_and_zarr_leave_the_processors_to_dask(place: str, start_dask) -> None:
    def settings(shared: None, item: int) -> tuple[int, int, int]:
        import numcodecs.blosc
        import zarr

        before = numcodecs.blosc.set_nthreads(1)
        return before, zarr.config.get("threading.max_workers"), zarr.config.get("async.concurrency")

    scheduler = place
    if place == "foreign":
        processes = start_dask()
        processes.add_worker(nthreads=2)
        scheduler = processes.address
    # Threads are told by the memory of this whole process, which other tests may have filled.
    with dask_client(scheduler=scheduler, workers=2, memory="1GiB" if place == "processes" else "auto") as client:
        found = {outcome.result() for outcome in run_windowed(client, settings, range(8), shared=None)}
    assert found == {(1, 1 if place == "processes" else 2, attempt.ZARR_CONCURRENCY)}


def test_what_is_shared_is_sent_once_to_each_worker(dask_processes, tmp_path: Path) -> None:
    class Shared:
        """Leaves a file in the folder whenever a process takes it out of a message."""

        def __init__(self, folder: Path, ballast: bytes) -> None:
            self.folder, self.ballast = folder, ballast

        def __setstate__(self, state: dict[str, Any]) -> None:
            import uuid

            self.__dict__ = state
            (self.folder / f"{os.getpid()}-{uuid.uuid4().hex}").touch()

    folder = tmp_path / "arrivals"
    folder.mkdir()
    for _ in range(2):
        dask_processes.add_worker()
    with dask_client(scheduler=dask_processes.address, workers=1, memory="auto") as client:
        client.wait_for_workers(2, timeout=60)
        shared = Shared(folder, bytes(20 * 2**20))
        outcomes = run_windowed(client, lambda shared, item: len(shared.ballast), range(40), shared=shared)
        assert {outcome.result() for outcome in outcomes} == {20 * 2**20}
    arrivals = Counter(path.name.partition("-")[0] for path in folder.iterdir())
    assert len(arrivals) <= 2
    assert sum(arrivals.values()) <= 3  # the scheduler's message to one worker, and that one's to the other


def test_a_worker_that_dies_takes_nothing_along(dask_processes, tmp_path: Path) -> None:
    """The only worker, which holds what is shared, is killed amid its tasks; two others come."""

    def work(shared: Path, item: int) -> int:
        (shared / f"{item}-{os.getpid()}").touch()
        time.sleep(0.2)
        return item * item

    folder = tmp_path / "begun"
    folder.mkdir()
    first = dask_processes.add_worker()
    with dask_client(scheduler=dask_processes.address, workers=1, memory="auto") as client:
        outcomes = run_windowed(client, work, range(12), shared=folder)
        done = [next(outcomes) for _ in range(3)]
        dask_processes.kill_worker(first)
        for _ in range(2):
            dask_processes.add_worker()
        done += list(outcomes)
    assert sorted(outcome.item for outcome in done) == list(range(12))
    assert all(outcome.result() == outcome.item**2 for outcome in done)
    assert len({path.name.partition("-")[2] for path in folder.iterdir()}) == 3


def test_a_nanny_starts_another_worker(tmp_path: Path) -> None:
    def work(shared: Path, item: int) -> int:
        """The first one to run kills its process as a machine without memory would."""
        try:
            (shared / "killed").touch(exist_ok=False)
        except FileExistsError:
            return os.getpid()
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with dask_client(scheduler=PROCESSES, workers=1, memory="1GiB") as client:
        (before,) = client.run(os.getpid).values()
        outcomes = list(run_windowed(client, work, range(8), shared=tmp_path))
    assert sorted(outcome.item for outcome in outcomes) == list(range(8))
    assert before not in {outcome.result() for outcome in outcomes}


def test_only_the_item_that_kills_its_workers_fails(tmp_path: Path) -> None:
    def work(shared: None, item: int) -> int:
        if item == 2:
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        dask_client(scheduler=PROCESSES, workers=1, memory="1GiB") as client,
    ):
        outcomes = {outcome.item: outcome for outcome in run_windowed(client, work, range(10), shared=None)}
    assert sorted(outcomes) == list(range(10))
    assert [item for item, outcome in outcomes.items() if outcome.failure] == [2]
    assert outcomes[2].failure.kind == "worker"
    assert "2 worker processes died over it" in outcomes[2].failure.message


def test_a_scheduler_that_dies_ends_the_run(dask_processes) -> None:
    def work(shared: None, item: int) -> int:
        time.sleep(0.1)
        return item

    dask_processes.add_worker()
    with (
        dask_client(scheduler=dask_processes.address, workers=1, memory="auto") as client,
        pytest.raises(WorkError, match="connection to the Dask scheduler was lost") as caught,
    ):
        run_with(run_windowed(client, work, range(1000), shared=None), dask_processes.kill_scheduler)
    assert "the same command then goes on from where it stopped" in str(caught.value)
    dask_processes.restart_scheduler()
    dask_processes.add_worker()
    with dask_client(scheduler=dask_processes.address, workers=1, memory="auto") as client:
        assert len(list(run_windowed(client, work, range(5), shared=None))) == 5


def test_a_scheduler_that_answers_no_more_ends_the_run(dask_processes, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(shared: None, item: int) -> int:
        time.sleep(0.1)
        return item

    monkeypatch.setattr(window, "SCHEDULER_TIMEOUT_S", 2)
    dask_processes.add_worker()
    with (
        dask_client(scheduler=dask_processes.address, workers=1, memory="auto") as client,
        pytest.raises(WorkError, match="connection to the Dask scheduler was lost"),
    ):
        run_with(
            run_windowed(client, work, range(1000), shared=None),
            lambda: dask_processes.scheduler.send_signal(signal.SIGSTOP),
        )


def test_without_workers_a_run_ends_after_a_while(dask_processes) -> None:
    def work(shared: None, item: int) -> int:
        time.sleep(0.1)
        return item

    worker = dask_processes.add_worker()
    with (
        dask_client(scheduler=dask_processes.address, workers=1, memory="auto") as client,
        pytest.raises(WorkError, match="no Dask worker was at work for 3 s"),
    ):
        run_with(
            run_windowed(client, work, range(1000), shared=None, workers_timeout_s=3),
            lambda: dask_processes.kill_worker(worker),
        )


INTERRUPTED = """
import signal, sys, time
from pathlib import Path
from pipeline.work.cluster import PROCESSES, dask_client
from pipeline.work.engine import run_windowed

def work(folder, item):
    (folder / f"begun-{item}").touch()
    time.sleep(1)
    (folder / f"ended-{item}").touch()

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal's foreground
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(sys.argv[1])
    try:
        with dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as client:
            try:
                for _ in run_windowed(client, work, range(100), shared=folder):
                    pass
            finally:
                begun, ended = (sorted(p.name[5:] for p in folder.glob(f"{word}-*")) for word in ("begun", "ended"))
                print(len(begun), begun == ended, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_running_tasks_end_and_begins_no_others(tmp_path: Path, number: int, status: int) -> None:
    """As from a terminal, Ctrl-C goes to the worker processes as well."""
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    folder = tmp_path / "tasks"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, script, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    try:
        wait_until(lambda: list(folder.glob("ended-*")))
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, errors
    begun, all_ended = output.split()
    assert all_ended == "True", output
    assert int(begun) < 20
    assert "Traceback" not in errors
