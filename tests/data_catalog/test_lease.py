"""One writer a store: of any that ask one is let in, a killed one is followed at once, a deposed one learns of it."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data_catalog import InputError, LeaseRecord, WorkError, hold_lease, layout, lease, lease_file, live_lease, process
from data_catalog.lease_file import UNREADABLE, LeaseFile

WORKER = Path(__file__).parent / "lease_worker.py"


@pytest.fixture(params=["local", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made, on a disk and in an object store."""
    return f"{request.getfixturevalue('bucket_url')}/a/b.zarr" if request.param == "s3" else str(tmp_path / "a/b.zarr")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    monkeypatch.setattr(lease, "WATCH_S", 0.3)
    monkeypatch.setattr(lease_file, "SETTLE_S", 0.3)


class Worker:
    """A process that runs ``lease_worker.py``."""

    def __init__(self) -> None:
        command = [sys.executable, WORKER]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, url: str, *, start: float = 0.0) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{url} {start}\n" if url else "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """Kills it and leaves it a zombie: its parent has not asked for its end yet."""
        self.process.kill()
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def make_worker() -> Iterator[Callable[[], Worker]]:
    with ExitStack() as workers:

        def make() -> Worker:
            worker = Worker()
            workers.callback(worker.close)
            return worker

        yield make


def record_of(**changes: Any) -> LeaseRecord:
    """The record of a process on another machine that renewed just now."""
    now = datetime.now(UTC)
    values = UNREADABLE.model_dump() | {"token": "a" * 32, "host": "elsewhere", "since": now, "renewed": now}
    return LeaseRecord.model_validate(values | changes)


def put_lease(url: str, record: LeaseRecord) -> LeaseFile:
    file = lease_file.lease_file(url)
    if "://" not in url:
        Path(file.path).parent.mkdir(parents=True, exist_ok=True)
    file.replace(record)
    return file


def files_of(url: str) -> list[str]:
    file = lease_file.lease_file(url)
    return sorted(file.filesystem.find(file.path.removesuffix(f"/{layout.LEASE}")))


def test_a_lease_is_there_while_it_is_held(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live_lease(store_url) is None
    with hold_lease(store_url, purpose="convert survey") as held:
        held.check()
        record = live_lease(store_url)
        assert record is not None
        assert (record.pid, record.purpose, record.token) == (os.getpid(), "convert survey", held.record.token)
        file = lease_file.lease_file(store_url)
        assert "test-secret" not in file.filesystem.cat_file(file.path).decode()
    assert live_lease(store_url) is None
    assert files_of(store_url) == []


def test_a_lease_is_renewed(store_url: str) -> None:
    with hold_lease(store_url, purpose="convert") as held:
        while (record := live_lease(store_url)) == held.record:
            time.sleep(0.01)
        assert record is not None
        assert record.renewed > held.record.renewed
        assert record.model_copy(update={"renewed": held.record.renewed}) == held.record


def test_what_is_in_the_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/plan.json").write_text("a plan")
    with hold_lease(str(tmp_path), purpose="convert"):
        pass
    assert [Path(path).name for path in files_of(str(tmp_path))] == ["plan.json", "zarr.json"]


def test_a_second_one_is_told_who_holds_it(store_url: str, make_worker: Callable[[], Worker]) -> None:
    worker = make_worker()
    worker.ask(store_url)
    assert worker.answer() == "held"
    with pytest.raises(InputError) as refused, hold_lease(store_url, purpose="another"):
        pass
    expected = f"{process.user()}@{os.uname().nodename}, process {worker.process.pid} (test worker), since "
    assert f"{store_url} is in use by {expected}" in str(refused.value)
    assert "last renewed" in str(refused.value)
    worker.ask("")
    assert worker.answer() == "given back"
    with hold_lease(store_url, purpose="another") as held:
        held.check()


def test_a_killed_holder_is_followed_at_once(store_url: str, make_worker: Callable[[], Worker]) -> None:
    worker = make_worker()
    worker.ask(store_url)
    assert worker.answer() == "held"
    worker.kill()
    assert live_lease(store_url) is None
    with hold_lease(store_url, purpose="another") as held:
        held.check()
        record = live_lease(store_url)
        assert record is not None
        assert record.token == held.record.token
    assert files_of(store_url) == []


def test_a_stopped_holder_holds_on(tmp_path: Path, make_worker: Callable[[], Worker]) -> None:
    worker = make_worker()
    worker.ask(str(tmp_path))
    assert worker.answer() == "held"
    worker.process.send_signal(signal.SIGSTOP)
    file = lease_file.lease_file(str(tmp_path))
    record = file.read()
    assert record is not None
    file.replace(record.model_copy(update={"renewed": record.renewed - timedelta(days=1)}))
    with pytest.raises(InputError, match="is in use by"), hold_lease(str(tmp_path), purpose="another"):
        pass


def test_of_two_that_find_a_dead_lease_one_gets_it(store_url: str, make_worker: Callable[[], Worker]) -> None:
    workers = [make_worker(), make_worker()]
    dead = make_worker()
    start_time = process.start_time_ticks(dead.process.pid)
    dead.close()
    for number in range(4 if "://" in store_url else 30):
        url = f"{store_url}/{number}"
        put_lease(
            url, record_of(pid=dead.process.pid, process_started=start_time, machine=process.machine(), host="here")
        )
        for worker in workers:
            worker.ask(url, start=time.time() + 0.02)
        answers = [worker.answer() for worker in workers]
        assert sorted(answer.split()[0] for answer in answers) == ["held", "refused"], answers
        holder = workers[answers.index("held")].process.pid
        record = live_lease(url)
        assert record is not None
        assert record.pid == holder


def test_of_two_that_find_no_lease_one_gets_it(store_url: str, make_worker: Callable[[], Worker]) -> None:
    workers = [make_worker(), make_worker()]
    for number in range(4 if "://" in store_url else 30):
        for worker in workers:
            worker.ask(f"{store_url}/{number}", start=time.time() + 0.02)
        answers = [worker.answer() for worker in workers]
        assert sorted(answer.split()[0] for answer in answers) == ["held", "refused"], answers


def test_creation_is_exclusive(store_url: str) -> None:
    file = lease_file.lease_file(store_url)
    assert file.create(record_of())
    assert not file.create(record_of(token="b" * 32))
    assert file.is_held_by(record_of())


class LaxFileSystem(MemoryFileSystem):
    """An object store that does not know exclusive creation: whatever comes last stays."""

    protocol = "lax"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **more: Any) -> None:
        super().pipe_file(path, value)


def test_reading_back_decides_where_creation_is_not_exclusive() -> None:
    records = [record_of(token=f"{number:032x}") for number in range(8)]
    file = LeaseFile(LaxFileSystem(), f"/lax/{layout.LEASE}")
    begin = threading.Barrier(len(records))

    def create(record: LeaseRecord) -> bool:
        begin.wait()
        return file.create(record)

    with ThreadPoolExecutor(len(records)) as threads:
        won = list(threads.map(create, records))
    assert sum(won) == 1
    assert file.read() == records[won.index(True)]
    file.delete()


def test_a_recycled_process_number_is_no_holder(tmp_path: Path) -> None:
    started = process.start_time_ticks(os.getpid())
    assert started is not None
    put_lease(str(tmp_path), record_of(pid=os.getpid(), process_started=started - 1, machine=process.machine()))
    with hold_lease(str(tmp_path), purpose="another") as held:
        held.check()


def test_a_fresh_lease_of_another_machine_holds(store_url: str) -> None:
    put_lease(store_url, record_of())
    assert live_lease(store_url) is not None
    with pytest.raises(InputError, match="@elsewhere"), hold_lease(store_url, purpose="another"):
        pass


@pytest.mark.parametrize("clock", [-3600, 3600])
def test_an_old_lease_of_another_machine_is_taken_over(store_url: str, clock: float) -> None:
    put_lease(store_url, record_of(renewed=datetime.now(UTC) + timedelta(seconds=clock)))
    assert live_lease(store_url) is None
    with hold_lease(store_url, purpose="another") as held:
        held.check()


@pytest.mark.parametrize("clock", [-3600, 3600])
def test_a_lease_that_is_renewed_by_a_wrong_clock_holds(
    tmp_path: Path, clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WATCH_S", 60.0)
    file = put_lease(str(tmp_path), record_of(renewed=datetime.now(UTC) + timedelta(seconds=clock)))
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(0.02):
            file.replace(record_of(renewed=datetime.now(UTC) + timedelta(seconds=clock)))

    holder = threading.Thread(target=renew)
    holder.start()
    try:
        with pytest.raises(InputError, match="@elsewhere"), hold_lease(str(tmp_path), purpose="another"):
            pass
    finally:
        ended.set()
        holder.join()


@pytest.mark.parametrize("text", ["", '{"token": "abc', '{"token": "../../x"}', "\x00\xff"])
def test_a_torn_file_is_no_holder_for_long(tmp_path: Path, text: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / layout.LEASE).write_text(text)
    with hold_lease(str(tmp_path), purpose="another") as held:
        held.check()
    assert files_of(str(tmp_path)) == []


def test_a_holder_of_a_later_version_holds(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / layout.LEASE).write_text(record_of().model_dump_json()[:-1] + ', "reason": "unheard of"}')
    with pytest.raises(InputError, match="@elsewhere"), hold_lease(str(tmp_path), purpose="another"):
        pass


def repeat_until_lost(held: lease.Lease, change: Callable[[], Any]) -> None:
    """Does to a lease's file what another process would; again, if a renewal at that moment undid it."""
    while not held.lost:
        change()
        time.sleep(0.01)


def test_a_deposed_holder_learns_of_it(store_url: str) -> None:
    with hold_lease(store_url, purpose="convert") as held:
        file = lease_file.lease_file(store_url)
        repeat_until_lost(held, lambda: file.replace(record_of()))
        with pytest.raises(WorkError, match=r"another process took over .*unknown@elsewhere"):
            held.check()
    assert file.read() is not None, "the successor's lease is not ours to delete"


def test_a_holder_whose_store_was_deleted_learns_of_it(tmp_path: Path) -> None:
    with hold_lease(str(tmp_path / "a.zarr"), purpose="convert") as held:
        repeat_until_lost(held, lambda: shutil.rmtree(tmp_path / "a.zarr", ignore_errors=True))
        with pytest.raises(WorkError, match="is gone"):
            held.check()
    assert not (tmp_path / "a.zarr").exists()


def test_a_holder_that_cannot_renew_gives_up_when_others_may_take_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRY_S", 0.2)
    loop, file = tmp_path / "loop", tmp_path / layout.LEASE
    with ExitStack() as leases:
        held = leases.enter_context(hold_lease(str(tmp_path), purpose="convert"))

        def make_unreadable() -> None:
            loop.symlink_to(file)  # reading a loop of links fails, as a network does, other than by absence
            loop.replace(file)

        repeat_until_lost(held, make_unreadable)
        with pytest.raises(WorkError, match=r"could not be renewed for .*another process may have taken over"):
            held.check()
        with pytest.raises(WorkError, match="could not be given back"):
            leases.close()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be read or written"), hold_lease(str(tmp_path / "file"), purpose="x"):
        pass
    with pytest.raises(InputError, match="cannot be opened"), hold_lease("nowhere://x", purpose="x"):
        pass


def test_a_bucket_or_an_endpoint_that_is_not_there(bucket_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot be read or written"), hold_lease(f"{bucket_url}-no/a", purpose="x"):
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    lease_file.lease_file(bucket_url).filesystem.clear_instance_cache()
    with pytest.raises(InputError, match="cannot be read or written") as refused, hold_lease(bucket_url, purpose="x"):
        pass
    assert "test-secret" not in str(refused.value)
