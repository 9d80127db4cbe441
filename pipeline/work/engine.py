"""A sliding window of idempotent tasks on Dask, through the deaths of workers and up to the death of the scheduler."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from distributed import Client, KilledWorker

from data_catalog import InputError, WorkError
from pipeline.work.failure import Failure
from pipeline.work.window import Window

Item = TypeVar("Item")

WORKERS_TIMEOUT_S = 300
"""How long a run outlives its last worker: batch systems and nannies start new ones."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item]):
    """What became of one item.

    Attributes:
        item: As it was given.
        value: What the function returned.
        failure: Why there is no value; None where there is one.
    """

    item: Item
    value: Any = None
    failure: Failure | None = None

    def result(self) -> Any:
        """The value.

        Raises:
            WorkError: If the item failed.
        """
        if self.failure is not None:
            raise WorkError(f"a task could not be finished: {self.failure.message}.")
        return self.value


def run_windowed(
    client: Client,
    function: Callable[[Any, Item], Any],
    items: Iterable[Item],
    *,
    shared: Any,
    workers_timeout_s: float = WORKERS_TIMEOUT_S,
) -> Iterator[Outcome[Item]]:
    """Runs ``function(shared, item)`` for each item, a sliding window of tasks at a time.

    A worker that dies takes nothing along: Dask runs its tasks elsewhere, and what is shared is made again. Storage
    that fails is tried again by the task itself. However a run ends, no other task is begun, and those that run have
    ended or were waited for.

    Args:
        client: Where to run.
        function: A module-level function; it may run twice, and must do the same each time.
        items: Small picklable values, taken one by one as there is room.
        shared: Sent once to each worker.
        workers_timeout_s: How long to go on without any worker.

    Yields:
        What became of each item, as they are done.

    Raises:
        InputError: If a task raised it.
        WorkError: If the target is full, the scheduler was lost, or all workers stayed away.
    """
    window = Window(client, function, shared, workers_timeout_s)
    waiting = iter(items)
    suspects: list[Item] = []
    try:
        while True:
            # Dask blames a worker's death on every task that was assigned to it. Who was blamed too often is tried once
            # more alone, so that the guilty does not take innocents along.
            alone = bool(suspects) and not window.in_flight
            if alone:
                window.submit_alone(suspects.pop())
            elif not suspects:
                window.fill(waiting)
            if not window.in_flight:
                return
            item, result = window.next_done()
            if isinstance(result, KilledWorker) and not alone:
                suspects.append(item)
            else:
                yield _outcome(item, result)
    finally:
        window.end()


def _outcome(item: Item, result: Any) -> Outcome[Item]:
    match result:
        case InputError() | WorkError():
            raise result
        case KilledWorker():
            deaths = result.allowed_failures + 1
            why = f"{deaths} worker processes died over it, perhaps of too little memory (--memory)"
            return Outcome(item, failure=Failure("worker", why))
        case Failure():
            return Outcome(item, failure=result)
        case _:
            return Outcome(item, value=result)
