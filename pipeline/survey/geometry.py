"""Trace index in, grid out: whether what a sample of headers proposes holds for all of them.

Traces are compared with each other only where the summary leaves it open whether some repeat the cell of others.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from distributed import Client

from data_catalog import Kind
from data_catalog.schema import Model
from pipeline.survey.axis import MOST_LISTED, Axis, word_of
from pipeline.survey.distinct import distinct_values
from pipeline.survey.header_words import MOST_AUXILIARY, WordRange, of_data, range_of
from pipeline.survey.inference import LEAST_FILL, MOST_REPEATS, Proposal
from pipeline.survey.outliers import MOST_OUTLIERS, extended_range, main_range
from pipeline.survey.repeats import count_repeats
from pipeline.survey.trace_index import TraceIndex

LEAST_FILL_ON_REQUEST = 0.1
"""A dense grid that was asked for may be emptier, but never ten times the file."""

_MOST_CELLS = 2**63

_LONG_NAMES = {
    "cdp": "CDP number",
    "shot": "shot number",
    "offset": "source-receiver offset",
    "record": "start of the record",
}
_UNITS = {"record": "seconds since 1970-01-01 00:00:00"}


class Geometry(Model):
    """Where the traces of a survey lie: each in a cell of its own.

    Attributes:
        kind: What the dimensions mean.
        axes: Trace axes, without the sample axis.
        keys: Words that tell traces apart, where the only axis is the order of the file.
        trace_count: Traces in all.
        repeat_count: Of them those whose cell, or whose numbers where there are no cells, an earlier one has.
        outside_count: Of them those that lie off the axes: their numbers are far off, or they are auxiliary.
        auxiliary_count: Those that lie off the axes because they are auxiliary.
        reasons: Why this kind and not an earlier one.
    """

    kind: Kind
    axes: tuple[Axis, ...]
    keys: tuple[str, ...] = ()
    trace_count: int
    repeat_count: int = 0
    outside_count: int = 0
    auxiliary_count: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(axis.size for axis in self.axes)

    @property
    def fill(self) -> float:
        """Share of cells that hold a trace."""
        return (self.trace_count - self.repeat_count - self.outside_count) / prod(self.shape)

    @property
    def is_in_file_order(self) -> bool:
        """Whether the only axis counts traces as they come."""
        return self.axes[0].word is None


@dataclass(frozen=True, slots=True)
class Demand:
    """What a geometry has to keep to.

    Attributes:
        least_fill: Share of cells that have to hold a trace.
        most_repeats: Share of traces that may repeat the cell of another.
    """

    least_fill: float = LEAST_FILL
    most_repeats: float = MOST_REPEATS


@dataclass(frozen=True, slots=True)
class Unfit:
    """A kind that the traces do not make, and why."""

    kind: Kind
    reason: str


def resolve_geometry(
    index: TraceIndex, proposal: Proposal, *, demand: Demand, scratch: str, client: Client
) -> Geometry | Unfit:
    """Sees whether all traces make what a sample of them proposes.

    Args:
        index: Header words of all traces.
        proposal: What they should make.
        demand: What it has to keep to.
        scratch: Folder for what has to be sorted, a local path or an fsspec URL that workers reach too. Nothing stays.
        client: Where traces are compared.
    """
    if proposal.axes:
        return _on_grid(index, proposal, demand, scratch, client)
    if not proposal.keys:
        return flat(index.trace_count)
    axes = tuple(_regular(name, index.summary.ranges[name]) for name in proposal.keys)
    if prod(axis.size for axis in axes) >= _MOST_CELLS:
        return Unfit(proposal.kind, f"{' and '.join(proposal.keys)} hold numbers that are too large")
    repeat_count = count_repeats(index, axes, scratch=scratch, client=client).repeat_count
    if repeat_count > (0 if proposal.kind is Kind.STACK2D else demand.most_repeats * index.trace_count):
        return Unfit(proposal.kind, f"{repeat_count} traces repeat the {' and '.join(proposal.keys)} of another one")
    geometry = _in_order(proposal.kind, index.trace_count, f"{proposal.kind}: {proposal.why}", keys=proposal.keys)
    return geometry.model_copy(update={"repeat_count": repeat_count})


def stack3d(inlines: WordRange, crosslines: WordRange, *, trace_count: int, why: str = "") -> Geometry:
    """The grid of traces that each have an inline and a crossline of their own.

    Args:
        inlines: Inline numbers of all traces.
        crosslines: Their crossline numbers.
        trace_count: Traces in all.
        why: Where the numbers are.
    """
    axes = _regular("inline", inlines), _regular("crossline", crosslines)
    return _with_reason(Geometry(kind=Kind.STACK3D, axes=axes, trace_count=trace_count), why)


def flat(trace_count: int) -> Geometry:
    """Traces in the order of the file."""
    return _in_order(Kind.FLAT, trace_count, "flat: traces in the order of the file")


def with_duplicates(geometry: Geometry, most: int) -> Geometry:
    """The same grid with a dimension more, along which traces lie that have a cell in common.

    Args:
        geometry: Of a grid.
        most: The most traces that have one.
    """
    axis = Axis(name="duplicate", first=0, size=most, long_name="one of several traces with the same numbers")
    return geometry.model_copy(update={"axes": (*geometry.axes, axis), "repeat_count": 0})


def _on_grid(index: TraceIndex, proposal: Proposal, demand: Demand, scratch: str, client: Client) -> Geometry | Unfit:
    """The grid of all traces; of shots without what is no data, if that would spoil the grid or share cells of it."""
    found = _grid(index, proposal, demand, scratch, client, is_of_data=False)
    is_spoilt = isinstance(found, Unfit) or found.repeat_count > 0
    some = 0 < index.summary.auxiliary_count <= MOST_AUXILIARY * index.trace_count
    if proposal.kind is Kind.SHOTS and is_spoilt and some:
        without = _grid(index, proposal, demand, scratch, client, is_of_data=True)
        if isinstance(without, Geometry) and (isinstance(found, Unfit) or without.repeat_count < found.repeat_count):
            return without
    return found


def _grid(
    index: TraceIndex, proposal: Proposal, demand: Demand, scratch: str, client: Client, *, is_of_data: bool
) -> Geometry | Unfit:
    kind, auxiliary_count = proposal.kind, index.summary.auxiliary_count if is_of_data else 0
    trace_count = index.trace_count - auxiliary_count
    axes = tuple(_axis(name, index, kind, client, is_of_data=is_of_data) for name in proposal.axes)
    if trace_count < demand.least_fill * prod(axis.size for axis in axes):
        axes = tuple(_without_outliers(axis, index, client, is_of_data=is_of_data) for axis in axes)
    if is_of_data:
        axes = (*axes[:-1], axes[-1].model_copy(update={"is_of_data": True}))
    if (reason := _obstacle(kind, axes, trace_count, demand)) is not None:
        return Unfit(kind, reason)
    counted = count_repeats(index, axes, scratch=scratch, client=client)
    geometry = Geometry(
        kind=kind,
        axes=axes,
        trace_count=index.trace_count,
        repeat_count=counted.repeat_count,
        outside_count=counted.outside_count,
        auxiliary_count=auxiliary_count,
    )
    times = " x ".join(str(axis.size) for axis in axes)
    if (far_count := geometry.outside_count - auxiliary_count) > MOST_OUTLIERS * trace_count:
        return Unfit(kind, f"{far_count} traces lie far off the grid of {times}")
    if geometry.repeat_count > demand.most_repeats * trace_count:
        return Unfit(kind, f"{geometry.repeat_count} traces repeat {_position(axes)}")
    if geometry.fill < demand.least_fill:
        return Unfit(kind, f"the grid of {times} would hold traces in {geometry.fill:.1%} of it")
    return _with_reason(geometry, proposal.why)


def _obstacle(kind: Kind, axes: tuple[Axis, ...], trace_count: int, demand: Demand) -> str | None:
    """What speaks against a grid before its traces are compared with each other."""
    if kind is Kind.STACK3D:
        for axis in axes:
            if axis.size == 1:
                return f"the {axis.name} number is {axis.first} in every trace"
    cells = prod(axis.size for axis in axes)
    if trace_count < demand.least_fill * cells or cells >= _MOST_CELLS:
        times = " x ".join(str(axis.size) for axis in axes)
        return f"the grid of {times} would hold traces in {trace_count / cells:.1%} of it"
    if trace_count - cells > demand.most_repeats * trace_count:
        # How many more repeat others would take a comparison of all of them.
        return f"at least {trace_count - cells} traces repeat {_position(axes)}"
    return None


def _position(axes: tuple[Axis, ...]) -> str:
    return f"the {' and '.join(axis.name for axis in axes)} of another one"


def _with_reason(geometry: Geometry, why: str) -> Geometry:
    axes = " and ".join(f"{axis.name} ({axis.size})" for axis in geometry.axes)
    others = geometry.repeat_count + geometry.outside_count
    own = "each trace has" if not others else f"all but {others} traces have"
    if geometry.auxiliary_count:
        own = f"all but {others} traces, {geometry.auxiliary_count} of them auxiliary by their identification, have"
    reason = f"{geometry.kind}: {own} {axes} of its own, filling {geometry.fill:.1%} of the grid"
    return geometry.model_copy(update={"reasons": (f"{reason}; {why}" if why else reason,)})


def _in_order(kind: Kind, trace_count: int, reason: str, *, keys: tuple[str, ...] = ()) -> Geometry:
    axis = Axis(name="trace", first=0, size=trace_count, long_name="trace, in the order of the file")
    return Geometry(kind=kind, axes=(axis,), keys=keys, trace_count=trace_count, reasons=(reason,))


def _axis(name: str, index: TraceIndex, kind: Kind, client: Client, *, is_of_data: bool) -> Axis:
    """Stacks are pictures and need equal steps; of all else only the labels that occur are wanted."""
    word = str(word_of(name))
    axis = _regular(name, index.summary.ranges[word])
    if kind is Kind.STACK3D or axis.size == 1:
        return axis
    listed = distinct_values(index, word, most=MOST_LISTED, client=client, is_of_data=is_of_data)
    if listed is None:
        return axis
    axis = _regular(name, range_of(np.array(listed, np.int64)))
    return axis if len(listed) == axis.size else axis.model_copy(update={"listed": listed, "size": len(listed)})


def _without_outliers(axis: Axis, index: TraceIndex, client: Client, *, is_of_data: bool) -> Axis:
    """An axis that ends where labels that lie together end, if nearly all traces are on it."""
    word = str(axis.word)
    least, greatest = main_range((of_data(index.samples) if is_of_data else index.samples)[word])
    labels = distinct_values(index, word, most=MOST_LISTED, client=client, is_of_data=is_of_data)
    if labels is None or (least, greatest) == (axis.first, axis.last):
        return axis
    found = extended_range(least, greatest, np.array(labels, np.int64))
    if axis.listed:
        return axis.model_copy(update={"listed": tuple(found.tolist()), "size": found.size, "first": int(found[0])})
    step = int(np.gcd.reduce(np.diff(found))) if found.size > 1 else 1
    size = int(found[-1] - found[0]) // step + 1
    return axis.model_copy(update={"first": int(found[0]), "step": step, "size": size})


def _regular(name: str, values: WordRange) -> Axis:
    """The labels from the least to the greatest by the largest step that reaches all of them."""
    long_name = _LONG_NAMES.get(name, f"{name} number")
    step = max(1, values.step)
    return Axis(name=name, first=values.least, step=step, size=values.size, long_name=long_name, units=_UNITS.get(name))
