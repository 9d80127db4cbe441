"""What is in a file, what is odd, and which conversion would fit, as JSON values."""

from collections.abc import Iterable
from math import prod
from tempfile import TemporaryDirectory
from typing import Any

from distributed import Client

from data_catalog import Kind
from pipeline.inspection.sampled_traces import SampledTraces, sampled_traces
from pipeline.recipe import Duplicates, HeaderBytes
from pipeline.segy.fields import SAMPLE_FORMATS
from pipeline.segy.read import read_bytes
from pipeline.survey.axis import Axis, SampleAxis, word_of
from pipeline.survey.coordinates import header_warnings, record_warnings, sample_axis, trace_coordinates
from pipeline.survey.files import Survey
from pipeline.survey.geometry import Geometry
from pipeline.survey.header_words import NOWHERE, STANDARD, START_TIME, HeaderSummary
from pipeline.survey.headers import Workplace, resolved, sample_evidence
from pipeline.survey.inference import Evidence, Proposal, as_lines


def inspect_survey(
    survey: Survey,
    *,
    kind: Kind | None = None,
    duplicates: Duplicates | None = None,
    index: str | None,
    client: Client,
) -> tuple[dict[str, Any], Survey]:
    """Reads all headers, and some samples, and says what they hold.

    Args:
        survey: Files of one survey.
        kind: What was asked for; None infers it.
        duplicates: What becomes of traces that share a cell.
        index: Folder where the index of the headers is kept for other calls; None keeps none.
        client: Where the headers are read.

    Returns:
        What was found, as JSON values, and the files, with the places of the words that make the geometry.

    Raises:
        InputError: If the traces do not make the kind asked for.
    """
    evidence = sample_evidence(survey)
    with TemporaryDirectory(prefix="tracemill-") as scratch:
        workplace = Workplace(client, index or f"{scratch}/index", scratch)
        located, found, geometry = resolved(survey, evidence, kind, workplace, duplicates)
    first = located.files[0]
    samples = sample_axis(first, found.first, domain="time")
    coordinates = trace_coordinates(found.summary, found.first, geometry, feet=first.feet)
    axes: tuple[Axis | SampleAxis, ...] = (*geometry.axes, samples)
    looked_at = sampled_traces(located)
    told = {
        "files": [_file(file) for file in located.files],
        "text_header": [line.rstrip() for line in _text_lines(located)],
        "kind": geometry.kind.value,
        "reasons": list(geometry.reasons),
        "keys": list(geometry.keys),
        "axes": {axis.name: {"size": axis.size, "first": axis.first, "last": axis.last} for axis in axes},
        "header_words": _ranges(found.summary, located),
        "candidates": _candidates(evidence, located),
        "samples": looked_at.told(),
        "odd": [
            *(f"{file.url}: {oddity}" for file in located.files for oddity in file.oddities),
            *header_warnings(found.summary, coordinates, geometry.axes),
            *record_warnings(geometry.axes, first),
            *_holes(geometry),
            *_odd_samples(looked_at),
        ],
    }
    return told, located


def moved_words(located: Survey, axes: Iterable[str]) -> dict[str, str]:
    """Words that a recipe should state, as ``FIRST-LAST``: those of the axes, and those that are elsewhere than usual.

    Args:
        located: The files, with the places of the words that make the geometry.
        axes: Names of axes and of coordinates that stand for them.
    """
    usual = STANDARD | located.files[0].trace_fields
    return {
        name: f"{field.first_byte}-{field.first_byte + field.nbytes - 1}"
        for name, field in located.fields[0].items()
        if name in HeaderBytes.model_fields and name in located.names
        if field != NOWHERE and (field != usual.get(name) or name in axes)
    }


def _file(file: Any) -> dict[str, Any]:
    return {
        "url": file.url,
        "format": file.format,
        "nbytes": file.nbytes,
        "traces": file.trace_count,
        "samples_per_trace": file.sample_count,
        "sample_interval_us": file.sample_interval_us,
        "sample_format": f"{file.format_code} ({SAMPLE_FORMATS[file.format_code].name})",
        "byte_order": file.byte_order,
        "revision": f"{file.revision[0]}.{file.revision[1]}",
        "trace_header_nbytes": file.trace_header_nbytes,
        "header_nbytes": file.header_nbytes,
        "missing_nbytes": file.missing_nbytes,
        "tail_nbytes": file.tail_nbytes,
    }


def _text_lines(survey: Survey) -> list[str]:
    file = survey.files[0]
    if file.format == "su":
        return []
    return [line for line in as_lines(read_bytes(file.url, 0, 3200)) if line[3:].strip(" \0")]


def _ranges(summary: HeaderSummary, survey: Survey) -> dict[str, dict[str, int]]:
    return {
        name: {"first_byte": survey.fields[0][name].first_byte, **found.model_dump()}
        for name, found in summary.ranges.items()
        if survey.fields[0].get(name, NOWHERE) != NOWHERE
    }


def _candidates(evidence: Evidence, survey: Survey) -> list[dict[str, Any]]:
    """What was considered, in order of preference, and how the sampled headers bear it out."""
    return [_candidate(proposal, survey) for proposal in evidence.proposals]


def _candidate(proposal: Proposal, survey: Survey) -> dict[str, Any]:
    fields = survey.fields[0] | STANDARD | {START_TIME: STANDARD["year"]} | proposal.moved
    return {
        "kind": proposal.kind.value,
        "words": {
            name: f"{fields[word].first_byte}-{fields[word].first_byte + fields[word].nbytes - 1}"
            for name in proposal.axes or proposal.keys
            if (word := word_of(name)) in fields
        },
        "sizes": list(proposal.sizes),
        "fill": round(proposal.fill, 4),
        "repeats": round(proposal.repeats, 4),
        "fits": proposal.is_accepted,
        "why": proposal.why,
    }


def _holes(geometry: Geometry) -> list[str]:
    if geometry.is_in_file_order:
        names = " and ".join(geometry.keys)
        return [f"{geometry.repeat_count} traces repeat the {names} of another one"] if geometry.repeat_count else []
    cells = prod(geometry.shape)
    empty = cells - geometry.trace_count + geometry.repeat_count + geometry.outside_count
    found = [f"{empty} of {cells} grid cells hold no trace"] if empty else []
    if geometry.repeat_count:
        names = " and ".join(axis.name for axis in geometry.axes)
        found.append(f"{geometry.repeat_count} traces repeat the {names} of another one; --duplicates says what to do")
    if geometry.auxiliary_count:
        found.append(f"{geometry.auxiliary_count} traces are auxiliary by their identification, and get no cell")
    if far_count := geometry.outside_count - geometry.auxiliary_count:
        found.append(f"{far_count} traces have numbers far off all others, and get no cell")
    return found


def _odd_samples(looked_at: SampledTraces) -> list[str]:
    found = []
    if looked_at.dead_count:
        found.append(f"{looked_at.dead_count} of {looked_at.count} traces looked at are zero throughout")
    if looked_at.nonfinite_count:
        found.append(f"{looked_at.nonfinite_count} of {looked_at.count} traces looked at hold NaN or infinite samples")
    return found
