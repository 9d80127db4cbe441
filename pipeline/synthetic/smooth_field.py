"""Smooth random fields that can be had one inline at a time.

A field is a lattice of random numbers, joined by cubic B-splines: four lattice points to a position along each axis.
Only the coarse lattice is held, and an inline is worked out by additions and multiplications in a fixed order, so its
values do not depend on which other inlines were asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_TAPS = 4


@dataclass(frozen=True, slots=True)
class _SplineAxis:
    """How positions along one axis mix lattice points.

    Attributes:
        first: intp (size,), the first of the four lattice points that a position uses.
        weights: float32 (4, size), what each of the four counts for.
    """

    first: NDArray[np.intp]
    weights: FloatArray

    @classmethod
    def of(cls, size: int, *, spacing: float) -> "_SplineAxis":
        position = np.arange(size) / spacing
        first = np.floor(position).astype(np.intp)
        u = position - first
        weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3])
        # Divided by their norm, not by their sum, so that the variance is the same at and between lattice points.
        return cls(first=first, weights=(weights / np.linalg.norm(weights, axis=0)).astype(np.float32))

    def interpolate(self, lattice: FloatArray, *, axis: int) -> FloatArray:
        along = [1] * lattice.ndim
        along[axis] = self.first.size
        values: FloatArray = np.take(lattice, self.first, axis=axis) * self.weights[0].reshape(along)
        for tap in range(1, _TAPS):
            values += np.take(lattice, self.first + tap, axis=axis) * self.weights[tap].reshape(along)
        return values

    def mix(self, lattice: FloatArray, *, index: int) -> FloatArray:
        """The one position ``index`` of the lattice's first axis, which goes."""
        values = lattice[self.first[index]] * self.weights[0, index]
        for tap in range(1, _TAPS):
            values = values + lattice[self.first[index] + tap] * self.weights[tap, index]
        return np.asarray(values, dtype=np.float32)


class SmoothField:
    """A random field over (inline, ...) with zero mean and unit variance, smooth on the scale of its spacing.

    Args:
        rng: Source of the lattice's numbers.
        shape: Sizes of the field in samples, inlines first; one to three axes.
        spacing: Distance between lattice points along each axis, in samples.
    """

    def __init__(self, rng: np.random.Generator, *, shape: Sequence[int], spacing: Sequence[float]) -> None:
        self._axes = [_SplineAxis.of(size, spacing=step) for size, step in zip(shape, spacing, strict=True)]
        self._lattice = rng.standard_normal([int(axis.first[-1]) + _TAPS for axis in self._axes], dtype=np.float32)

    def panel(self, inline_index: int) -> FloatArray:
        """The field at one inline.

        Args:
            inline_index: Position along the first axis.

        Returns:
            float32, the field's remaining axes; a scalar array for a field over inlines alone.
        """
        values = self._axes[0].mix(self._lattice, index=inline_index)
        # Last axis first: the array is then still coarse along the others.
        for axis in range(len(self._axes) - 1, 0, -1):
            values = self._axes[axis].interpolate(values, axis=axis - 1)
        return values
