"""A gain that evens out loud and quiet parts of a section, so that a loss does not see the loud ones alone.

Axes: T trace along the line, S sample; axes before T are lines.
"""

import numpy as np
import numpy.typing as npt

BOX = (15, 51)
"""Traces and samples over which the mean square is taken."""

FLOOR = 0.02
"""Least gain, in standard deviations of the training split: silence is not blown up."""

REACH = max(BOX) // 2
"""Samples around a sample that its gain depends on."""


def local_gain(section: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Root of the mean square in a box around each sample, cut at the section's edges, and of the floor's square.

    Args:
        section: Normalised amplitudes (..., T, S).

    Returns:
        Positive numbers (..., T, S), float32, to divide by.
    """
    square = section.astype(np.float64) ** 2
    for axis, width in zip((-2, -1), BOX, strict=True):
        square = _moving_mean(square, width=width, axis=axis)
    return np.sqrt(square.clip(min=0) + FLOOR**2).astype(np.float32)


def _moving_mean(values: npt.NDArray[np.float64], *, width: int, axis: int) -> npt.NDArray[np.float64]:
    size, half = values.shape[axis], width // 2
    place = np.arange(size)
    start, stop = np.maximum(place - half, 0), np.minimum(place + half + 1, size)
    leading = [(0, 0)] * values.ndim
    leading[axis] = (1, 0)
    sums = np.pad(values.cumsum(axis=axis), leading)
    shape = [1] * values.ndim
    shape[axis] = size
    totals = sums.take(stop, axis=axis) - sums.take(start, axis=axis)
    return np.asarray(totals / (stop - start).reshape(shape))
