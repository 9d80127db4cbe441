"""What is known of trace headers before samples are read: from a sparse sample where that may do, or from all."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from distributed import Client

from data_catalog import Kind
from pipeline.survey.files import Survey
from pipeline.survey.geometry import LEAST_FILL, Geometry, flat, resolve_geometry, stack3d
from pipeline.survey.header_words import HeaderSummary
from pipeline.survey.order import AsInFile, LineByLine, sample_headers
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
        summary: Of all traces, or of a sample.
        first: Words of the first trace.
        trace_count: Traces in all.
        order: Line by line, as a sample proposes, or as in the file, as was asked for; None where it is not known.
        index: Of all headers; None where a sample does.
    """

    summary: HeaderSummary
    first: dict[str, int]
    trace_count: int
    order: LineByLine | AsInFile | None
    index: TraceIndex | None

    def geometry(self, *, kind: Kind | None, workplace: Workplace) -> Geometry:
        """The kind asked for, or the first one that fits.

        Raises:
            InputError: If the traces do not make the kind asked for.
        """
        if self.index is not None:
            return resolve_geometry(self.index, kind=kind, scratch=workplace.scratch, client=workplace.client)
        if isinstance(self.order, LineByLine):
            ranges = self.order.ranges()
            return stack3d(ranges["inline"], ranges["crossline"], trace_count=self.trace_count)
        return flat(self.trace_count)


def read_headers(
    surveys: dict[str, Survey], *, kind: Kind | None, header_scan: HeaderScan, workplace: Workplace
) -> dict[str, SurveyHeaders]:
    """Reads a sample of the headers, and all of them where a sample does not do.

    Args:
        surveys: By variable; all are to share one grid.
        kind: What was asked for.
        header_scan: Whether a sample may do.
        workplace: Where headers are read.

    Raises:
        InputError: If a file cannot be read, or is another one than was opened.
    """
    if header_scan == "sample":
        samples = {name: sample_headers(survey) for name, survey in surveys.items()}
        orders: dict[str, LineByLine | None] = {name: sample.order for name, sample in samples.items()}
        as_asked = kind is Kind.FLAT
        if as_asked or (kind in {None, Kind.STACK3D} and _make_one_grid(surveys, orders)):
            return {
                name: SurveyHeaders(
                    sample.summary,
                    sample.first,
                    surveys[name].trace_count,
                    order=AsInFile() if as_asked else sample.order,
                    index=None,
                )
                for name, sample in samples.items()
            }
    indices = {name: scan(survey, keep=workplace.index, client=workplace.client) for name, survey in surveys.items()}
    return {
        name: SurveyHeaders(index.summary, index.first, index.trace_count, order=None, index=index)
        for name, index in indices.items()
    }


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
