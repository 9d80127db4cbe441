"""Trace index in, grid out: the axes of a survey, and which trace lies where on them. Pure.

Inference proposes in the order ``stack3d``, ``stack2d``, ``flat``, and says why each one did or did not fit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError, Kind
from pipeline.scan import TraceIndex

LEAST_FILL = 0.5
"""A dense grid is proposed where at least this share of its cells holds a trace."""

LEAST_FILL_ON_REQUEST = 0.1
"""A dense grid that was asked for may be emptier, but never ten times the file."""

NO_TRACE = -1


@dataclass(frozen=True, slots=True)
class Axis:
    """One labelled dimension.

    Attributes:
        name: Dimension name.
        values: Labels, ascending; int64, or float64 with ``units``.
        long_name: CF long name.
        units: CF units; None for a number.
    """

    name: str
    values: NDArray[np.int64] | NDArray[np.float64]
    long_name: str
    units: str | None = None

    @property
    def size(self) -> int:
        """Number of labels."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the traces of a survey lie.

    Attributes:
        kind: ``stack3d``, ``stack2d`` or ``flat``.
        axes: Trace axes, without the sample axis.
        trace_number: int64 on ``axes``: running number of the trace in each cell, -1 where there is none.
        reasons: Why this kind and not an earlier one.
    """

    kind: Kind
    axes: tuple[Axis, ...]
    trace_number: NDArray[np.int64]
    reasons: tuple[str, ...] = ()

    @property
    def fill(self) -> float:
        """Share of cells that hold a trace."""
        return float((self.trace_number != NO_TRACE).mean())


@dataclass(frozen=True, slots=True)
class Unfit:
    """A kind that the traces do not make, and why."""

    kind: Kind
    reason: str


def resolve_geometry(index: TraceIndex, *, kind: Kind | None = None) -> Geometry:
    """The kind asked for, or the first one that fits.

    Args:
        index: Header words of all traces.
        kind: None infers it.

    Raises:
        InputError: If the traces do not make the kind asked for.
    """
    if kind is not None:
        attempt = _ATTEMPTS[kind](index, LEAST_FILL_ON_REQUEST)
        if isinstance(attempt, Unfit):
            raise InputError(
                f"the traces do not make a {kind}: {attempt.reason}. Name other header bytes, or another --kind; "
                "`python -m pipeline inspect` shows what fits."
            )
        return attempt
    reasons: list[str] = []
    for attempt_kind in _ATTEMPTS.values():
        attempt = attempt_kind(index, LEAST_FILL)
        if isinstance(attempt, Geometry):
            return Geometry(attempt.kind, attempt.axes, attempt.trace_number, (*reasons, *attempt.reasons))
        reasons.append(f"not {attempt.kind}: {attempt.reason}")
    raise AssertionError("flat fits every file")


def _as_stack3d(index: TraceIndex, least_fill: float) -> Geometry | Unfit:
    steps = {name: _regular_steps(index[name]) for name in ("inline", "crossline")}
    for name, (first, _, size) in steps.items():
        if size < 2:
            return Unfit(Kind.STACK3D, f"the {name} number is {first} in every trace")
    inline_count, crossline_count = (size for _, _, size in steps.values())
    fill = len(index["inline"]) / (inline_count * crossline_count)
    if fill < least_fill:  # judged before any array of the grid's size is made
        return Unfit(
            Kind.STACK3D, f"the grid of {inline_count} x {crossline_count} would hold traces in {fill:.1%} of it"
        )
    axes = [
        Axis(name, first + step * np.arange(size, dtype=np.int64), f"{name} number")
        for name, (first, step, size) in steps.items()
    ]
    cells = tuple(_positions(axis, index[axis.name]) for axis in axes)
    occupied = np.unique(np.ravel_multi_index(cells, (axes[0].size, axes[1].size)))
    if len(occupied) < len(index["inline"]):
        repeated = len(index["inline"]) - len(occupied)
        return Unfit(Kind.STACK3D, f"{repeated} traces repeat the inline and crossline of another one")
    trace_number = np.full((axes[0].size, axes[1].size), NO_TRACE, np.int64)
    trace_number[cells] = np.arange(len(index["inline"]))
    return Geometry(
        Kind.STACK3D,
        tuple(axes),
        trace_number,
        (f"stack3d: each trace has an inline and a crossline of its own, filling {fill:.1%} of the grid",),
    )


def _as_stack2d(index: TraceIndex, _: float) -> Geometry | Unfit:
    trace_count = len(index["cdp"])
    if len(np.unique(index["offset"])) > 1:
        return Unfit(Kind.STACK2D, "offsets differ, so the traces are not stacked")
    for names in (("cdp",), ("inline", "crossline"), ("cdp_x", "cdp_y")):
        positions = np.stack([index[name] for name in names])
        if np.unique(positions, axis=1).shape[1] == trace_count:
            reason = f"stack2d: each trace has a position of its own ({' and '.join(names)})"
            return _in_order(Kind.STACK2D, trace_count, reason)
    return Unfit(Kind.STACK2D, "neither CDP numbers nor coordinates tell the traces apart")


def _as_flat(index: TraceIndex, _: float) -> Geometry | Unfit:
    return _in_order(Kind.FLAT, len(index["cdp"]), "flat: traces in the order of the file")


_ATTEMPTS = {Kind.STACK3D: _as_stack3d, Kind.STACK2D: _as_stack2d, Kind.FLAT: _as_flat}


def _in_order(kind: Kind, trace_count: int, reason: str) -> Geometry:
    numbers = np.arange(trace_count, dtype=np.int64)
    return Geometry(kind, (Axis("trace", numbers, "trace, in the order of the file"),), numbers, (reason,))


def _regular_steps(labels: NDArray[np.int64]) -> tuple[int, int, int]:
    """First label, the largest step that reaches all of them, and how many labels that makes."""
    distinct = np.unique(labels)
    step = int(np.gcd.reduce(np.diff(distinct))) if len(distinct) > 1 else 1
    return int(distinct[0]), step, (int(distinct[-1]) - int(distinct[0])) // step + 1


def _positions(axis: Axis, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(axis.values, labels).astype(np.int64)


def match_traces(geometry: Geometry, index: TraceIndex) -> NDArray[np.int64]:
    """Finds, for each cell of a grid, the trace of another survey that lies there.

    Args:
        geometry: The grid of the main survey.
        index: Header words of the other survey.

    Returns:
        int64 like ``geometry.trace_number``: running trace numbers of the other survey, -1 in empty cells.

    Raises:
        InputError: If the other survey does not lie on the same grid, trace by trace.
    """
    count = len(index["inline"])
    expected = int((geometry.trace_number != NO_TRACE).sum())
    if geometry.kind is not Kind.STACK3D:
        if count != expected:
            raise InputError(f"expected {expected} traces as in the main survey, found {count}")
        return geometry.trace_number
    matched = np.full_like(geometry.trace_number, NO_TRACE)
    inside = np.isin(index["inline"], geometry.axes[0].values) & np.isin(index["crossline"], geometry.axes[1].values)
    cells = tuple(_positions(axis, index[axis.name][inside]) for axis in geometry.axes)
    matched[cells] = np.flatnonzero(inside)
    missing = int(((matched == NO_TRACE) & (geometry.trace_number != NO_TRACE)).sum())
    extra = count - int(((matched != NO_TRACE) & (geometry.trace_number != NO_TRACE)).sum())
    if missing or extra:
        raise InputError(
            f"{missing} of the main survey's {expected} traces have no partner at their inline and crossline, "
            f"and {extra} of {count} traces lie elsewhere or twice"
        )
    return matched
