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
        axes: Of header words; 2^64 cells at most.
    """

    axes: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Header words that it is made from."""
        return tuple(name for axis in self.axes for name in axis.words)

    def __call__(self, words: HeaderWords) -> tuple[Keys, NDArray[np.bool_]]:
        """Keys, and which traces have one, both (trace)."""
        keys = np.zeros(len(words[self.names[0]]), np.uint64)
        inside = np.ones(keys.size, np.bool_)
        for axis in self.axes:
            positions = axis.positions_of(words)
            inside &= positions >= 0
            keys = keys * np.uint64(axis.size) + positions.astype(np.uint64)
        return keys, inside


@dataclass(frozen=True, slots=True)
class OrderJob:
    """What all tasks share that see whether traces lie in order."""

    index: TraceIndex
    key: CellKey
    run_traces: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What counting found.

    Attributes:
        repeat_count: Traces whose position an earlier trace has.
        outside_count: Traces that lie off the axes.
    """

    repeat_count: int
    outside_count: int


def count_repeats(
    index: TraceIndex,
    axes: tuple[Axis, ...],
    *,
    scratch: str,
    client: Client,
    run_traces: int = RUN_TRACES,
    band_traces: int = BAND_TRACES,
) -> Counted:
    """Counts the traces whose position an earlier trace has, and those that lie off the axes.

    Args:
        index: The traces.
        axes: Of header words.
        scratch: Folder for what has to be sorted, a local path or an fsspec URL that workers reach too.
        client: Where to count.
        run_traces: Traces that a task looks at together.
        band_traces: Traces that a task compares, about.
    """
    for order in (axes, axes[::-1]):
        key = CellKey(order)
        keys, inside = key(index.samples)
        if inside.all() and _is_ascending(keys):
            count = _count_in_order(OrderJob(index, key, run_traces), client)
            if count is not None:
                return Counted(count, 0)
    splitters = _splitters(index, axes, band_traces)
    with sort_runs(
        index, CellKey(axes), splitters=splitters, scratch=scratch, client=client, run_traces=run_traces
    ) as runs:
        bands = range(splitters.size + 1)
        counts = (int(outcome.result()[0]) for outcome in run_windowed(client, count_in_band, bands, shared=runs))
        return Counted(sum(counts), runs.outside_count)


def greatest_multiplicity(
    index: TraceIndex, axes: tuple[Axis, ...], *, scratch: str, client: Client, band_traces: int = BAND_TRACES
) -> int:
    """The most traces that have one position in common.

    Args:
        index: The traces.
        axes: Of header words; traces that lie off them do not count.
        scratch: Folder for what has to be sorted, a local path or an fsspec URL that workers reach too.
        client: Where to count.
        band_traces: Traces that a task compares, about.
    """
    splitters = _splitters(index, axes, band_traces)
    with sort_runs(index, CellKey(axes), splitters=splitters, scratch=scratch, client=client) as runs:
        bands = range(splitters.size + 1)
        return max(int(outcome.result()[1]) for outcome in run_windowed(client, count_in_band, bands, shared=runs))


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
    keys, inside = job.key(job.index.read(start, stop, job.key.names))
    if not (inside.all() and _is_ascending(keys)):
        return None
    return (int(keys[0]), int(keys[-1])), int((keys[1:] == keys[:-1]).sum())


def count_in_band(runs: SortedRuns, band: int) -> tuple[int, int]:
    """One task: repeats among the keys of one band, and how often the most frequent one is there."""
    keys = np.concatenate([np.empty(0, np.uint64), *(records["key"].copy() for records in runs.read(band))])
    _, counts = np.unique(keys, return_counts=True)
    return int(keys.size - counts.size), int(counts.max(initial=0))


def _is_ascending(keys: Keys) -> bool:
    return bool((keys[1:] >= keys[:-1]).all())


def _splitters(index: TraceIndex, axes: tuple[Axis, ...], band_traces: int) -> Keys:
    """Keys that cut the samples, and so about all traces, into equal bands."""
    keys, inside = CellKey(axes)(index.samples)
    samples, band_count = keys[inside], -(-index.trace_count // band_traces)
    if not samples.size:
        return np.empty(0, np.uint64)
    ranks = np.arange(1, band_count) * samples.size // band_count
    return np.unique(np.sort(samples)[ranks])
