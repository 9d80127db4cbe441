"""Trace headers into a trace index, part by part on Dask. What an earlier run has read of a file is not read again."""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass

import numpy as np
from distributed import Client
from pydantic import ValidationError

from data_catalog.schema import Model
from pipeline.segy.headers import read_headers
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import absolute, find_object
from pipeline.survey.files import Survey
from pipeline.survey.header_words import HeaderSummary, HeaderWords, summarise
from pipeline.survey.trace_index import IndexedFile, TraceIndex, sampled_rows
from pipeline.work.engine import run_windowed
from pipeline.work.progress import progress_bar

INDEX_VERSION = 1
"""Of what a kept index holds and how; those of other versions are not used."""

PARTS_WANTED = 64
PART_TRACES = (1_024, 262_144)
PART_NBYTES = (2**29, 2**31)
"""Of a file, in one part: enough to be worth a task, and little enough to be read again after a failure."""

SAMPLED_TRACES = 8_192
"""Of all traces: enough to cut a survey into a hundred bands of nearly the same size."""

Part = tuple[int, int, int]
"""File index, first trace in the file, and the one after the last."""


class KeptSummary(Model):
    """What is known of a survey once all parts of its index are there.

    Attributes:
        summary: What all header words are like.
        first: Words of the first trace.
        samples: Words of some traces.
    """

    summary: HeaderSummary
    first: dict[str, int]
    samples: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ScanJob:
    """What all tasks of a scan share.

    Attributes:
        survey: The files.
        indexed: Where the index of each file goes.
        spacing: One trace out of each stretch of so many becomes a sample.
    """

    survey: Survey
    indexed: tuple[IndexedFile, ...]
    spacing: int


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What a task tells of its part."""

    summary: HeaderSummary
    first: dict[str, int]
    samples: HeaderWords


def scan(survey: Survey, *, keep: str, client: Client) -> TraceIndex:
    """Reads the headers of all traces.

    Args:
        survey: The files.
        keep: Folder for the index, a local path or an fsspec URL that workers reach too; surveys may share one. What is
            there of files that did not change is used.
        client: Where the reading is done.

    Returns:
        The index. Its arrays are `KEEP/DIGEST.zarr`, one a file; what is known of the whole is `KEEP/DIGEST.json`.

    Raises:
        InputError: If a file became shorter, or is another one than was opened.
        WorkError: If a file cannot be read, or the index not written.
    """
    folder = absolute(keep)
    job = ScanJob(
        survey,
        tuple(_indexed_file(survey, file_index, folder) for file_index in range(len(survey.files))),
        spacing=-(-survey.trace_count // SAMPLED_TRACES),
    )
    summary_url = f"{folder}/{_digest([*(file.url for file in job.indexed), job.spacing])}.json"
    kept = _kept(summary_url)
    if kept is None:
        kept = _read_parts(job, client)
        write_object(summary_url, kept.model_dump_json().encode())
    samples = {name: np.array(values, np.int64) for name, values in kept.samples.items()}
    return TraceIndex(job.indexed, kept.summary, kept.first, samples)


def _indexed_file(survey: Survey, file_index: int, folder: str) -> IndexedFile:
    """Names the index after all that decides what is in it: a file that changed has another one."""
    file, state = survey.files[file_index], survey.states[file_index]
    part_traces = _part_traces(file.trace_count, file.trace_nbytes)
    fields = {name: asdict(field) for name, field in survey.fields[file_index].items()}
    layout = (file.byte_order, file.header_nbytes, file.trace_nbytes, file.trace_count, part_traces)
    version = state.version or uuid.uuid4().hex  # where none is told, what was kept cannot be trusted
    digest = _digest([INDEX_VERSION, file.url, state.nbytes, version, layout, survey.names, fields])
    url = f"{folder}/{digest}.zarr"
    return IndexedFile(url=url, trace_count=file.trace_count, part_traces=part_traces, fields=survey.names)


def _part_traces(trace_count: int, trace_nbytes: int) -> int:
    least, most = (
        min(max(nbytes // trace_nbytes, PART_TRACES[0]), PART_TRACES[1], trace_count) for nbytes in PART_NBYTES
    )
    return min(max(-(-trace_count // PARTS_WANTED), least), most)


def _digest(values: list[object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]


def _kept(url: str) -> KeptSummary | None:
    content = find_object(url)
    try:
        return None if content is None else KeptSummary.model_validate_json(content)
    except ValidationError:  # damaged, or of another version: made anew
        return None


def _read_parts(job: ScanJob, client: Client) -> KeptSummary:
    for created in run_windowed(client, _create_array, range(len(job.indexed)), shared=job):
        created.result()
    parts = ((index, start, stop) for index, file in enumerate(job.indexed) for start, stop in file.parts())
    summary = HeaderSummary(trace_count=0, ranges={}, null_position_count=0, zero_scalar_count=0)
    first: dict[str, int] = {}
    samples: dict[Part, HeaderWords] = {}
    with progress_bar("read trace headers", total_nbytes=job.survey.traces_nbytes) as advance:
        for outcome in run_windowed(client, index_part, parts, shared=job):
            part: PartSummary = outcome.result()
            summary = summary.merged(part.summary)
            samples[outcome.item] = part.samples
            if outcome.item[:2] == (0, 0):
                first = part.first
            advance(part.summary.trace_count * job.survey.trace_nbytes)
    in_order = [samples[part] for part in sorted(samples)]
    return KeptSummary(
        summary=summary,
        first=first,
        samples={
            name: tuple(np.concatenate([words[name] for words in in_order]).tolist()) for name in job.survey.names
        },
    )


def _create_array(job: ScanJob, file_index: int) -> None:
    job.indexed[file_index].create()


def index_part(job: ScanJob, part: Part) -> PartSummary:
    """One task: reads a part's headers and writes its words, unless an earlier run did, and says what they are like.

    Args:
        job: What all tasks share.
        part: Which traces of which file.
    """
    file_index, start, stop = part
    words = job.indexed[file_index].read(start, stop, job.survey.names)
    if words is None:
        words = _header_words(job.survey, part)
        job.indexed[file_index].write(start, words)
    first_trace = job.survey.first_traces[file_index]
    rows = sampled_rows(first_trace + start, first_trace + stop, spacing=job.spacing) - first_trace - start
    return PartSummary(
        summarise(words),
        first={name: int(values[0]) for name, values in words.items()},
        samples={name: values[rows] for name, values in words.items()},
    )


def _header_words(survey: Survey, part: Part) -> HeaderWords:
    file_index, start, stop = part
    file = survey.files[file_index]
    words = [survey.read_words(headers, file_index) for headers in read_headers(file, start, stop)]
    survey.check_unchanged(file_index)  # before anything is kept under the name of the file that was opened
    return {name: np.concatenate([some[name] for some in words]) for name in survey.names}
