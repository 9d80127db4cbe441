"""Trace index in, grid out: the kind of a survey and its axes, judged from a summary of its header words.

Inference proposes in the order ``stack3d``, ``stack2d``, ``flat``, and says why each one did or did not fit. Traces are
compared with each other only where the summary leaves it open whether some repeat the position of others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod

from distributed import Client

from data_catalog import InputError, Kind
from data_catalog.schema import Model
from pipeline.survey.axis import Axis
from pipeline.survey.header_words import WordRange
from pipeline.survey.repeats import count_repeats
from pipeline.survey.trace_index import TraceIndex

LEAST_FILL = 0.5
"""A dense grid is proposed where at least this share of its cells holds a trace."""

LEAST_FILL_ON_REQUEST = 0.1
"""A dense grid that was asked for may be emptier, but never ten times the file."""

CountRepeats = Callable[[TraceIndex, tuple[Axis, ...]], int]


class Geometry(Model):
    """Where the traces of a survey lie: each in a cell of its own.

    Attributes:
        kind: ``stack3d``, ``stack2d`` or ``flat``.
        axes: Trace axes, without the sample axis.
        trace_count: Traces in all.
        reasons: Why this kind and not an earlier one.
    """

    kind: Kind
    axes: tuple[Axis, ...]
    trace_count: int
    reasons: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def fill(self) -> float:
        """Share of cells that hold a trace."""
        return self.trace_count / prod(self.shape)


@dataclass(frozen=True, slots=True)
class Unfit:
    """A kind that the traces do not make, and why."""

    kind: Kind
    reason: str


def resolve_geometry(index: TraceIndex, *, kind: Kind | None = None, scratch: str, client: Client) -> Geometry:
    """The kind asked for, or the first one that fits.

    Args:
        index: Header words of all traces.
        kind: None infers it.
        scratch: Folder for what has to be sorted, a local path or an fsspec URL that workers reach too. Nothing stays.
        client: Where traces are compared.

    Raises:
        InputError: If the traces do not make the kind asked for.
    """
    repeats = partial(count_repeats, scratch=scratch, client=client)
    if kind is not None:
        attempt = _ATTEMPTS[kind](index, LEAST_FILL_ON_REQUEST, repeats)
        if isinstance(attempt, Unfit):
            raise InputError(
                f"the traces do not make a {kind}: {attempt.reason}. Name other header bytes, or another --kind; "
                "`python -m pipeline inspect` shows what fits."
            )
        return attempt
    reasons: list[str] = []
    for attempt_kind in _ATTEMPTS.values():
        attempt = attempt_kind(index, LEAST_FILL, repeats)
        if isinstance(attempt, Geometry):
            return attempt.model_copy(update={"reasons": (*reasons, *attempt.reasons)})
        reasons.append(f"not {attempt.kind}: {attempt.reason}")
    raise AssertionError("flat fits every file")


def stack3d(inlines: WordRange, crosslines: WordRange, *, trace_count: int) -> Geometry:
    """The grid of traces that each have an inline and a crossline of their own.

    Args:
        inlines: Inline numbers of all traces.
        crosslines: Their crossline numbers.
        trace_count: Traces in all.
    """
    axes = _axis("inline", inlines), _axis("crossline", crosslines)
    geometry = Geometry(kind=Kind.STACK3D, axes=axes, trace_count=trace_count)
    reason = f"stack3d: each trace has an inline and a crossline of its own, filling {geometry.fill:.1%} of the grid"
    return geometry.model_copy(update={"reasons": (reason,)})


def flat(trace_count: int) -> Geometry:
    """Traces in the order of the file."""
    return _in_order(Kind.FLAT, trace_count, "flat: traces in the order of the file")


def _as_stack3d(index: TraceIndex, least_fill: float, count_repeats: CountRepeats) -> Geometry | Unfit:
    ranges = index.summary.ranges
    geometry = stack3d(ranges["inline"], ranges["crossline"], trace_count=index.trace_count)
    for axis in geometry.axes:
        if axis.size < 2:
            return Unfit(Kind.STACK3D, f"the {axis.name} number is {axis.first} in every trace")
    inline_count, crossline_count = geometry.shape
    if geometry.fill < least_fill:
        return Unfit(
            Kind.STACK3D,
            f"the grid of {inline_count} x {crossline_count} would hold traces in {geometry.fill:.1%} of it",
        )
    if geometry.fill > 1:  # how many more repeat others would take a comparison of all of them
        found = f"at least {index.trace_count - inline_count * crossline_count}"
    elif repeated := count_repeats(index, geometry.axes):
        found = f"{repeated}"
    else:
        return geometry
    return Unfit(Kind.STACK3D, f"{found} traces repeat the inline and crossline of another one")


def _as_stack2d(index: TraceIndex, _: float, count_repeats: CountRepeats) -> Geometry | Unfit:
    ranges = index.summary.ranges
    if not ranges["offset"].is_constant:
        return Unfit(Kind.STACK2D, "offsets differ, so the traces are not stacked")
    for names in (("cdp",), ("inline", "crossline"), ("cdp_x", "cdp_y")):
        axes = tuple(_axis(name, ranges[name]) for name in names)
        if index.trace_count <= prod(axis.size for axis in axes) and not count_repeats(index, axes):
            reason = f"stack2d: each trace has a position of its own ({' and '.join(names)})"
            return _in_order(Kind.STACK2D, index.trace_count, reason)
    return Unfit(Kind.STACK2D, "neither CDP numbers nor coordinates tell the traces apart")


def _as_flat(index: TraceIndex, _: float, __: CountRepeats) -> Geometry | Unfit:
    return flat(index.trace_count)


_ATTEMPTS = {Kind.STACK3D: _as_stack3d, Kind.STACK2D: _as_stack2d, Kind.FLAT: _as_flat}


def _in_order(kind: Kind, trace_count: int, reason: str) -> Geometry:
    axis = Axis(name="trace", first=0, size=trace_count, long_name="trace, in the order of the file")
    return Geometry(kind=kind, axes=(axis,), trace_count=trace_count, reasons=(reason,))


def _axis(name: str, values: WordRange) -> Axis:
    """The labels from the least to the greatest by the largest step that reaches all of them."""
    return Axis(name=name, first=values.least, step=max(1, values.step), size=values.size, long_name=f"{name} number")
