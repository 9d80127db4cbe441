"""Numbers that lie far off all others: of traces that were never given one, or whose headers were damaged."""

import numpy as np
from numpy.typing import NDArray

MOST_OUTLIERS = 0.01
"""Share of the traces that may lie far off before they are part of the survey."""

FAR = 10
"""Times the usual distance between neighbouring labels."""


def main_range(values: NDArray[np.int64]) -> tuple[int, int]:
    """Least and greatest of the values that lie together; of all, unless nearly all of them do.

    Args:
        values: int64: of a sample of traces, or of all.
    """
    labels, counts = np.unique(values, return_counts=True)
    whole = int(labels[0]), int(labels[-1])
    if labels.size < 3:
        return whole
    gaps = np.diff(labels)
    edges = np.flatnonzero(gaps > FAR * np.median(gaps)) + 1
    if not edges.size:
        return whole
    starts = np.r_[0, edges]
    sizes = np.add.reduceat(counts, starts)
    largest = int(sizes.argmax())
    if sizes[largest] < (1 - MOST_OUTLIERS) * values.size:
        return whole
    last = edges[largest] - 1 if largest < edges.size else labels.size - 1
    return int(labels[starts[largest]]), int(labels[last])


def extended_range(least: int, greatest: int, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """All labels that lie together with those of a range.

    Args:
        least: Of a range that `main_range` found in a sample.
        greatest: Of it.
        labels: int64, ascending: all that occur.
    """
    inside = np.flatnonzero((labels >= least) & (labels <= greatest))
    first, last = int(inside[0]), int(inside[-1])
    far = FAR * float(np.median(np.diff(labels[first : last + 1]))) if last > first else 0.0
    while first > 0 and labels[first] - labels[first - 1] <= far:
        first -= 1
    while last + 1 < labels.size and labels[last + 1] - labels[last] <= far:
        last += 1
    return labels[first : last + 1]
