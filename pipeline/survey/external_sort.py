"""Sorting what no memory holds: runs of traces, sorted by a key, that are then read band of keys by band of keys.

run 0   | band 0 | band 1 | band 2 |      a task sorts a run of traces and writes it, one object
run 1   | band 0 | band 1 | band 2 |
run 2   | band 0 | band 1 | band 2 |      a task reads one band out of all runs: it holds a part of all keys
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import absolute, read_object, remove_folder
from pipeline.survey.header_words import HeaderWords
from pipeline.survey.trace_index import TraceIndex
from pipeline.work.engine import run_windowed

RUN_TRACES = 2**20
"""Sorted at once, in about 100 MB. Fewer and longer runs make fewer and longer reads of bands."""

RECORD = np.dtype([("key", "<u8"), ("trace_number", "<i8")])
_OFFSET = np.dtype("<i8")

Keys = NDArray[np.uint64]


class Key(Protocol):
    """What traces are sorted by: a small picklable value with a `repr` that says all of it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Header words that it is made from."""

    def __call__(self, words: HeaderWords) -> tuple[Keys, NDArray[np.bool_]]:
        """Keys, and which traces have one, both (trace)."""


@dataclass(frozen=True, slots=True)
class SortJob:
    """What all tasks of a sort share.

    Attributes:
        index: The traces.
        key: What they are sorted by.
        splitters: uint64, ascending: first key of each band but the lowest one.
        folder: URL of the folder of the runs.
        run_traces: Traces in a run.
        outside: Folder for the running numbers of traces without a key; None keeps none.
    """

    index: TraceIndex
    key: Key
    splitters: Keys
    folder: str
    run_traces: int
    outside: str | None = None


@dataclass(frozen=True)
class SortedRuns:
    """Runs of sorted records in a folder.

    Attributes:
        folder: URL of the folder.
        bands: int32 (run, 2): the lowest band of which a run has keys, and the one after the highest.
        outside_count: Traces without a key.
    """

    folder: str
    bands: NDArray[np.int32]
    outside_count: int

    def read(self, band: int) -> Iterator[NDArray[Any]]:
        """The records of one band, run after run in the order of the traces.

        Yields:
            `RECORD` (trace), by ascending keys; those of equal keys in the order of the traces.
        """
        for run in np.flatnonzero((self.bands[:, 0] <= band) & (band < self.bands[:, 1])):
            lowest, end = (int(edge) for edge in self.bands[run])
            url, place = _run_url(self.folder, int(run)), (band - lowest) * _OFFSET.itemsize
            start, stop = np.frombuffer(read_object(url, place, place + 2 * _OFFSET.itemsize), _OFFSET).tolist()
            if start == stop:
                continue
            origin = (end - lowest + 1) * _OFFSET.itemsize
            content = read_object(url, origin + start * RECORD.itemsize, origin + stop * RECORD.itemsize)
            yield np.frombuffer(content, RECORD)


@contextmanager
def sort_runs(
    index: TraceIndex,
    key: Key,
    *,
    splitters: Keys,
    scratch: str,
    client: Client,
    run_traces: int = RUN_TRACES,
    outside: str | None = None,
) -> Iterator[SortedRuns]:
    """Sorts all traces, run by run.

    Sorting again after a process that was killed writes the same bytes to the same places.

    Args:
        index: The traces.
        key: What to sort by.
        splitters: uint64, ascending: first key of each band but the lowest one.
        scratch: Folder for the runs, a local path or an fsspec URL that workers reach too.
        client: Where to sort.
        run_traces: Traces in a run.
        outside: Folder for the running numbers of traces without a key: ``outside-RUN``, int64; None keeps none.

    Yields:
        The runs, which are removed at the end.
    """
    identity = (repr(index.files), repr(key), splitters.tobytes(), run_traces)
    folder = f"{absolute(scratch)}/sort-{hashlib.sha256(repr(identity).encode()).hexdigest()[:32]}"
    job = SortJob(index, key, splitters, folder, run_traces, outside)
    try:
        yield _sorted(job, client)
    finally:
        remove_folder(folder)


def _sorted(job: SortJob, client: Client) -> SortedRuns:
    run_count = -(-job.index.trace_count // job.run_traces)
    bands = np.zeros((run_count, 2), np.int32)
    outside_count = 0
    for outcome in run_windowed(client, sort_run, range(run_count), shared=job):
        bands[outcome.item], outside = outcome.result()
        outside_count += outside
    return SortedRuns(job.folder, bands, outside_count)


def sort_run(job: SortJob, run: int) -> tuple[tuple[int, int], int]:
    """One task: sorts one run and writes it.

    Args:
        job: What all runs share.
        run: Its number.

    Returns:
        Its bands as a half-open range, and its traces without a key.
    """
    start = run * job.run_traces
    stop = min(start + job.run_traces, job.index.trace_count)
    keys, has_key = job.key(job.index.read(start, stop, job.key.names))
    numbers = np.flatnonzero(has_key)
    order = np.argsort(keys[numbers], kind="stable")
    records = np.empty(numbers.size, RECORD)
    records["key"], records["trace_number"] = keys[numbers[order]], start + numbers[order]
    outside_count = stop - start - numbers.size
    if outside_count and job.outside is not None:
        write_object(f"{job.outside}/outside-{run}", (start + np.flatnonzero(~has_key)).astype(_OFFSET).tobytes())
    if not records.size:
        return (0, 0), outside_count
    lowest, highest = np.searchsorted(job.splitters, records["key"][[0, -1]], side="right").tolist()
    edges = np.searchsorted(records["key"], job.splitters[lowest:highest])
    offsets = np.concatenate([[0], edges, [records.size]]).astype(_OFFSET)
    write_object(_run_url(job.folder, run), [offsets.tobytes(), records.tobytes()])
    return (lowest, highest + 1), outside_count


def _run_url(folder: str, run: int) -> str:
    return f"{folder}/{run}.run"
