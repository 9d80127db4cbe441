"""A published dataset against its checksums, and against the SEG-Y that it was made of: shard by shard, by Dask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

import numpy as np
from distributed import Client
from rich.console import Console

from data_catalog import Catalog
from data_catalog.schema import Model
from pipeline.plan.chunking import SAMPLE_NBYTES
from pipeline.verification.checked_shard import CheckedShard, CheckedVariable, Finding
from pipeline.verification.chunk_check import compare_checksums
from pipeline.verification.source_check import (
    compare_file_headers,
    compare_repeated,
    compare_tails,
    compare_with_source,
)
from pipeline.verification.subject import Part, Subject, open_subject
from pipeline.work.engine import Outcome, run_windowed
from pipeline.work.progress import progress_bar

FINDINGS_KEPT = 1000
"""A store that is lost altogether has findings for each shard, and all say the same."""

FINDINGS_PRINTED = 20


class Counts(Model):
    """How much was compared.

    Attributes:
        shards: Shards, of all variables.
        chunks: Stored chunks whose checksums were taken.
        stored_nbytes: Their bytes.
        traces: Traces of the source, of all variables.
        source_nbytes: Their bytes.
    """

    shards: int = 0
    chunks: int = 0
    stored_nbytes: int = 0
    traces: int = 0
    source_nbytes: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sum of both."""
        mine, others = self.model_dump(), other.model_dump()
        return Counts(**{name: mine[name] + others[name] for name in mine})


class Verification(Model):
    """What was compared, and what was found.

    Attributes:
        name: Of the dataset.
        shard_count: Shards that there are, of all variables.
        compared: How much was compared.
        without_checksums: Variables whose chunks have no checksums in the manifest.
        finding_count: How many findings there are.
        findings: The first of them.
    """

    name: str
    shard_count: int
    compared: Counts
    without_checksums: tuple[str, ...]
    finding_count: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class PartReport:
    """What came of one part.

    Attributes:
        compared: How much was compared.
        findings: What is not as it should be: one for each kind of fault.
    """

    compared: Counts
    findings: tuple[Finding, ...]


def verify(
    name: str, *, catalog: Catalog, client: Client, sample: float | None = None, with_source: bool = True
) -> Verification:
    """Compares a dataset with the checksums in its manifest, and with the files that it was made of.

    Samples and labels have checksums. Residues, trace headers, trace numbers and ``live`` have none; they are compared
    with the source. Map coordinates are not looked at.

    Args:
        name: Dataset in the catalog.
        catalog: Where its entry is.
        client: Where the work is done.
        sample: Share of each variable's shards to look at, above 0 and at most 1; None takes all.
        with_source: Whether to compare with the files as well.

    Raises:
        InputError: If there is no such dataset, nothing to compare it with, or a source is gone or changed.
        WorkError: If the store lacks whole arrays, or what runs the work failed.
    """
    subject = open_subject(name, catalog=catalog, sample=sample, with_source=with_source)
    variables = subject.variables
    tally = _Tally()
    for variable in variables.values():
        tally.take_down(list(compare_file_headers(subject.url, variable)))
        tally.take_down(list(compare_tails(subject.url, variable)))
        if sample is None:
            report, findings = compare_repeated(subject.url, variable)
            tally.take_down(findings)
            tally.count(variable.name, Counts(traces=report.trace_count, source_nbytes=report.source_nbytes))
    part_counts = [subject.part_count(variable) for variable in variables.values()]
    nbytes = sum(
        count * _shard_nbytes(variable) for count, variable in zip(part_counts, variables.values(), strict=True)
    )
    with progress_bar(f"verify {name}", total_nbytes=nbytes, total_items=sum(part_counts)) as advance:
        for outcome in run_windowed(client, check_part, subject.parts(), shared=subject):
            tally.add(outcome)
            advance(_shard_nbytes(variables[outcome.item.variable]))
    if sample is None and not tally.findings:  # where more is wrong, that tells what is missing
        tally.take_down(list(_lost_traces(subject, tally.compared)))
    return Verification(
        name=name,
        shard_count=sum(variable.chunks.shard_count for variable in variables.values()),
        compared=tally.total(),
        without_checksums=tuple(variable.name for variable in variables.values() if not variable.has_checksums),
        finding_count=tally.finding_count,
        findings=tuple(sorted(tally.findings, key=lambda finding: (finding.variable, finding.shard or ()))),
    )


def check_part(subject: Subject, part: Part) -> PartReport:
    """One task: a shard of one variable against its checksums and its source.

    Args:
        subject: The dataset.
        part: Which shard.

    Raises:
        InputError: If a source changed meanwhile.
        OSError: If the store or a source cannot be read.
    """
    variable = subject.variables[part.variable]
    checked = CheckedShard(subject.url, variable, part.shard)
    compared, stored = Counts(shards=1), None
    # What is known to be damaged is not decoded: codecs have crashed over less.
    is_sound = np.ones([span.stop - span.start for span in checked.grid], np.bool_)
    with checked.damage_reported():
        stored = checked.fetch(variable.name)
        if variable.has_checksums:
            chunks = compare_checksums(checked, stored)
            is_sound = chunks.is_sound
            compared = compared.plus(Counts(chunks=chunks.chunk_count, stored_nbytes=chunks.stored_nbytes))
    if variable.survey is not None:
        with checked.damage_reported():
            source = compare_with_source(checked, variable.survey, stored, is_sound)
            compared = compared.plus(Counts(traces=source.trace_count, source_nbytes=source.source_nbytes))
    return PartReport(compared, tuple(checked.findings))


class _Tally:
    """Adds up what came of the parts."""

    def __init__(self) -> None:
        self.compared: dict[str, Counts] = {}
        self.finding_count = 0
        self.findings: list[Finding] = []

    def take_down(self, findings: Sequence[Finding]) -> None:
        self.finding_count += len(findings)
        self.findings += findings[: FINDINGS_KEPT - len(self.findings)]

    def add(self, outcome: Outcome[Part]) -> None:
        part = outcome.item
        if outcome.failure is not None:
            message = f"{part.variable}, shard {part.shard}: could not be compared, because {outcome.failure.message}."
            self.take_down([Finding(code="not-compared", message=message, variable=part.variable, shard=part.shard)])
            return
        report: PartReport = outcome.result()
        self.count(part.variable, report.compared)
        self.take_down(report.findings)

    def count(self, variable: str, compared: Counts) -> None:
        self.compared[variable] = self.compared.get(variable, Counts()).plus(compared)

    def total(self) -> Counts:
        return reduce(Counts.plus, self.compared.values(), Counts())


def _lost_traces(subject: Subject, compared: dict[str, Counts]) -> Iterator[Finding]:
    """Traces of the source that no cell of the store names, after all shards were compared."""
    for name, variable in subject.variables.items():
        if variable.survey is None:
            continue
        found, expected = compared[name].traces, variable.survey.trace_count
        if found != expected:
            message = f"{name}: the store has {found} of the {expected} traces in the source."
            yield Finding(code="traces-missing", message=message, variable=name, count=abs(expected - found))


def _shard_nbytes(variable: CheckedVariable) -> int:
    """What a shard holds of a variable, on average; labels count like the samples that they are made of."""
    return prod(variable.chunks.shape) * SAMPLE_NBYTES // variable.chunks.shard_count


def print_verification(found: Verification, *, console: Console) -> None:
    """Prints the first findings, and what was compared."""
    for finding in found.findings[:FINDINGS_PRINTED]:
        console.print(finding.message)
    if found.finding_count > FINDINGS_PRINTED:
        console.print(f"and {found.finding_count - FINDINGS_PRINTED} more")
    for name in found.without_checksums:
        console.print(f"{name} has no checksums in its manifest: it was written before there were any.")
    compared = found.compared
    what = []
    if compared.chunks:
        what.append(f"{compared.chunks} stored chunks ({compared.stored_nbytes} bytes) with their checksums")
    if compared.traces:
        what.append(f"{compared.traces} traces ({compared.source_nbytes} bytes) with their source")
    verdict = "" if found.finding_count else "; all is as it should be"
    shards = f"{compared.shards} of {found.shard_count} shards"
    console.print(f"{found.name}: {shards} were compared, {' and '.join(what) or 'all empty'}{verdict}.")
