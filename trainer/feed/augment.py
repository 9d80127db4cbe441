"""Augmentation: training windows as they might have been recorded as well, drawn for each of them by itself."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.config import AugmentConfig
from trainer.data.normalise import Normalisation
from trainer.tasks.task import Window

Axes = tuple[int | None, ...]


def augmented(
    window: Window,
    *,
    config: AugmentConfig,
    dims: Sequence[str],
    label_axes: Axes,
    normalisation: Normalisation,
    generator: np.random.Generator,
) -> Window:
    """A window as it might have been.

    Args:
        window: As read, on the axes X; not changed.
        config: What may happen to it.
        dims: Names of X.
        label_axes: For each dimension of the label the axis of X that it is; None for one of its own.
        normalisation: Of the amplitudes.
        generator: Of the window; what is drawn of it for one change does not depend on the others.
    """
    polarity, loudness, shift_by, noise_by, drop_by, *flips = generator.random(5 + len(dims))  # whatever is wanted
    gain = 10 ** ((2 * loudness - 1) * config.gain_db / 20) * (-1 if polarity < config.polarity else 1)
    shift = math.floor(shift_by * (2 * config.time_shift + 1)) - config.time_shift
    keys = generator.random(window.live.shape[:-1])

    flipped = {axis for axis, dim in enumerate(dims) if dim in config.flip and flips[axis] < 0.5}
    last = len(dims) - 1
    own_axes: Axes = tuple(range(len(dims)))
    amplitude = _moved(window.amplitude, own_axes, flipped=flipped, shift=shift, last=last)
    live = _moved(window.live, own_axes, flipped=flipped, shift=shift, last=last)
    label = window.label
    if label is not None:
        label = _moved(label, label_axes, flipped=flipped, shift=shift, last=last)
    amplitude = amplitude * np.float32(gain)
    if config.noise:
        noise = generator.standard_normal(amplitude.shape, dtype=np.float32)
        amplitude += np.float32(noise_by * config.noise) * noise
    live = live & (keys >= drop_by * config.drop_traces)[..., None]
    amplitude[~live] = 0
    return replace(window, stored=normalisation.undo(amplitude), amplitude=amplitude, live=live, label=label)


def _moved(samples: npt.NDArray[Any], axes: Axes, *, flipped: set[int], shift: int, last: int) -> npt.NDArray[Any]:
    """Samples turned around along some axes, and shifted along the last one; zeros come in."""
    turned = np.ascontiguousarray(np.flip(samples, tuple(at for at, axis in enumerate(axes) if axis in flipped)))
    if not shift or last not in axes:
        return turned
    along = np.moveaxis(turned, axes.index(last), -1)
    moved = np.zeros_like(along)
    kept = along.shape[-1] - abs(shift)
    if kept > 0:
        moved[..., max(shift, 0) : max(shift, 0) + kept] = along[..., max(-shift, 0) : max(-shift, 0) + kept]
    return np.ascontiguousarray(np.moveaxis(moved, -1, axes.index(last)))
