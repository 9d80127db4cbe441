"""Which values a header word has in a survey, as long as they are not too many to list."""

from dataclasses import dataclass

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from pipeline.survey.external_sort import RUN_TRACES
from pipeline.survey.header_words import of_data
from pipeline.survey.trace_index import TraceIndex
from pipeline.work.engine import run_windowed


@dataclass(frozen=True, slots=True)
class _Job:
    index: TraceIndex
    name: str
    most: int
    is_of_data: bool


def distinct_values(
    index: TraceIndex, name: str, *, most: int, client: Client, is_of_data: bool = False
) -> tuple[int, ...] | None:
    """All values of a word, ascending; None where there are more than ``most``.

    Args:
        index: The traces.
        name: Which word.
        most: How many are listed.
        client: Where to look.
        is_of_data: Whether auxiliary traces do not count.
    """
    found = np.empty(0, np.int64)
    runs = range(-(-index.trace_count // RUN_TRACES))
    for outcome in run_windowed(client, values_of_run, runs, shared=_Job(index, name, most, is_of_data)):
        values = outcome.result()
        found = found if values is None else np.union1d(found, values)
        if values is None or found.size > most:
            return None
    return tuple(found.tolist())


def values_of_run(job: _Job, run: int) -> NDArray[np.int64] | None:
    """One task: the values in a run of traces; None where there are too many."""
    start = run * RUN_TRACES
    names = (job.name, "trace_identification") if job.is_of_data else (job.name,)
    words = job.index.read(start, min(start + RUN_TRACES, job.index.trace_count), names)
    found = np.unique((of_data(words) if job.is_of_data else words)[job.name])
    return found if found.size <= job.most else None
