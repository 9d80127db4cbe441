"""The windows of all datasets that a run reads, one dataset after the other, and who reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainer.feed.window_reader import Request, WindowReader
from trainer.plan.windows import Indices, WindowPlan


@dataclass(frozen=True)
class Source:
    """The windows of one dataset.

    Attributes:
        plan: Where they lie.
        reader: Reads them.
    """

    plan: WindowPlan
    reader: WindowReader


@dataclass(frozen=True)
class Sources:
    """Windows by number, counted over all datasets.

    Attributes:
        each: Those of each dataset.
    """

    each: Sequence[Source]

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def announce(self, windows: Indices) -> None:
        """Says that windows will be read, each of them once for each time that it is named."""
        for source, _, own in self._by_source(windows):
            source.reader.announce(*source.plan.ranges(own))

    def withdraw(self, windows: Indices) -> None:
        """Says that windows that were announced will not be read after all."""
        for source, _, own in self._by_source(windows):
            source.reader.withdraw(*source.plan.ranges(own))

    def requests(self, windows: Indices) -> list[Request]:
        """What to read of some windows, in their order."""
        found: dict[int, Request] = {}
        for source, places, own in self._by_source(windows):
            found.update(zip(places.tolist(), source.reader.requests(*source.plan.ranges(own)), strict=True))
        return [found[place] for place in range(len(windows))]

    @cached_property
    def _firsts(self) -> Indices:
        return np.cumsum([0, *(len(source.plan) for source in self.each)], dtype=np.int64)

    def _by_source(self, windows: Indices) -> list[tuple[Source, Indices, Indices]]:
        """The datasets that windows are of, which of the windows those are, and their numbers in their own plan."""
        number = np.searchsorted(self._firsts, windows, side="right") - 1
        chosen = [(source, np.flatnonzero(number == at), self._firsts[at]) for at, source in enumerate(self.each)]
        return [(source, places, windows[places] - first) for source, places, first in chosen if len(places)]
