"""The tasks in flight: submitted, waited for, and watched together with the scheduler and the workers."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import dask
from distributed import CancelledError, Client, Future, KilledWorker, wait
from distributed.comm.core import CommClosedError

from data_catalog import WorkError
from pipeline.work.attempt import attempt, stop_run
from pipeline.work.failure import GO_ON, SCHEDULER_LOST
from pipeline.work.progress import CONSOLE

Item = TypeVar("Item")

TASKS_IN_FLIGHT_PER_THREAD = 2
"""Enough that no thread waits for the client; the client and the scheduler never hold the whole task list."""

SCHEDULER_TIMEOUT_S = 60
"""How long the scheduler may take to answer; one that died is noticed at once."""

LOOK_EVERY_S = 2
"""How often the scheduler is asked which workers there are."""

SILENT_WAIT_S = 3
IN_FLIGHT_TIMEOUT_S = 120
"""How long running tasks are waited for when a run ends early, at first without a word."""


class Window(Generic[Item]):
    """The tasks in flight, and what is known of those who run them.

    Attributes:
        in_flight: Items by future.
    """

    def __init__(
        self, client: Client, function: Callable[[Any, Item], Any], shared: Any, workers_timeout_s: float
    ) -> None:
        self.in_flight: dict[Future[Any], Item] = {}
        self._client = client
        self._function = function
        self._shared = shared
        self._run_id = uuid.uuid4().hex
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        self._reference = self._hold_shared()
        self._workers_timeout_s = workers_timeout_s
        self._last_answer = self._last_worker = time.monotonic()
        self._next_look = 0.0
        self._threads = 0
        self._scheduler_is_lost = False

    def fill(self, waiting: Iterator[Item]) -> None:
        """Submits items while there is room, which grows and shrinks with the cluster."""
        self._look()
        room = TASKS_IN_FLIGHT_PER_THREAD * max(1, self._threads) - len(self.in_flight)
        for item in islice(waiting, max(0, room)):
            self._submit(item)

    def submit_alone(self, item: Item) -> None:
        """Submits one item, with what is shared made anew: its task may have been blamed for a death as well."""
        self._reference = self._hold_shared()
        self._submit(item)

    def next_done(self) -> tuple[Item, Any]:
        """Waits for any task to end.

        Returns:
            Its item, with its result or the KilledWorker that ended it.

        Raises:
            WorkError: If the scheduler or all workers are gone.
        """
        while True:
            self._look()
            try:
                future = self._done.get(timeout=LOOK_EVERY_S)
            except Empty:
                continue
            try:
                result: Any = future.result(timeout=SCHEDULER_TIMEOUT_S)
            except KilledWorker as error:
                result = error
            except (CancelledError, CommClosedError):
                raise self._scheduler_lost() from None
            except TimeoutError:
                # The worker that held the result died, and the task runs again.
                future.add_done_callback(self._done.put)
                continue
            item = self.in_flight.pop(future)
            future.release()
            return item, result

    def end(self) -> None:
        """Begins nothing more, and waits for what runs: whoever cleans up after a failure must not race with it."""
        if not self.in_flight or self._scheduler_is_lost or self._client.status != "running":
            return
        futures = list(self.in_flight)
        # Queued tasks are told to return at once rather than cancelled: one that begins just now is waited for as well.
        with suppress(OSError, CancelledError):
            self._ask(self._client.run, stop_run, self._run_id, on_error="ignore")
            if self._threads:
                _wait(futures)
        with suppress(OSError):
            self._client.cancel(futures)

    def _submit(self, item: Item) -> None:
        key = f"{self._function.__name__}-{uuid.uuid4()}"
        future = self._client.submit(attempt, self._function, self._reference, item, self._run_id, key=key)
        self.in_flight[future] = item
        future.add_done_callback(self._done.put)

    def _hold_shared(self) -> Future[Any]:
        """What is shared, as the result of a task: unlike scattered data it is made again when its holders died."""
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"}):  # once, not with each task
            return self._client.submit(partial(_same, self._shared), key=f"shared-{uuid.uuid4()}")

    def _look(self) -> None:
        """Sees now and then that the scheduler answers, and which workers run: one short of memory may be paused."""
        if time.monotonic() < self._next_look:
            return
        scheduler = self._client.scheduler
        if scheduler is None or self._client.status != "running":
            raise self._scheduler_lost()
        with suppress(OSError):
            workers = self._ask(scheduler.identity)["workers"].values()
            self._last_answer = time.monotonic()
            self._threads = sum(worker["nthreads"] for worker in workers if worker["status"] == "running")
            if self._threads:
                self._last_worker = self._last_answer
        now = time.monotonic()
        self._next_look = now + LOOK_EVERY_S
        if now - self._last_answer > SCHEDULER_TIMEOUT_S:
            raise self._scheduler_lost()
        if now - self._last_worker > self._workers_timeout_s:
            raise WorkError(
                f"no Dask worker was at work for {self._workers_timeout_s:g} s: start workers again, with more memory "
                f"if that is what stopped them; {GO_ON}"
            )

    def _ask(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return self._client.sync(function, *arguments, callback_timeout=SCHEDULER_TIMEOUT_S, **options)

    def _scheduler_lost(self) -> WorkError:
        self._scheduler_is_lost = True
        return WorkError(SCHEDULER_LOST)


def _wait(futures: list[Future[Any]]) -> None:
    try:
        wait(futures, timeout=SILENT_WAIT_S)
    except TimeoutError:
        running_count = sum(not future.done() for future in futures)
        CONSOLE.print(f"waiting for {running_count} tasks to end what they have begun", highlight=False)
        wait(futures, timeout=IN_FLIGHT_TIMEOUT_S)


def _same(value: Any) -> Any:
    return value
