"""What becomes of the trace of each cell: it is there, or filled up, or one of several, or left out."""

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data_catalog import layout
from pipeline.segy.fields import IEEE
from pipeline.segy.samples import StoredTraces
from pipeline.survey.files import Survey
from pipeline.survey.order import NO_TRACE

PIECE_NBYTES = 16 * 2**20
"""Of traces, read at a time for a mean."""


def fates_of(
    numbers: NDArray[np.int64], shard_shape: tuple[int, ...], truncated: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Fates as far as samples do not tell otherwise.

    Args:
        numbers: int64 (trace dimensions): the trace of each cell that lies in the array.
        shard_shape: Cells of a whole shard.
        truncated: int64: traces that the end of their file cuts off.

    Returns:
        uint8, one of `layout.FATES` for each cell of the whole shard.
    """
    fates = np.full(shard_shape, layout.ABSENT, np.uint8)
    inside = fates[tuple(slice(0, size) for size in numbers.shape)]
    inside[numbers != NO_TRACE] = layout.KEPT
    if truncated.size:
        inside[np.isin(numbers, truncated)] = layout.TRUNCATED
    return fates


def counts_of(fates: NDArray[np.uint8]) -> dict[str, int]:
    """How many traces met each fate, those that any met."""
    counts = np.bincount(fates.reshape(-1), minlength=len(layout.FATES)).tolist()
    return {name: count for name, count in zip(layout.FATES[1:], counts[1:], strict=True) if count}


def averaged(
    traces: StoredTraces,
    rows: NDArray[np.int64],
    repeats: tuple[tuple[NDArray[np.intp], ...], NDArray[np.int64]],
    survey: Survey,
    fates: NDArray[np.uint8],
) -> StoredTraces:
    """Traces as floats, where several share a cell as their mean; the traces themselves where none do.

    Args:
        traces: One of each cell.
        rows: int64 (trace dimensions): which of them is in each cell.
        repeats: Cells of the others, and their running numbers.
        survey: Where those are read.
        fates: uint8 (trace dimensions): changed for the cells of the others.
    """
    shared, numbers = repeats
    is_whole = ~np.isin(numbers, survey.truncated_traces)  # zeros that stand for what is missing are no samples
    shared, numbers = tuple(index[is_whole] for index in shared), numbers[is_whole]
    if not numbers.size:
        return traces
    sums = traces.samples().astype(np.float64)
    counts = np.ones(len(sums))
    per_piece = max(1, PIECE_NBYTES // survey.trace_nbytes)
    for start in range(0, numbers.size, per_piece):
        piece = slice(start, start + per_piece)
        content = np.empty((numbers[piece].size, survey.trace_nbytes), np.uint8)
        survey.read(numbers[piece], content)
        held_by = rows[tuple(index[piece] for index in shared)]
        np.add.at(sums, held_by, replace(traces, content=content).samples())
        np.add.at(counts, held_by, 1)
    fates[shared] = layout.AVERAGED
    means = (sums / counts[:, None]).astype(np.float32)
    as_floats = np.concatenate([traces.headers, means.view(np.uint8)], axis=1)
    return StoredTraces(as_floats, traces.header_nbytes, sys.byteorder, IEEE)
