"""What the axes of a picture are labelled with: the values of a dimension's coordinate."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_catalog.errors import InputError
from data_catalog.schema import Entry
from data_catalog.views.page.bounded_store import Store
from data_catalog.views.page.section_plan import Span

SINCE_1970 = "seconds since 1970-01-01"
"""How the labels of records begin their units (SPEC.md, "Kinds")."""


@dataclass(frozen=True)
class Axis:
    """One axis of a picture.

    Attributes:
        span: Which part of which dimension.
        values: Labels of what is drawn, float64.
        units: Of the labels; empty for a number.
        is_index: Whether they are indices, since the coordinate is nothing to draw with.
    """

    span: Span
    values: NDArray[np.float64]
    units: str
    is_index: bool

    @property
    def title(self) -> str:
        """Name, and units in brackets."""
        name = f"{self.span.dim} index" if self.is_index else self.span.dim
        return f"{name} ({self.units})" if self.units else name

    @property
    def is_even(self) -> bool:
        """Whether labels are evenly spaced, so that a linear axis tells them."""
        if len(self.values) < 2:
            return False
        steps = np.diff(self.values)
        return bool(steps[0]) and bool(np.allclose(steps, steps[0], rtol=1e-3))


def read_axis(store: Store, entry: Entry, span: Span) -> Axis:
    """Labels along a span; indices where the coordinate is missing, too large, or no numbers."""
    indices = np.arange(span.start, span.stop, span.step, dtype=np.float64)
    variable = entry.variables.get(span.dim)
    if variable is None or variable.dims != (span.dim,) or (variable.units or "").startswith(SINCE_1970):
        return Axis(span, indices, "", is_index=True)
    try:
        values = store.read(span.dim, [span.part]).astype(np.float64)
    except (InputError, ValueError):
        return Axis(span, indices, "", is_index=True)
    if not np.isfinite(values).all():
        return Axis(span, indices, "", is_index=True)
    return Axis(span, values, variable.units or "", is_index=False)


def label_at(store: Store, entry: Entry, dim: str, index: int) -> str:
    """What an index is called: ``inline 250``, ``time 1200 ms``."""
    variable = entry.variables.get(dim)
    units = (variable.units if variable else None) or ""
    if variable is None or variable.dims != (dim,):
        return f"{dim} at index {index}"
    try:
        value = store.read(dim, [slice(index, index + 1)])[0]
    except InputError:
        return f"{dim} at index {index}"
    if units.startswith(SINCE_1970):
        return f"{dim} of {moment(float(value))}"
    return f"{dim} {number(value)} {units}".strip()


def moment(seconds: float) -> str:
    """Seconds since 1970 as a date and a time."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s since 1970"


def number(value: Any, digits: int = 6) -> str:
    """A number as one would write it: whole ones in full, others with so many digits."""
    if isinstance(value, np.bool_ | bool):
        return "yes" if value else "no"
    if isinstance(value, np.integer | int):
        return str(int(value))
    if isinstance(value, np.floating | float):
        known = float(value)
        return f"{known:.0f}" if known.is_integer() and abs(known) < 1e9 else f"{known:.{digits}g}"
    return str(value)
