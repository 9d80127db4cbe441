"""A column of chunks, the same traces over all samples: decoded, cut up and counted while they are in the cache.

    trace 7   |---------|---------|---------|--      some traces at a time, each from one end to the other
    trace 8   |---------|---------|---------|--
              chunk 0    chunk 1   chunk 2   chunk 3 (padded)

Chunk by chunk, each trace would be fetched from memory once for every chunk, and each chunk once more to be counted.
Trace by trace, counting would begin anew for every few samples.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_catalog import layout
from pipeline.segy.samples import StoredTraces, decode_row
from pipeline.shards.statistics import BIN_LANES, add_samples, manifest_values
from pipeline.storage.rounding import round_in_place

TRACES_AT_ONCE = 16
"""Decoded before they are counted: with their samples they fit into a core's own cache."""


@njit("boolean(uint32[::1], uint32)", nogil=True, cache=True)
def _any_bit(words: NDArray[np.uint32], mask: np.uint32) -> bool:
    """Whether any word has one of some bits; soon answered, but for words of zeros."""
    for word in words:  # noqa: SIM110 (Numba compiles no generator)
        if word & mask:
            return True
    return False


@njit(
    "void(uint8[::1], int64, int64, boolean, int64, int64, int64, float32[:, ::1], boolean[::1], boolean[::1],"
    " boolean[::1], float64[::1])",
    nogil=True,
    cache=True,
)
def _decode_trace(  # noqa: PLR0913 (what the loop below calls for each trace, as Numba takes it)
    stored: NDArray[np.uint8],
    nbytes: int,
    target: int,
    swap: bool,
    code: int,
    dropped_bits: int,
    width: int,
    samples: NDArray[np.float32],
    live: NDArray[np.bool_],
    is_exact: NDArray[np.bool_],
    has_bits: NDArray[np.bool_],
    errors: NDArray[np.float64],
) -> None:
    """Decodes one trace into its place in each chunk."""
    for chunk in range(samples.shape[0]):
        start = chunk * width
        stop = min(start + width, stored.size // nbytes)
        part = samples[chunk, target * width : target * width + stop - start]
        if not decode_row(stored[start * nbytes : stop * nbytes], part, swap, code):
            is_exact[chunk] = False
        live[target] = live[target] or _any_bit(part.view(np.uint32), np.uint32(0x7FFFFFFF))
        if dropped_bits:
            errors[chunk] = max(errors[chunk], round_in_place(part, dropped_bits))
        has_bits[chunk] = has_bits[chunk] or _any_bit(part.view(np.uint32), np.uint32(0xFFFFFFFF))
        samples[chunk, target * width + stop - start : (target + 1) * width] = 0


@njit(
    "void(int64, int64, int64, int64, float32[:, ::1], boolean[::1], int64[:, ::1], float64[:, ::1],"
    " uint32[:, :, ::1])",
    nogil=True,
    cache=True,
)
def _count(  # noqa: PLR0913 (as Numba takes it)
    first: int,
    last: int,
    width: int,
    sample_count: int,
    samples: NDArray[np.float32],
    live: NDArray[np.bool_],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
    bins: NDArray[np.uint32],
) -> None:
    """Counts the samples of some live traces, which follow one another in each chunk but the last, padded one."""
    for chunk in range(samples.shape[0]):
        length = min(width, sample_count - chunk * width)
        begin = first
        while begin < last:
            end = begin + 1
            if live[begin]:
                while length == width and end < last and live[end]:
                    end += 1
                stop = (end - 1) * width + length
                add_samples(samples[chunk, begin * width : stop], counts[chunk], sums[chunk], bins[chunk])
            begin = end


@njit(
    "void(uint8[:, ::1], int64[::1], int64, int64, boolean, int64, int64, int64, float32[:, ::1], boolean[::1],"
    " boolean[::1], boolean[::1], float64[::1], int64[:, ::1], float64[:, ::1], uint32[:, :, ::1])",
    nogil=True,
    cache=True,
)
def _decode_column(  # noqa: PLR0913 (one loop over memory, as Numba takes it)
    traces: NDArray[np.uint8],
    rows: NDArray[np.int64],
    first_byte: int,
    nbytes: int,
    swap: bool,
    code: int,
    dropped_bits: int,
    width: int,
    samples: NDArray[np.float32],
    live: NDArray[np.bool_],
    is_exact: NDArray[np.bool_],
    has_bits: NDArray[np.bool_],
    errors: NDArray[np.float64],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
    bins: NDArray[np.uint32],
) -> None:
    for first in range(0, rows.size, TRACES_AT_ONCE):
        last = min(first + TRACES_AT_ONCE, rows.size)
        for target in range(first, last):
            live[target] = False
            if rows[target] < 0:
                samples[:, target * width : (target + 1) * width] = 0
            else:
                stored = traces[rows[target], first_byte:]
                _decode_trace(
                    stored, nbytes, target, swap, code, dropped_bits, width, samples, live, is_exact, has_bits, errors
                )
        sample_count = (traces.shape[1] - first_byte) // nbytes
        _count(first, last, width, sample_count, samples, live, counts, sums, bins)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of chunks, decoded.

    Attributes:
        samples: float32 (chunk, trace, sample): padded with 0; 0 too where there is no trace.
        live: bool (trace): whether there is one that is other than zero.
        is_exact: bool (chunk): whether encoding the samples certainly gives the words back.
        has_bits: bool (chunk): whether any sample is other than +0.0.
        rounding_error: float64 (chunk): the largest difference that rounding made.
        statistics: Values by the names of ``data_catalog.layout.STATISTICS``, each (chunk).
        histogram: uint32 (chunk, bin).
    """

    samples: NDArray[np.float32]
    live: NDArray[np.bool_]
    is_exact: NDArray[np.bool_]
    has_bits: NDArray[np.bool_]
    rounding_error: NDArray[np.float64]
    statistics: dict[str, NDArray[np.float64]]
    histogram: NDArray[np.uint32]


def decode_column(
    traces: StoredTraces, rows: NDArray[np.int64], *, width: int, out: NDArray[np.float32], dropped_bits: int = 0
) -> Column:
    """Decodes some traces into chunks.

    Args:
        traces: As read.
        rows: int64: which of them, -1 for none.
        width: Samples of each trace in a chunk.
        out: float32: at least as many elements as the chunks have; holds the column's samples.
        dropped_bits: Significant bits that samples are rounded off by.
    """
    chunk_count = ceil(traces.sample_count / width)
    samples = out[: chunk_count * rows.size * width].reshape(chunk_count, rows.size * width)
    live = np.empty(rows.size, np.bool_)
    is_exact, has_bits = np.ones(chunk_count, np.bool_), np.zeros(chunk_count, np.bool_)
    counts, sums = np.zeros((chunk_count, 4), np.int64), np.zeros((chunk_count, 3))
    errors = np.zeros(chunk_count)
    bins = np.zeros((chunk_count, BIN_LANES, layout.HISTOGRAM_BIN_COUNT), np.uint32)
    _decode_column(
        traces.content,
        rows,
        traces.header_nbytes,
        traces.sample_nbytes,
        traces.swap,
        traces.code,
        dropped_bits,
        width,
        samples,
        live,
        is_exact,
        has_bits,
        errors,
        counts,
        sums,
        bins,
    )
    return Column(
        samples=samples.reshape(chunk_count, rows.size, width),
        live=live,
        is_exact=is_exact,
        has_bits=has_bits,
        rounding_error=errors,
        statistics=manifest_values(counts, sums),
        histogram=bins.sum(axis=1, dtype=np.uint32),
    )
