"""Trace headers into a trace index: the words that decide where each trace belongs, read with Dask."""

from dataclasses import dataclass

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from pipeline.engine import run_windowed
from pipeline.recipe import HeaderBytes
from pipeline.segy.fields import TRACE_FIELDS, Field, read_words
from pipeline.segy.read import read_traces
from pipeline.survey import Survey

SCAN_NBYTES = 32 * 2**20
"""Read at a time by one task. Headers lie among the samples, so the file is read through once."""


@dataclass(frozen=True, slots=True)
class TraceIndex:
    """Header words of every trace of a survey, in running order.

    Attributes:
        words: int64 (trace) by field name: ``inline``, ``crossline``, ``cdp``, ``offset``, ``cdp_x``, ``cdp_y``,
            ``coordinate_scalar``, ``coordinate_units``, ``delay_ms``, ``time_scalar``.
    """

    words: dict[str, NDArray[np.int64]]

    def __getitem__(self, field: str) -> NDArray[np.int64]:
        return self.words[field]


def index_fields(header_bytes: HeaderBytes) -> dict[str, Field]:
    """The fields of the index, at the positions that the recipe gives."""
    fixed = ("offset", "coordinate_scalar", "coordinate_units", "delay_ms", "time_scalar")
    return {name: TRACE_FIELDS[name] for name in fixed} | {
        name: Field(first_byte, "i4") for name, first_byte in header_bytes.model_dump().items()
    }


def scan(survey: Survey, *, header_bytes: HeaderBytes, client: Client) -> TraceIndex:
    """Reads the headers of all traces.

    Args:
        survey: The files.
        header_bytes: Positions of the geometry's words.
        client: Where the reading is done.

    Raises:
        InputError: If a file became shorter.
    """
    fields = index_fields(header_bytes)
    ranges = []
    for file_index, file in enumerate(survey.files):
        step = max(1, SCAN_NBYTES // file.trace_nbytes)
        ranges += [
            (file_index, start, min(start + step, file.trace_count)) for start in range(0, file.trace_count, step)
        ]
    results = dict(run_windowed(client, scan_range, ranges, shared=(survey, fields)))
    columns = [results[range_] for range_ in ranges]
    return TraceIndex({name: np.concatenate([column[name] for column in columns]) for name in fields})


def scan_range(shared: tuple[Survey, dict[str, Field]], range_: tuple[int, int, int]) -> dict[str, NDArray[np.int64]]:
    """One task: the index of the traces ``start`` to ``stop`` of one file.

    Args:
        shared: The survey and the fields.
        range_: File index, first trace, and the one after the last.
    """
    survey, fields = shared
    file_index, start, stop = range_
    file = survey.files[file_index]
    traces = read_traces(
        file.url, np.arange(start, stop), header_nbytes=file.header_nbytes, trace_nbytes=file.trace_nbytes
    )
    return {
        name: read_words(traces, field, byte_order=file.byte_order).astype(np.int64) for name, field in fields.items()
    }
