"""Statistics of inner chunks for the manifest: exact counts, and moments in two passes."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_catalog import layout


@njit("Tuple((int64, int64, float64, float64, float64))(float32[:, ::1], boolean[::1])", nogil=True, cache=True)
def _first_pass(samples: NDArray[np.float32], live: NDArray[np.bool_]) -> tuple[int, int, float, float, float]:
    count = 0
    nonfinite_count = 0
    total = 0.0
    minimum = np.inf
    maximum = -np.inf
    for trace in np.flatnonzero(live):
        for value in samples[trace]:
            if np.isfinite(value):
                count += 1
                total += np.float64(value)
                minimum = min(minimum, np.float64(value))
                maximum = max(maximum, np.float64(value))
            else:
                nonfinite_count += 1
    return count, nonfinite_count, total, minimum, maximum


@njit("float64(float32[:, ::1], boolean[::1], float64)", nogil=True, cache=True)
def _squared_differences(samples: NDArray[np.float32], live: NDArray[np.bool_], mean: float) -> float:
    total = 0.0
    for trace in np.flatnonzero(live):
        for value in samples[trace]:
            if np.isfinite(value):
                total += (np.float64(value) - mean) ** 2
    return total


def chunk_statistics(samples: NDArray[np.float32], live: NDArray[np.bool_]) -> dict[str, float]:
    """Manifest values of one chunk, by the names of ``data_catalog.layout.STATISTICS``.

    Args:
        samples: float32 (trace dimensions, sample).
        live: bool (trace dimensions); other traces do not count.
    """
    by_trace = np.ascontiguousarray(samples).reshape(-1, samples.shape[-1])
    live = np.ascontiguousarray(live).reshape(-1)
    count, nonfinite_count, total, minimum, maximum = _first_pass(by_trace, live)
    if count == 0:
        found = (0, nonfinite_count, 0.0, 0.0, np.nan, np.nan)
    else:
        mean = total / count
        found = (count, nonfinite_count, mean, _squared_differences(by_trace, live, mean), minimum, maximum)
    return dict(zip(layout.STATISTICS, found, strict=True))


def class_counts(labels: NDArray[np.uint8], live: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Samples of each label value in live traces: int64 (256).

    Args:
        labels: uint8 (trace dimensions, sample).
        live: bool (trace dimensions).
    """
    return np.bincount(labels[live].reshape(-1), minlength=layout.CLASS_VALUE_COUNT).astype(np.int64)
