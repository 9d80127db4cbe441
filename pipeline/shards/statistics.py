"""Statistics of inner chunks for the manifest, gathered a piece of a trace at a time: counts, moments, a histogram."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_catalog import layout

BIN_LANES = 4
"""Histograms filled by turns: successive samples often fall into one bin, whose counter they would wait for."""

_BIN_SHIFT = np.uint32(32 - (layout.HISTOGRAM_BIN_COUNT - 1).bit_length())
"""A bin is what is left of a float32's bits: sign, exponent and two bits of the fraction."""

_INFINITY = np.int32(0x7F800000)
_MINUS_INFINITY = np.int32(np.uint32(0xFF800000).view(np.int32) ^ np.int32(0x7FFFFFFF))
"""Infinities, and NaN beyond them, among bits that are in the order of the floats."""


@njit("UniTuple(int32, 2)(int32[::1])", nogil=True, cache=True)
def _extremes(bits: NDArray[np.int32]) -> tuple[np.int32, np.int32]:
    """Least and greatest of some samples, as integers in the order of the floats: the vector unit compares those."""
    least = np.int32(0x7FFFFFFF)
    greatest = np.int32(-0x80000000)
    for index in range(bits.size):
        ordered = np.int32(bits[index] ^ np.int32(np.int32(bits[index] >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        least = min(least, ordered)
        greatest = max(greatest, ordered)
    return least, greatest


@njit("UniTuple(float64, 2)(float32[::1], float64)", nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def _sums(samples: NDArray[np.float32], pivot: float) -> tuple[float, float]:
    """Sums of differences from a number and of their squares; in which order is left to the vector unit."""
    total = 0.0
    squares = 0.0
    for index in range(samples.size):
        difference = np.float64(samples[index]) - pivot
        total += difference
        squares += difference * difference
    return total, squares


@njit("void(uint32[::1], uint32[:, ::1])", nogil=True, cache=True)
def _add_to_bins(bits: NDArray[np.uint32], bins: NDArray[np.uint32]) -> None:
    """Counts finite samples in the bins of a chunk.

    Args:
        bits: uint32: bits of the samples.
        bins: uint32 (lane, bin).
    """
    whole = bits.size - bits.size % BIN_LANES
    for index in range(0, whole, BIN_LANES):
        bins[0, bits[index] >> _BIN_SHIFT] += np.uint32(1)
        bins[1, bits[index + 1] >> _BIN_SHIFT] += np.uint32(1)
        bins[2, bits[index + 2] >> _BIN_SHIFT] += np.uint32(1)
        bins[3, bits[index + 3] >> _BIN_SHIFT] += np.uint32(1)
    for index in range(whole, bits.size):
        bins[0, bits[index] >> _BIN_SHIFT] += np.uint32(1)


@njit("void(float32[::1], int64[::1], float64[::1], uint32[:, ::1])", nogil=True, cache=True)
def add_samples(
    samples: NDArray[np.float32], counts: NDArray[np.int64], sums: NDArray[np.float64], bins: NDArray[np.uint32]
) -> None:
    """Adds samples of a live trace to what is counted of a chunk.

    Args:
        samples: float32.
        counts: int64: finite samples, others, and the least and greatest as integers in the order of the floats.
        sums: float64: a number near the mean (the first sample), sums of differences from it and of their squares.
        bins: uint32 (lane, bin): a histogram in parts.
    """
    least, greatest = _extremes(samples.view(np.int32))
    if greatest >= _INFINITY or least <= _MINUS_INFINITY:
        finite = samples[np.isfinite(samples)]
        counts[1] += samples.size - finite.size
        if finite.size:
            add_samples(finite, counts, sums, bins)
        return
    if counts[0] == 0:
        sums[0] = np.float64(samples[0])
        counts[2], counts[3] = least, greatest
    total, squares = _sums(samples, sums[0])
    counts[0] += samples.size
    sums[1] += total
    sums[2] += squares
    counts[2] = min(counts[2], least)
    counts[3] = max(counts[3], greatest)
    _add_to_bins(samples.view(np.uint32), bins)


def manifest_values(counts: NDArray[np.int64], sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """What was added up, by the names of ``data_catalog.layout.STATISTICS``.

    Args:
        counts: int64 (chunk, 4), as ``add_samples`` leaves them.
        sums: float64 (chunk, 3), likewise.
    """
    count = counts[:, 0]
    is_empty = count == 0
    offset = sums[:, 1] / np.maximum(count, 1)
    mean = np.where(is_empty, 0.0, sums[:, 0] + offset)
    m2 = np.maximum(0.0, sums[:, 2] - offset * sums[:, 1])
    ordered = counts[:, 2:].astype(np.int32)
    floats = (ordered ^ (ordered >> 31 & np.int32(0x7FFFFFFF))).view(np.float32)
    extremes = np.where(is_empty[:, None], np.nan, floats.astype(np.float64))
    return dict(zip(layout.STATISTICS, (count, counts[:, 1], mean, m2, extremes[:, 0], extremes[:, 1]), strict=True))


def chunk_statistics(samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What the manifest tells of the samples of one chunk, of any shape; all of them count.

    Args:
        samples: Of any type of numbers; counted as float32.
    """
    counts, sums = np.zeros(4, np.int64), np.zeros(3)
    bins = np.zeros((BIN_LANES, layout.HISTOGRAM_BIN_COUNT), np.uint32)
    flat = np.ascontiguousarray(samples, np.float32).reshape(-1)
    if flat.size:
        add_samples(flat, counts, sums, bins)
    values = {name: found[0] for name, found in manifest_values(counts[None], sums[None]).items()}
    return values | {layout.HISTOGRAM: bins.sum(axis=0, dtype=np.uint32)}


def class_counts(labels: NDArray[np.uint8], live: NDArray[np.bool_], width: int) -> NDArray[np.int64]:
    """Samples of each label value in live traces: int64 (256).

    Args:
        labels: uint8 (trace, sample).
        live: bool (trace).
        width: Samples of each trace that count.
    """
    return np.bincount(labels[live, :width].reshape(-1), minlength=layout.CLASS_VALUE_COUNT).astype(np.int64)
