"""How many traces have a position that an earlier trace has, counted in little memory."""

from dataclasses import dataclass

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from pipeline.survey.axis import Axis
from pipeline.survey.external_sort import RUN_TRACES, Keys, SortedRuns, sort_runs
from pipeline.survey.header_words import HeaderWords
from pipeline.survey.trace_index import TraceIndex
from pipeline.work.engine import run_windowed

BAND_TRACES = 2**20
"""Compared at once, in about 50 MB."""


@dataclass(frozen=True, slots=True)
class CellKey:
    """The number of the cell that a trace lies in, the last axis running fastest.

    Attributes:
        axes: At most two of header words, on which all traces lie: two words of 32 bits make one of 64.
    """

    axes: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Header words that it is made from."""
        return tuple(axis.name for axis in self.axes)

    def __call__(self, words: HeaderWords) -> tuple[Keys, NDArray[np.bool_]]:
        """Keys, and which traces have one, both (trace)."""
        keys = np.zeros(len(words[self.axes[0].name]), np.uint64)
        for axis in self.axes:
            keys = keys * np.uint64(axis.size) + axis.positions(words[axis.name]).astype(np.uint64)
        return keys, np.ones(keys.size, np.bool_)


@dataclass(frozen=True, slots=True)
class OrderJob:
    """What all tasks share that see whether traces lie in order."""

    index: TraceIndex
    key: CellKey
    run_traces: int


def count_repeats(
    index: TraceIndex,
    axes: tuple[Axis, ...],
    *,
    scratch: str,
    client: Client,
    run_traces: int = RUN_TRACES,
    band_traces: int = BAND_TRACES,
) -> int:
    """Counts the traces whose position an earlier trace has.

    Args:
        index: The traces.
        axes: One or two of header words; each trace lies on them.
        scratch: Folder for what has to be sorted, a local path or an fsspec URL that workers reach too.
        client: Where to count.
        run_traces: Traces that a task looks at together.
        band_traces: Traces that a task compares, about.
    """
    for order in (axes, axes[::-1]):
        key = CellKey(order)
        if _is_ascending(key(index.samples)[0]):
            count = _count_in_order(OrderJob(index, key, run_traces), client)
            if count is not None:
                return count
    splitters = _splitters(CellKey(axes)(index.samples)[0], -(-index.trace_count // band_traces))
    with sort_runs(
        index, CellKey(axes), splitters=splitters, scratch=scratch, client=client, run_traces=run_traces
    ) as runs:
        count = runs.repeat_count
        for outcome in run_windowed(client, count_in_band, range(splitters.size + 1), shared=runs):
            count += outcome.result()
        return count


def _count_in_order(job: OrderJob, client: Client) -> int | None:
    """Repeats where no key is less than that of the trace before; None where one is."""
    run_count = -(-job.index.trace_count // job.run_traces)
    ends = np.empty((run_count, 2), np.uint64)
    count = 0
    for outcome in run_windowed(client, see_order, range(run_count), shared=job):
        found = outcome.result()
        if found is None:
            return None
        ends[outcome.item], repeats = found
        count += repeats
    if not _is_ascending(ends.reshape(-1)):
        return None
    return count + int((ends[:-1, 1] == ends[1:, 0]).sum())


def see_order(job: OrderJob, run: int) -> tuple[tuple[int, int], int] | None:
    """One task: whether the keys of a run of traces ascend.

    Args:
        job: What all tasks share.
        run: Number of the run.

    Returns:
        First and last key, and how many are that of the trace before; None where one is less than that.
    """
    start = run * job.run_traces
    stop = min(start + job.run_traces, job.index.trace_count)
    keys, _ = job.key(job.index.read(start, stop, job.key.names))
    if not _is_ascending(keys):
        return None
    return (int(keys[0]), int(keys[-1])), int((keys[1:] == keys[:-1]).sum())


def count_in_band(runs: SortedRuns, band: int) -> int:
    """One task: repeats among the keys of one band, which come once in each run."""
    keys = np.concatenate([np.empty(0, np.uint64), *(records["key"].copy() for records in runs.read(band))])
    return int(keys.size - np.unique(keys).size)


def _is_ascending(keys: Keys) -> bool:
    return bool((keys[1:] >= keys[:-1]).all())


def _splitters(samples: Keys, band_count: int) -> Keys:
    """Keys that cut the samples, and so about all traces, into equal bands."""
    ranks = np.arange(1, band_count) * samples.size // band_count
    return np.unique(np.sort(samples)[ranks])
