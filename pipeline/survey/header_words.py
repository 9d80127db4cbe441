"""The header words that make a geometry, and what is said of many of them: ranges and steps that merge."""

from collections.abc import Iterable
from math import gcd

import numpy as np
from numpy.typing import NDArray

from data_catalog.schema import Model
from pipeline.segy.fields import TRACE_FIELDS, Field

HeaderWords = dict[str, NDArray[np.int64]]
"""int64 (trace) by field name."""

NULL_WORD = -(2**31)
"""What some software writes for "no value" into a 4-byte header word."""

STACKED = (
    *("offset", "coordinate_scalar", "coordinate_units", "delay_ms", "time_scalar"),
    *("inline", "crossline", "cdp", "cdp_x", "cdp_y"),
)
"""Words that tell where stacked traces lie."""

PRESTACK = (
    *(*STACKED, "shot", "source_point", "channel", "cable", "component", "trace_identification"),
    *("source_x", "source_y", "receiver_x", "receiver_y"),
)
"""Words that tell where traces lie that are not stacked."""

AUXILIARY = (*range(4, 11), *range(18, 23))
"""Trace identification codes (SEG-Y revision 1, bytes 29-30) of what is no data: time breaks, upholes, sweeps, timing,
water breaks and gun signatures; what vibrators did; and pairs of times and velocities."""

MOST_AUXILIARY = 0.2
"""Share of the traces that may be auxiliary before their codes are taken for something else, such as components."""

START_TIME = "start_time"
"""Not a word but made of some: seconds since 1970, of the first sample, in the time base of the file."""

CLOCK = ("year", "day_of_year", "hour", "minute", "second")
"""Words that the start time is made of."""

CONTINUOUS = (*PRESTACK, START_TIME)
"""Words that tell where the traces of continuous records lie."""

STANDARD = TRACE_FIELDS | {"cable": Field(137, "i2"), "component": TRACE_FIELDS["trace_identification"]}
"""Where words are if nothing else is known. Cables have no place in the standard; this one is common (MDIO, SEG-D)."""

NOWHERE = Field(0, "i4")
"""Of a word that a file does not have: it is 0 in every trace."""

OF_SEISMIC_UNIX = dict.fromkeys(("inline", "crossline", "cdp_x", "cdp_y", "time_scalar"), NOWHERE)
"""Its traces have other things, floats among them, from byte 181 on."""

Fields = dict[str, Field]


def read_header_words(
    headers: NDArray[np.uint8], fields: Fields, names: Iterable[str], *, byte_order: str
) -> HeaderWords:
    """Takes words out of trace headers.

    Args:
        headers: uint8 (trace, header byte); a strided view is fine.
        fields: Where words are, by name.
        names: Which words.
        byte_order: ``big`` or ``little``.
    """
    names = tuple(names)
    if START_TIME in names:
        found = read_header_words(headers, fields, {*names, *CLOCK} - {START_TIME}, byte_order=byte_order)
        found[START_TIME] = start_times(found)
        return {name: found[name] for name in names}
    absent = [name for name in names if fields[name] == NOWHERE]
    fields = {name: fields[name] for name in names if name not in absent}
    compact = np.ascontiguousarray(headers)  # one pass over memory that lies far apart, then many over what is near
    order = ">" if byte_order == "big" else "<"
    dtype = np.dtype(
        {
            "names": list(fields),
            "formats": [f"{order}{field.dtype}" for field in fields.values()],
            "offsets": [field.first_byte - 1 for field in fields.values()],
            "itemsize": compact.shape[1],
        }
    )
    words = compact.view(dtype)[:, 0]
    found = {name: words[name].astype(np.int64) for name in fields}
    return found | {name: np.zeros(len(compact), np.int64) for name in absent}


def start_times(words: HeaderWords) -> NDArray[np.int64]:
    """Seconds since 1970 of the first sample: years of two digits lie in 1970 to 2069.

    Args:
        words: Those of `CLOCK`.
    """
    years = words["year"]
    years = np.where((years >= 0) & (years < 100), years + np.where(years < 70, 2000, 1900), years)
    years = np.clip(years, 1902, 2037)  # what 32 bits hold
    begins = np.clip(years - 1970, -68, 67).astype("datetime64[Y]").astype("datetime64[s]").astype(np.int64)
    days = np.clip(words["day_of_year"] - 1, 0, 365)
    seconds = 3600 * words["hour"] + 60 * words["minute"] + words["second"]
    return np.asarray(begins + 86400 * days + np.clip(seconds, 0, 86400), np.int64)


class WordRange(Model):
    """The values of one field over some traces.

    Attributes:
        least: Smallest value.
        greatest: Largest value.
        step: Largest number that divides every difference between values; 0 where all are equal.
    """

    least: int
    greatest: int
    step: int

    @property
    def is_constant(self) -> bool:
        """Whether all values are equal."""
        return self.least == self.greatest

    @property
    def size(self) -> int:
        """Labels from the least to the greatest by steps."""
        return 1 if self.is_constant else (self.greatest - self.least) // self.step + 1

    def merged(self, other: "WordRange") -> "WordRange":
        """What holds for the traces of both."""
        return WordRange(
            least=min(self.least, other.least),
            greatest=max(self.greatest, other.greatest),
            step=gcd(self.step, other.step, abs(self.least - other.least)),
        )


class HeaderSummary(Model):
    """What the header words of some traces are like; summaries of different traces merge.

    Attributes:
        trace_count: How many traces.
        ranges: By field name.
        null_position_count: Traces whose ``cdp_x`` says that there is no value.
        zero_scalar_count: Traces whose coordinate scalar is 0.
        auxiliary_count: Traces that are no data by their identification; 0 where that word was not read.
    """

    trace_count: int
    ranges: dict[str, WordRange]
    null_position_count: int
    zero_scalar_count: int
    auxiliary_count: int = 0

    def merged(self, other: "HeaderSummary") -> "HeaderSummary":
        """What holds for the traces of both."""
        if not (self.trace_count and other.trace_count):
            return self if self.trace_count else other
        return HeaderSummary(
            trace_count=self.trace_count + other.trace_count,
            ranges={name: found.merged(other.ranges[name]) for name, found in self.ranges.items()},
            null_position_count=self.null_position_count + other.null_position_count,
            zero_scalar_count=self.zero_scalar_count + other.zero_scalar_count,
            auxiliary_count=self.auxiliary_count + other.auxiliary_count,
        )


def summarise(words: HeaderWords) -> HeaderSummary:
    """Summary of some traces' words; of no trace, one that merges as nothing."""
    trace_count = len(words["inline"])
    return HeaderSummary(
        trace_count=trace_count,
        ranges={name: range_of(values) for name, values in words.items()} if trace_count else {},
        null_position_count=int((words["cdp_x"] == NULL_WORD).sum()),
        zero_scalar_count=int((words["coordinate_scalar"] == 0).sum()),
        auxiliary_count=int(is_auxiliary(words).sum()) if "trace_identification" in words else 0,
    )


def is_auxiliary(words: HeaderWords) -> NDArray[np.bool_]:
    """Which traces are no data by their identification, which is one of the words; bool (trace)."""
    return np.isin(words["trace_identification"], AUXILIARY)


def of_data(words: HeaderWords) -> HeaderWords:
    """Words of those traces that are data."""
    is_data = ~is_auxiliary(words)
    return {name: values[is_data] for name, values in words.items()}


def range_of(values: NDArray[np.int64]) -> WordRange:
    """Least, greatest and step of some values, at least one."""
    least = int(values.min())
    return WordRange(least=least, greatest=int(values.max()), step=int(np.gcd.reduce(values - least)))
