"""The header words that make a geometry, and what is said of many of them: ranges and steps that merge."""

from math import gcd

import numpy as np
from numpy.typing import NDArray

from data_catalog.schema import Model
from pipeline.recipe import HeaderBytes
from pipeline.segy.fields import TRACE_FIELDS, Field

HeaderWords = dict[str, NDArray[np.int64]]
"""int64 (trace) by field name."""

NULL_WORD = -(2**31)
"""What some software writes for "no value" into a 4-byte header word."""

FIXED_FIELDS = ("offset", "coordinate_scalar", "coordinate_units", "delay_ms", "time_scalar")
"""Words that a recipe does not move."""


def geometry_fields(header_bytes: HeaderBytes) -> dict[str, Field]:
    """The fields that geometry and coordinates are made from, at the positions that a recipe gives."""
    return {name: TRACE_FIELDS[name] for name in FIXED_FIELDS} | {
        name: Field(first_byte, "i4") for name, first_byte in header_bytes.model_dump().items()
    }


def read_header_words(headers: NDArray[np.uint8], fields: dict[str, Field], *, byte_order: str) -> HeaderWords:
    """Takes the fields out of trace headers.

    Args:
        headers: uint8 (trace, header byte); a strided view is fine.
        fields: Which words, by name.
        byte_order: ``big`` or ``little``.
    """
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
    return {name: words[name].astype(np.int64) for name in fields}


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
    """

    trace_count: int
    ranges: dict[str, WordRange]
    null_position_count: int
    zero_scalar_count: int

    def merged(self, other: "HeaderSummary") -> "HeaderSummary":
        """What holds for the traces of both."""
        if not (self.trace_count and other.trace_count):
            return self if self.trace_count else other
        return HeaderSummary(
            trace_count=self.trace_count + other.trace_count,
            ranges={name: found.merged(other.ranges[name]) for name, found in self.ranges.items()},
            null_position_count=self.null_position_count + other.null_position_count,
            zero_scalar_count=self.zero_scalar_count + other.zero_scalar_count,
        )


def summarise(words: HeaderWords) -> HeaderSummary:
    """Summary of some traces' words; of no trace, one that merges as nothing."""
    trace_count = len(words["inline"])
    return HeaderSummary(
        trace_count=trace_count,
        ranges={name: _range(values) for name, values in words.items()} if trace_count else {},
        null_position_count=int((words["cdp_x"] == NULL_WORD).sum()),
        zero_scalar_count=int((words["coordinate_scalar"] == 0).sum()),
    )


def _range(values: NDArray[np.int64]) -> WordRange:
    least = int(values.min())
    return WordRange(least=least, greatest=int(values.max()), step=int(np.gcd.reduce(values - least)))
