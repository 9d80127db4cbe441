"""What is known of trace headers before samples are read: from a sparse sample where that may do, or from all."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from distributed import Client

from data_catalog import InputError, Kind
from pipeline.recipe import Duplicates
from pipeline.survey.files import Survey
from pipeline.survey.geometry import (
    LEAST_FILL_ON_REQUEST,
    Demand,
    Geometry,
    flat,
    resolve_geometry,
    stack3d,
    with_duplicates,
)
from pipeline.survey.header_words import HeaderSummary, summarise
from pipeline.survey.inference import LEAST_FILL, MOST_REPEATS, Evidence, Proposal, evidence_of
from pipeline.survey.order import AsInFile, LineByLine, line_by_line, sampled_numbers
from pipeline.survey.repeats import greatest_multiplicity
from pipeline.survey.scan import scan
from pipeline.survey.trace_index import TraceIndex

HeaderScan = Literal["sample", "full"]
"""Whether a sparse sample of headers may stand for all of them until their samples are read."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where headers are read, and where what is found out about them is put.

    Attributes:
        client: Runs the work.
        index: Folder of trace indices, which are kept.
        scratch: Folder for what is sorted, which is not.
    """

    client: Client
    index: str
    scratch: str


@dataclass(frozen=True, slots=True)
class SurveyHeaders:
    """What is known of one survey's trace headers.

    Attributes:
        survey: The files, with the places of the words that make the geometry.
        summary: Of all traces, or of a sample.
        first: Words of the first trace.
        order: Line by line, as a sample proposes, or as in the file; None where it takes an index.
        index: Of all headers; None where a sample does.
        geometry: Where the traces lie; of a further variable, those of the main one.
    """

    survey: Survey
    summary: HeaderSummary
    first: dict[str, int]
    order: LineByLine | AsInFile | None
    index: TraceIndex | None
    geometry: Geometry


def read_headers(
    surveys: dict[str, Survey],
    *,
    kind: Kind | None,
    header_scan: HeaderScan,
    workplace: Workplace,
    duplicates: Duplicates | None = None,
) -> dict[str, SurveyHeaders]:
    """Reads a sample of the headers, and all of them where a sample does not do.

    Args:
        surveys: By variable, the main one first; all are to share its grid.
        kind: What was asked for; None infers it.
        header_scan: Whether a sample may do.
        workplace: Where headers are read.
        duplicates: What becomes of traces that have a cell in common; None takes the first of few.

    Raises:
        InputError: If the traces do not make the kind asked for, a file cannot be read, or is another one than was
            opened.
    """
    evidence = {name: sample_evidence(survey) for name, survey in surveys.items()}
    if header_scan == "sample" and (found := _from_sample(surveys, evidence, kind)):
        return found
    main, *others = surveys
    headers = {main: _from_all(surveys[main], evidence[main], kind, workplace, duplicates)}
    for name in others:
        located = _like(headers[main].geometry, evidence[name], headers[main].survey)
        index = scan(located, keep=workplace.index, client=workplace.client)
        headers[name] = SurveyHeaders(
            located, index.summary, index.first, headers[main].order, index, headers[main].geometry
        )
    return headers


def sample_evidence(survey: Survey) -> Evidence:
    """Reads a sample of a survey's headers, one by one."""
    numbers = sampled_numbers(survey)
    return evidence_of(survey, numbers, survey.read_headers(numbers))


def candidates(evidence: Evidence, kind: Kind | None) -> Iterator[Proposal]:
    """What is tried, in order: what the sample bears out, or all that is of the kind that was asked for."""
    for proposal in evidence.proposals:
        if proposal.is_accepted if kind is None else proposal.kind is kind:
            yield proposal


def resolved(
    survey: Survey,
    evidence: Evidence,
    kind: Kind | None,
    workplace: Workplace,
    duplicates: Duplicates | None = None,
) -> tuple[Survey, TraceIndex, Geometry]:
    """The first proposal that all headers bear out.

    Traces that repeat a cell are counted as another dimension rather than as a slip once they are many, unless both
    the kind and what is to become of them were asked for.

    Raises:
        InputError: If there is none of the kind asked for.
    """
    fill = LEAST_FILL if kind is None else LEAST_FILL_ON_REQUEST
    demand = Demand(fill, 1.0) if kind is not None and duplicates is not None else Demand(fill)
    reasons: list[str] = []
    for proposal in candidates(evidence, kind):
        located = survey.with_words(proposal.names, proposal.moved)
        index = scan(located, keep=workplace.index, client=workplace.client)
        found = resolve_geometry(index, proposal, demand=demand, scratch=workplace.scratch, client=workplace.client)
        if isinstance(found, Geometry):
            rejected = [other for other in evidence.proposals if kind is None and not other.is_accepted]
            found = _with_policy(found, rejected, duplicates, index, workplace)
            unfit = [other.rejection for other in rejected[:3]]
            return located, index, found.model_copy(update={"reasons": (*reasons, *unfit, *found.reasons)})
        reasons.append(f"not {found.kind}: {found.reason}; {proposal.why}")
    told = " ".join(f"{reason.removeprefix(f'not {kind}: ')}." for reason in reasons[:2])
    told = told or f"it takes {_NEEDED[kind or Kind.FLAT]}."
    raise InputError(
        f"the traces do not make a {kind}: {told} Name other header bytes, or another --kind; "
        "`python -m pipeline inspect` shows what fits."
    )


_NEEDED = {
    Kind.STACK3D: "inline and crossline numbers that both vary",
    Kind.STACK2D: "offsets that are all the same, and numbers or coordinates that tell the traces apart",
    Kind.GATHERS: "offsets (bytes 37-40) that vary, and CDP, or inline and crossline numbers",
    Kind.SHOTS: "channels (bytes 13-16) that vary, and field records or source points",
    Kind.PASSIVE: "start times (bytes 157-166), channels (bytes 13-16) that vary, and offsets that are all the same",
    Kind.FLAT: "at least one trace",
}


def _with_policy(
    found: Geometry,
    rejected: list[Proposal],
    duplicates: Duplicates | None,
    index: TraceIndex,
    workplace: Workplace,
) -> Geometry:
    """The geometry after what is to become of traces that share numbers was looked at.

    Raises:
        InputError: If there are any, and there must not be; or if a dimension for them would be nearly empty.
    """
    repeating = next((other for other in rejected if other.repeats > MOST_REPEATS and other.fill >= LEAST_FILL), None)
    numbers = " and ".join(axis.name for axis in found.axes if axis.word) or " and ".join(found.keys)
    told = None
    if found.repeat_count:
        told = f"{found.repeat_count} traces repeat the {numbers} of another one"
    elif found.is_in_file_order and repeating is not None:
        told = (
            f"{repeating.repeats:.0%} of the traces looked at repeat the {' and '.join(repeating.axes)} of another one"
        )
    if told is None or duplicates is None:
        return found
    if duplicates == "fail":
        raise InputError(
            f"{told}, and --duplicates is fail: choose first, last, mean or dimension, or correct the file."
        )
    if found.is_in_file_order:
        reason = f"{told}: too many for --duplicates {duplicates} without a --kind; traces are kept in the file's order"
        return found.model_copy(update={"reasons": (*found.reasons, reason)})
    if duplicates != "dimension":
        return found
    most = greatest_multiplicity(index, found.axes, scratch=workplace.scratch, client=workplace.client)
    spread = with_duplicates(found, most)
    if spread.fill < LEAST_FILL_ON_REQUEST:
        raise InputError(
            f"{most} traces share one place, and a dimension of so many would be filled to {spread.fill:.1%}: "
            "choose first, last or mean for --duplicates."
        )
    reason = f"{told}: they lie along the dimension duplicate"
    return spread.model_copy(update={"reasons": (*found.reasons, reason)})


def _from_all(
    survey: Survey, evidence: Evidence, kind: Kind | None, workplace: Workplace, duplicates: Duplicates | None
) -> SurveyHeaders:
    located, index, geometry = resolved(survey, evidence, kind, workplace, duplicates)
    order = AsInFile() if geometry.is_in_file_order else None
    return SurveyHeaders(located, index.summary, index.first, order, index, geometry)


def _from_sample(
    surveys: dict[str, Survey], evidence: dict[str, Evidence], kind: Kind | None
) -> dict[str, SurveyHeaders] | None:
    """What a sample is enough for: the order of the file, where that was asked for, and full lines of a grid."""
    main, *_ = surveys
    if kind is Kind.FLAT:
        geometry = flat(surveys[main].trace_count)
        return {name: _sampled(surveys[name], each, AsInFile(), geometry) for name, each in evidence.items()}
    proposal = next(candidates(evidence[main], kind), None)
    if proposal is None or proposal.kind is not Kind.STACK3D:
        return None
    located = {main: surveys[main].with_words(proposal.names, proposal.moved)}
    for name in surveys:
        if name != main:
            located[name] = _with_lines(evidence[name], located[main])
    orders = {}
    for name, survey in located.items():
        words = survey.header_words(evidence[name].sample.numbers, evidence[name].sample.headers)
        orders[name] = line_by_line(survey, evidence[name].sample.numbers, words)
    if not _make_one_grid(surveys, orders):
        return None
    ranges = orders[main].ranges()  # type: ignore[union-attr]
    geometry = stack3d(ranges["inline"], ranges["crossline"], trace_count=surveys[main].trace_count, why=proposal.why)
    return {
        name: _sampled(located[name], evidence[name], orders[name], geometry)  # type: ignore[arg-type]
        for name in surveys
    }


def _sampled(survey: Survey, evidence: Evidence, order: LineByLine | AsInFile, geometry: Geometry) -> SurveyHeaders:
    words = survey.header_words(evidence.sample.numbers, evidence.sample.headers)
    first = {name: int(values[0]) for name, values in words.items()}
    return SurveyHeaders(survey, summarise(words), first, order, None, geometry)


def _with_lines(evidence: Evidence, main: Survey) -> Survey:
    """A further variable's files, with the places of its own inline and crossline numbers."""
    for proposal in evidence.proposals:
        if proposal.kind is Kind.STACK3D and proposal.is_accepted:
            return evidence.survey.with_words(main.names, proposal.moved)
    return evidence.survey.with_words(main.names, {})


def _like(geometry: Geometry, evidence: Evidence, main: Survey) -> Survey:
    """A further variable's files, with the places of the words that label the main one's axes."""
    if geometry.kind is Kind.STACK3D:
        return _with_lines(evidence, main)
    moved = {
        name: field
        for name, field in main.fields[0].items()
        if name not in evidence.survey.pinned and field != evidence.survey.fields[0][name]
    }
    return evidence.survey.with_words(main.names, moved)


def _make_one_grid(surveys: dict[str, Survey], orders: dict[str, LineByLine | None]) -> bool:
    """Whether the orders that samples propose make a grid, the same one for all variables."""
    shapes = []
    for name, order in orders.items():
        if order is None:
            return False
        ranges = order.ranges()
        sizes = [found.size for found in ranges.values()]
        if min(sizes) < 2 or surveys[name].trace_count < LEAST_FILL * prod(sizes):
            return False
        shapes.append((ranges, surveys[name].trace_count == prod(sizes)))
    (first_ranges, is_full), others = shapes[0], shapes[1:]
    return not others or (is_full and all(ranges == first_ranges and full for ranges, full in others))
