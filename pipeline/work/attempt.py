"""What runs on a worker: one item, tried again where storage fails, with its failures made into results."""

import errno
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numcodecs.blosc
import zarr
from distributed import get_worker, secede
from distributed.metrics import context_meter
from distributed.threadpoolexecutor import rejoin, thread_state

from data_catalog import InputError, WorkError
from pipeline.work.failure import GO_ON, Failure, SourceError, is_of_storage

PAUSES_S = (1.0, 4.0)
"""Before the second and the third attempt. Object stores' clients have tried again by themselves before that."""

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""What another attempt cannot mend, and what the next item would meet as well."""

ZARR_CONCURRENCY = 2
"""Parts of one array that a task has in hand at a time: their memory counts for each task."""

_stopped_runs: set[str] = set()


def attempt(function: Callable[[Any, Any], Any], shared: Any, item: Any, run_id: str) -> Any:
    """Runs ``function(shared, item)``, up to three times if storage fails.

    Args:
        function: Gives the same result whenever it is run.
        shared: Its first argument.
        item: Its second argument.
        run_id: Nothing is begun once `stop_run` was called with it.

    Returns:
        The function's value; a `Failure` if this item is to be given up; an InputError or a WorkError if the run is to
        end. They are results because Dask would log them as crashes, with a traceback.
    """
    set_up_process()
    outcome: Any = None
    for pause in (0.0, *PAUSES_S):
        time.sleep(pause)
        _take_thread_back()
        if run_id in _stopped_runs:
            break
        try:
            return function(shared, item)
        except (InputError, WorkError) as error:
            return error
        except MemoryError as error:
            return Failure("worker", f"too little memory: {_sentence(error)}; give workers more with --memory")
        except Exception as error:
            if not is_of_storage(error):
                raise
            if getattr(error, "errno", None) in DISK_FULL:
                return WorkError(
                    f"the target takes no more ({_sentence(error)}): make room, or make it writable; {GO_ON}"
                )
            outcome = Failure(
                "source" if isinstance(error, SourceError) else "target",
                f"{_sentence(error)} ({len(PAUSES_S) + 1} attempts)",
            )
    return outcome


def give_up_thread() -> None:
    """Lets the worker begin another task: what is left of this one waits for storage, and computes nothing.

    Outside a worker, and in a task that did it before, nothing happens.
    """
    if getattr(thread_state, "proceed", False):
        # Dask would meter every later task as a part of this one, too, and keep its times with theirs.
        with context_meter.clear_callbacks():
            secede()


def _take_thread_back() -> None:
    """Waits until the worker has a thread for what is done once more."""
    if not getattr(thread_state, "proceed", True):
        rejoin()


def stop_run(run_id: str) -> None:
    """From now on no item of a run is begun in this process."""
    _stopped_runs.add(run_id)


@cache
def set_up_process() -> None:
    """Leaves the processors to Dask's threads: none for Blosc, one for each of them for zarr."""
    numcodecs.blosc.set_nthreads(1)
    zarr.config.set({"async.concurrency": ZARR_CONCURRENCY, "threading.max_workers": get_worker().state.nthreads})


def _sentence(error: Exception) -> str:
    """The error's own words on one line, without what URLs hold of passwords and signatures."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"(\w://)[^/@\s]*@", r"\1", text)
    return re.sub(r"(\w://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)
