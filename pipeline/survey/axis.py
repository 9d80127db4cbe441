"""Labelled dimensions: progressions, of any length a few numbers, or lists where labels come in no equal steps."""

from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data_catalog.schema import Model, Name, Size
from pipeline.survey.header_words import HeaderWords, is_auxiliary

MOST_LISTED = 2**17
"""Labels that are listed one by one: they are part of the plan, which every worker reads."""

_WORDS = {"record": "start_time", "receiver": "channel", "trace": None, "duplicate": None}


def word_of(axis_name: str) -> str | None:
    """The header word that labels an axis; None where positions are counted."""
    return _WORDS.get(axis_name, axis_name)


class Axis(Model):
    """A dimension of traces, labelled in equal steps, or as listed.

    Attributes:
        name: Dimension name.
        first: Label of position 0.
        step: From one label to the next.
        size: Number of labels.
        listed: All labels, ascending, where they come in no equal steps.
        long_name: CF long name.
        units: CF units; None for a number.
        is_of_data: Whether auxiliary traces, which may have the same labels, lie off it.
    """

    name: Name
    first: int
    step: Annotated[int, Field(ge=1)] = 1
    size: Size
    listed: tuple[int, ...] | None = None
    long_name: str
    units: str | None = None
    is_of_data: bool = False

    @property
    def word(self) -> str | None:
        """The header word that labels it; None where positions are counted."""
        return word_of(self.name)

    @property
    def words(self) -> tuple[str, ...]:
        """All header words that tell where on it a trace lies."""
        names = () if self.word is None else (self.word,)
        return (*names, "trace_identification") if self.is_of_data else names

    @property
    def last(self) -> int:
        """The last label."""
        return self.listed[-1] if self.listed else self.first + (self.size - 1) * self.step

    @property
    def values(self) -> NDArray[np.int64]:
        """All labels, int64, made anew each time: an axis of traces in file order is as long as the survey."""
        return self.labels(0, self.size)

    def labels(self, start: int, stop: int) -> NDArray[np.int64]:
        """The labels of a range of positions, int64."""
        if self.listed:
            return self._listed[start:stop]
        return self.first + self.step * np.arange(start, stop, dtype=np.int64)

    def positions(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position of each label, int64; -1 where the axis does not have it."""
        if self.listed:
            positions = np.minimum(np.searchsorted(self._listed, labels), self.size - 1)
            return np.where(self._listed[positions] == labels, positions, -1)
        positions, beside = np.divmod(labels - self.first, self.step)
        return np.where((beside == 0) & (positions >= 0) & (positions < self.size), positions, -1)

    def positions_of(self, words: HeaderWords) -> NDArray[np.int64]:
        """The position of each trace, int64 (trace); -1 where it does not lie on the axis.

        Args:
            words: Those of `words`: an axis on which positions are counted has none.
        """
        positions = self.positions(words[self.words[0]])
        return np.where(is_auxiliary(words), -1, positions) if self.is_of_data else positions

    @cached_property
    def _listed(self) -> NDArray[np.int64]:
        return np.array(self.listed, np.int64)


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
    interval_us: float
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
        return np.asarray(self.first + np.arange(self.size) * self.interval_us / 1000.0, np.float64)
