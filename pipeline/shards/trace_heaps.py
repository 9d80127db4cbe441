"""Badly ordered files: one pass from end to end puts the traces into heaps, one for each shard, on scratch.

range 0   | shard 0 | shard 1 | shard 2 |      a task reads a range of a file, and writes it sorted by shard, one object
range 1   | shard 0 | shard 1 | shard 2 |
range 2   | shard 0 | shard 1 | shard 2 |      a shard's task reads its piece out of each: two reads and two writes in
                                               all, whatever the disorder

A range begins with a table of where the pieces begin, int64, counted in traces. Each piece begins with the running
numbers of its traces, int64: headers put a trace into its heap, and it need not be the one that was expected there.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.costs import sort_range_nbytes
from pipeline.segy.read import read_into
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import object_names, read_object
from pipeline.survey.axis import Axis
from pipeline.survey.files import Survey
from pipeline.survey.header_words import HeaderWords
from pipeline.work.engine import run_windowed
from pipeline.work.progress import progress_bar

_NUMBER = np.dtype("<i8")


class OtherTraces(Exception):  # noqa: N818 (no error: whether it is one, the caller knows)
    """A heap holds other traces than were expected, in a sentence."""


@dataclass(frozen=True)
class TraceHeaps:
    """Where the traces of a survey lie, sorted by shard.

    Attributes:
        url: Folder on scratch.
        range_traces: Traces in a range of the survey: an object holds each.
        shard_grid: Shards along each trace dimension.
    """

    url: str
    range_traces: int
    shard_grid: tuple[int, ...]

    def read(
        self,
        shard: tuple[int, ...],
        ordered: NDArray[np.int64],
        out: NDArray[np.uint8],
        *,
        may_hold_others: bool = False,
    ) -> int:
        """Reads the traces of a shard.

        Args:
            shard: Its index on the trace dimensions.
            ordered: int64: its trace numbers, ascending.
            out: uint8 (trace, byte), contiguous: filled in that order.
            may_hold_others: Whether traces of the shard may have no cell, because others have theirs.

        Returns:
            Bytes read.

        Raises:
            OtherTraces: If the headers of other traces lie in the shard.
        """
        content = out.reshape(-1).data
        trace_nbytes = out.shape[1]
        position = int(np.ravel_multi_index(shard, self.shard_grid))
        table_nbytes = (int(np.prod(self.shard_grid)) + 1) * _NUMBER.itemsize
        done = 0
        for range_index in np.unique(ordered // self.range_traces).tolist():
            url = self.range_url(range_index)
            place = position * _NUMBER.itemsize
            first, last = np.frombuffer(read_object(url, place, place + 2 * _NUMBER.itemsize), _NUMBER).tolist()
            expected = ordered[ordered // self.range_traces == range_index]
            found = np.empty(last - first, _NUMBER)
            traces = content[done : done + expected.size * trace_nbytes]
            start = table_nbytes + first * (_NUMBER.itemsize + trace_nbytes)
            if found.size == expected.size:
                read_into(url, start, [found.view(np.uint8).data, traces])
            else:
                read_into(url, start, [found.view(np.uint8).data])
            is_complete = np.isin(expected, found).all() if may_hold_others else np.array_equal(found, expected)
            if not is_complete:
                raise OtherTraces(_other_traces(shard, found, expected))
            if found.size != expected.size:
                for row, place in enumerate(np.searchsorted(found, expected).tolist()):
                    begin = start + found.nbytes + place * trace_nbytes
                    read_into(url, begin, [traces[row * trace_nbytes : (row + 1) * trace_nbytes]])
            done += traces.nbytes
        return done

    def range_url(self, range_index: int) -> str:
        """Of the object that holds a range."""
        return f"{self.url}/{range_index}"


@dataclass(frozen=True)
class _HeapJob:
    survey: Survey
    axes: tuple[Axis, ...]
    chunks: ChunkPlan
    heaps: TraceHeaps


def make_heaps(
    survey: Survey, axes: tuple[Axis, ...], chunks: ChunkPlan, *, name: str, url: str, client: Client
) -> TraceHeaps:
    """Reads a survey from end to end and sorts its traces by shard; goes on where an earlier call stopped.

    Args:
        survey: The files.
        axes: Trace axes, each labelled by a header word.
        chunks: Chunks and shards.
        name: Of the variable, for the progress bar.
        url: Folder on scratch.
        client: Where the work is done.
    """
    heaps = heaps_of(survey, chunks, url=url)
    range_count = -(-survey.trace_count // heaps.range_traces)
    done = {name for name in object_names(url) if name.isdigit()}
    waiting = (index for index in range(range_count) if str(index) not in done)
    job = _HeapJob(survey, axes, chunks, heaps)
    with progress_bar(f"sort {name}", total_nbytes=survey.traces_nbytes) as advance:
        advance(len(done) * heaps.range_traces * survey.trace_nbytes, items=0)
        for outcome in run_windowed(client, _sort_range, waiting, shared=job):
            advance(outcome.result())
    return heaps


def heaps_of(survey: Survey, chunks: ChunkPlan, *, url: str) -> TraceHeaps:
    """The heaps of a survey, made or to be made."""
    range_nbytes = sort_range_nbytes(chunks.shard_count, survey.traces_nbytes)
    return TraceHeaps(url, max(1, range_nbytes // survey.trace_nbytes), chunks.shard_grid)


def _sort_range(job: _HeapJob, range_index: int) -> int:
    survey, heaps = job.survey, job.heaps
    start = range_index * heaps.range_traces
    numbers = np.arange(start, min(start + heaps.range_traces, survey.trace_count))
    traces = np.empty((numbers.size, survey.trace_nbytes), np.uint8)
    survey.read(numbers, traces)
    headers = traces[:, : survey.files[0].trace_header_nbytes]
    shards = _shards(job, survey.header_words(numbers, headers))
    order = np.argsort(shards, kind="stable")
    edges = np.searchsorted(shards[order], np.arange(int(np.prod(heaps.shard_grid)) + 1))
    parts = [memoryview(edges.astype(_NUMBER).tobytes())]
    for first, last in pairwise(np.unique(edges).tolist()):  # traces off the grid lie beyond the last
        rows = order[first:last]
        parts.append(memoryview(numbers[rows].astype(_NUMBER).tobytes()))
        parts += [traces[row].data for row in rows.tolist()]
    write_object(heaps.range_url(range_index), parts)
    return traces.nbytes


def _shards(job: _HeapJob, words: HeaderWords) -> NDArray[np.int64]:
    """int64 (trace): position of each trace's shard in storage order; one beyond the last for traces off the grid."""
    positions = [axis.positions_of(words) for axis in job.axes]
    inside = np.all([position >= 0 for position in positions], axis=0)
    shards = [position // length for position, length in zip(positions, job.chunks.trace_shard_shape, strict=True)]
    found = np.full(inside.shape, int(np.prod(job.heaps.shard_grid)), np.int64)
    found[inside] = np.ravel_multi_index([shard[inside] for shard in shards], job.heaps.shard_grid)
    return cast(NDArray[np.int64], found)


def _other_traces(shard: tuple[int, ...], found: NDArray[np.int64], expected: NDArray[np.int64]) -> str:
    strays, missing = np.setdiff1d(found, expected), np.setdiff1d(expected, found)
    if strays.size:
        return f"trace {strays[0]} lies in shard {shard} by its header, and was expected elsewhere"
    return f"trace {missing[0]} was expected in shard {shard}, and lies elsewhere by its header"
