"""Dask, and nothing else, runs the work: on threads, on a LocalCluster, or at a scheduler's address."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

import dask
from dask.utils import parse_bytes
from distributed import Client, KilledWorker, LocalCluster, as_completed, wait
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from data_catalog import InputError, WorkError

Item = TypeVar("Item")

THREADS = "threads"
LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT_S = 10
IN_FLIGHT_TIMEOUT_S = 120
TASKS_IN_FLIGHT_PER_THREAD = 2
"""Enough that no thread waits for the client; the client and the scheduler never hold the whole task list."""

CONSOLE = Console(stderr=True)


@contextmanager
def dask_client(*, scheduler: str | None, workers: int, memory: str) -> Iterator[Client]:
    """A client, and the cluster behind it where there is none yet.

    Args:
        scheduler: An address such as ``tcp://host:8786``; ``threads`` for threads of this process; None for a
            LocalCluster.
        workers: Worker processes of the LocalCluster, one thread each, or the number of threads.
        memory: Memory limit of a worker process, e.g. ``2GiB``.

    Raises:
        InputError: If no scheduler with workers answers at the address, or the memory limit is no size.
    """
    try:
        if memory != "auto":
            parse_bytes(memory)
    except ValueError:
        raise InputError(f"--memory {memory} is no size: write e.g. 2GiB, or auto.") from None
    if scheduler not in {None, THREADS}:
        with _connected(scheduler) as client:
            yield client
        return
    in_processes = scheduler is None
    # Servers of ours are reachable from this machine only; worker processes never outlive a crashed parent.
    settings = {
        "distributed.dashboard.link": f"http://{LOOPBACK}:{{port}}/status",
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": f"{CONNECT_TIMEOUT_S}s",
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers if in_processes else 1,
            threads_per_worker=1 if in_processes else workers,
            processes=in_processes,
            memory_limit=memory if in_processes else None,
            host=LOOPBACK if in_processes else None,
            dashboard_address=f"{LOOPBACK}:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def _connected(address: str | None) -> Iterator[Client]:
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}): start one with `dask scheduler`, "
            "or leave --scheduler out to work on this machine."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise InputError(
                f"the Dask scheduler at {address} has no workers: start some with `dask worker {address}`."
            ) from None
        yield client


def run_windowed(
    client: Client, function: Callable[[Any, Item], Any], items: Sequence[Item], *, shared: Any
) -> Iterator[tuple[Item, Any]]:
    """Runs ``function(shared, item)`` for each item, a sliding window of tasks at a time.

    Args:
        client: Where to run.
        function: A module-level function; it may run twice, and must give the same result.
        items: Small picklable values.
        shared: Sent once and passed by reference.

    Yields:
        Items with their results, as they are done.

    Raises:
        WorkError: If a worker died over a task again and again, or a task met a failing disk.
        InputError: If a task raised it. Either way the tasks in flight have ended, and no other is started.
    """
    reference = client.scatter(shared, hash=False, broadcast=True)
    window = TASKS_IN_FLIGHT_PER_THREAD * max(1, sum(client.nthreads().values()))
    waiting = iter(items)
    in_flight: dict[Any, Item] = {}

    def submit(batch: Iterable[Item]) -> list[Any]:
        futures = {client.submit(_attempt, function, reference, item, pure=False): item for item in batch}
        in_flight.update(futures)
        return list(futures)

    running = as_completed(submit(islice(waiting, window)))
    try:
        for future in running:
            item = in_flight.pop(future)
            result = _result_of(future)
            future.release()
            running.update(submit(islice(waiting, 1)))
            yield item, result
    finally:
        # A running task cannot be called back, and whoever cleans up after a failure must not race with its writing.
        # The window is short, so the tasks in flight are waited for; the limit is for a cluster that is gone.
        with suppress(TimeoutError):
            wait(list(in_flight), timeout=IN_FLIGHT_TIMEOUT_S)


def _attempt(function: Callable[[Any, Item], Any], shared: Any, item: Item) -> Any:
    """Wrong input and a failing disk are results: Dask would log them as crashes, with a traceback."""
    try:
        return function(shared, item)
    except InputError as error:
        return error
    except OSError as error:
        return WorkError(f"a task could not be finished: {error}")


def _result_of(future: Any) -> Any:
    try:
        result = future.result()
    except KilledWorker as error:
        raise WorkError(f"worker processes died over the same task, perhaps of too little --memory: {error}") from None
    if isinstance(result, InputError | WorkError):
        raise result
    return result


@contextmanager
def progress_bar(description: str, *, total_nbytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr with bytes, rate and time left.

    Yields:
        A function to call with the bytes that were done.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=CONSOLE) as progress:
        task = progress.add_task(description, total=total_nbytes)
        yield lambda nbytes: progress.update(task, advance=nbytes)
