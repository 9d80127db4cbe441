"""Which traces a network does not get to see, and what linear interpolation makes of them.

Axes: T trace along the line, S sample; axes before T are lines. Traces are hidden whole.
"""

import math

import numpy as np
import numpy.typing as npt

from trainer.plan.windows import Extents, Ranges
from trainer.randomness import hashed

Traces = npt.NDArray[np.bool_]


def hide_some(live: Traces, *, fraction: float, generator: np.random.Generator) -> Traces:
    """Hides a random part of the live traces of a window: exactly the fraction, rounded.

    Args:
        live: Traces with samples, (..., T).
        fraction: Part to hide.
        generator: Draws which.

    Returns:
        Hidden traces, (..., T).
    """
    candidates = np.flatnonzero(live)
    chosen = generator.permutation(candidates)[: round(fraction * len(candidates))]
    hidden = np.zeros(live.size, dtype=np.bool_)
    hidden[chosen] = True
    return hidden.reshape(live.shape)


def hidden_on_grid(box: Ranges, *, grid: Extents, fraction: float, seed: int) -> Traces:
    """Which traces of a survey are hidden: a function of the trace's place alone, so that all tiles and ranks agree.

    Numbers each trace and hashes the number.

    Args:
        box: Part of the grid, a range for each trace dimension.
        grid: Traces of the survey along each of them.
        fraction: Part to hide, on average.
        seed: Of the run.

    Returns:
        Hidden traces of the box, live or not, on all trace dimensions.
    """
    number = np.ravel_multi_index(np.ix_(*(np.arange(*bounds) for bounds in box)), grid).astype(np.uint64)
    mixed = hashed(number, key=seed * math.prod(grid))
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53 < fraction)


def interpolate_linearly(amplitude: npt.NDArray[np.float32], *, visible: Traces) -> npt.NDArray[np.float32]:
    """Fills all other traces from the nearest visible ones of their line; constant towards the ends.

    Args:
        amplitude: (..., T, S).
        visible: (..., T).

    Returns:
        Amplitudes, (..., T, S) float32: visible traces unchanged, 0 in lines that show no trace.
    """
    place = np.broadcast_to(np.arange(visible.shape[-1]), visible.shape)
    last = visible.shape[-1]
    left = np.maximum.accumulate(np.where(visible, place, -1), axis=-1)
    right = np.minimum.accumulate(np.where(visible, place, last)[..., ::-1], axis=-1)[..., ::-1]
    seen = (left >= 0) | (right < last)
    left, right = np.where(left < 0, right, left), np.where(right == last, left, right)
    share = (place - left) / np.maximum(right - left, 1)
    left, right = (np.where(seen, side, 0)[..., None] for side in (left, right))
    weight = share.astype(np.float32)[..., None]
    filled = np.take_along_axis(amplitude, left, axis=-2) * (1 - weight)
    filled += np.take_along_axis(amplitude, right, axis=-2) * weight
    return np.where(seen[..., None], filled, np.float32(0))
