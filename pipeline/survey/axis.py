"""Labelled dimensions as progressions: an axis of any length is a few numbers."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data_catalog.schema import Model, Name, Size


class Axis(Model):
    """A dimension of traces, labelled in equal steps.

    Attributes:
        name: Dimension name.
        first: Label of position 0.
        step: From one label to the next.
        size: Number of labels.
        long_name: CF long name.
        units: CF units; None for a number.
    """

    name: Name
    first: int
    step: Annotated[int, Field(ge=1)] = 1
    size: Size
    long_name: str
    units: str | None = None

    @property
    def last(self) -> int:
        """The last label."""
        return self.first + (self.size - 1) * self.step

    @property
    def values(self) -> NDArray[np.int64]:
        """All labels, int64, made anew each time: an axis of traces in file order is as long as the survey."""
        return self.labels(0, self.size)

    def labels(self, start: int, stop: int) -> NDArray[np.int64]:
        """The labels of a range of positions, int64."""
        return self.first + self.step * np.arange(start, stop, dtype=np.int64)

    def positions(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position of each label, int64; -1 where the axis does not have it."""
        positions, beside = np.divmod(labels - self.first, self.step)
        return np.where((beside == 0) & (positions >= 0) & (positions < self.size), positions, -1)


class SampleAxis(Model):
    """The dimension of samples, labelled in times or depths.

    Attributes:
        name: Dimension name.
        first: Time in ms, or depth, of sample 0.
        interval_us: Sample interval in microseconds, or in thousandths of the depth's unit.
        size: Number of samples.
        long_name: CF long name.
        units: CF units.
    """

    name: Name
    first: float
    interval_us: int
    size: Size
    long_name: str
    units: str

    @property
    def last(self) -> float:
        """The last label."""
        return float(self.values[-1])

    @property
    def values(self) -> NDArray[np.float64]:
        """All labels, float64."""
        return self.first + np.arange(self.size) * self.interval_us / 1000.0
