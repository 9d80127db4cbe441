"""Times on a machine that others use too: pairs of runs right after one another, and the median of their ratios."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Work = Callable[[], object]


def timed(work: Work) -> float:
    """Seconds until some work is done and everything written is on the disk."""
    os.sync()
    begun = time.perf_counter()
    work()
    os.sync()
    return time.perf_counter() - begun


@dataclass(frozen=True)
class Pairs:
    """Times of something and of what it is compared with, each pair taken right after one another.

    Attributes:
        reference_s: Seconds of what it is compared with.
        measured_s: Seconds of what is measured.
    """

    reference_s: Sequence[float]
    measured_s: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """Measured over reference, pair by pair."""
        return [measured / reference for reference, measured in zip(self.reference_s, self.measured_s, strict=True)]

    def cells(self) -> tuple[str, str, str, str]:
        """For a table: `PAIR_COLUMNS`."""
        return (
            f"{median(self.reference_s):.2f}",
            f"{median(self.measured_s):.2f}",
            f"{median(self.ratios):.2f}",
            spread(self.ratios),
        )


PAIR_COLUMNS = ("reference, s", "measured, s", "ratio", "least - greatest")
"""Medians, and the range of the ratios."""


def spread(values: Sequence[float]) -> str:
    """Least and greatest."""
    return f"{min(values):.2f} - {max(values):.2f}"


def interleaved(variants: Mapping[str, Work], *, reference: Work, before: Work, repeats: int) -> dict[str, Pairs]:
    """Times several things against one reference.

    Args:
        variants: What to time, by name.
        reference: What to compare each with; it is run again right before each variant.
        before: Run before everything that is timed: clears what an earlier run left, and settles the page cache.
        repeats: Rounds through all variants.
    """
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in variants}
    for _ in range(repeats):
        for name, variant in variants.items():
            for seconds, work in zip(times[name], (reference, variant), strict=True):
                before()
                seconds.append(timed(work))
    return {name: Pairs(*seconds) for name, seconds in times.items()}


def median_s(work: Work, *, repeats: int, clock: Callable[[], float]) -> float:
    """Median seconds of some work: by `time.thread_time` those of a core, by `time.perf_counter` those on the wall."""
    seconds = []
    for _ in range(repeats):
        begun = clock()
        work()
        seconds.append(clock() - begun)
    return median(seconds)
