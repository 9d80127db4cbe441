"""What a verification looks at: a published dataset, the files that it was made of, and a choice of its shards."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from math import ceil

import numpy as np

from data_catalog import Catalog, Entry, InputError, Role, Variable, WorkError, layout
from data_catalog.storage import same_place
from data_catalog.zarr_metadata import read_array_metadata
from pipeline.plan.chunking import ChunkPlan
from pipeline.recipe import ConvertRecipe, HeaderBytes, SourceFile
from pipeline.segy.opening import Reading
from pipeline.storage.rounding import FLOAT32_BITS
from pipeline.survey.files import Survey, open_survey
from pipeline.verification.checked_shard import CheckedVariable

CHECKED_ROLES = {Role.INPUT, Role.TARGET, Role.CLASS_LABEL}
"""Roles of variables that have a manifest."""

STORE_ALONE = "--checksums-only looks at the store by itself."

_SEED = 20023
"""Of the choice of shards: it is the same each time, and a larger share holds all of a smaller one."""


@dataclass(frozen=True, slots=True)
class Part:
    """One shard of one variable.

    Attributes:
        variable: Its name.
        shard: Index on the trace dimensions.
    """

    variable: str
    shard: tuple[int, ...]


@dataclass(frozen=True)
class Subject:
    """A dataset under examination: what every task needs.

    Attributes:
        name: In the catalog.
        url: The store.
        variables: What is compared, by name.
        sample: Share of each variable's shards; None for all.
    """

    name: str
    url: str
    variables: dict[str, CheckedVariable]
    sample: float | None

    def part_count(self, variable: CheckedVariable) -> int:
        """How many of a variable's shards are looked at: at least one."""
        return ceil((self.sample or 1.0) * variable.chunks.shard_count)

    def parts(self) -> Iterator[Part]:
        """Every shard of every variable that is looked at, in storage order."""
        for variable in self.variables.values():
            chunks = variable.chunks
            chosen = np.random.default_rng(_SEED).permutation(chunks.shard_count)[: self.part_count(variable)]
            for number in np.sort(chosen):
                shard = np.unravel_index(number, chunks.shard_grid)
                yield Part(variable.name, tuple(int(index) for index in shard))


def open_subject(name: str, *, catalog: Catalog, sample: float | None, with_source: bool) -> Subject:
    """Refuses at once what can be known without reading samples.

    Args:
        name: Dataset in the catalog.
        catalog: Where its entry is.
        sample: Share of the shards, above 0 and at most 1; None takes all.
        with_source: Whether there is to be a comparison with the files.

    Raises:
        InputError: If there is no such dataset, nothing to compare it with, or a source is gone or changed.
        WorkError: If the store lacks whole arrays.
    """
    if sample is not None and not 0 < sample <= 1:
        raise InputError(f"--sample {sample:g} is no share of the shards: give a number above 0 and at most 1.")
    entry = catalog.open(name)
    surveys = _open_surveys(entry) if with_source else {}
    variables = {
        variable_name: _checked_variable(entry, variable_name, variable, surveys.get(variable_name))
        for variable_name, variable in entry.variables.items()
        if variable.role in CHECKED_ROLES
    }
    for path, variable in entry.all_variables().items():
        if path not in entry.variables and variable.role in CHECKED_ROLES:
            derived = _checked_variable(entry, path, variable, None)
            if derived.has_checksums:
                variables[path] = derived
    if not with_source and not any(variable.has_checksums for variable in variables.values()):
        raise InputError(
            f"{name!r} has no checksums in its manifest, so the store by itself cannot be verified: leave "
            "--checksums-only out to compare it with its source."
        )
    return Subject(name, entry.url, variables, sample)


def _open_surveys(entry: Entry) -> dict[str, Survey]:
    """The files of each variable as the entry names them: patterns in the recipe may match other files by now."""
    if not entry.sources:
        raise InputError(f"{entry.name!r} was not made from SEG-Y: {STORE_ALONE}")
    return {
        variable: _open_survey(entry, variable) for variable in dict.fromkeys(file.variable for file in entry.sources)
    }


def _open_survey(entry: Entry, variable: str) -> Survey:
    sources = [source for source in entry.sources if source.variable == variable]
    try:
        # Where headers hold the geometry is of no matter here: they are compared byte by byte.
        files = tuple(SourceFile(path=source.url, reading=_reading(entry, variable, source.url)) for source in sources)
        survey = open_survey(files, HeaderBytes())
    except InputError as error:
        raise InputError(f"{entry.name!r} cannot be compared with its source: {error} {STORE_ALONE}") from None
    sample_count = entry.variables[entry.main_variable].shape[-1]
    for file, source in zip(survey.files, sources, strict=True):
        found = _in_words(file.nbytes, file.trace_count, file.sample_count, file.format_code, file.byte_order)
        expected = _in_words(source.nbytes, source.trace_count, sample_count, source.sample_format, source.byte_order)
        if found != expected:
            raise InputError(
                f"{file.url} is not the file that {entry.name!r} was made of any more: expected {expected}, found "
                f"{found}. Put the earlier file back, or convert this one under another name; {STORE_ALONE}"
            )
    return survey


def _reading(entry: Entry, variable: str, url: str) -> Reading:
    """How one of the entry's files was read: as the recipe says of it, of the pattern that it matches, or of all."""
    try:
        recipe = ConvertRecipe.model_validate(entry.recipe)
    except ValueError:  # of an earlier version
        return Reading()
    for source in recipe.sources().get(variable, ()):
        if source.reading is not None and (same_place(source.path, url) or fnmatch(url, f"*{source.path}")):
            return source.reading
    return recipe.reading


def _in_words(nbytes: int, trace_count: int, sample_count: int, sample_format: int, byte_order: str) -> str:
    return (
        f"{nbytes} bytes ({trace_count} traces of {sample_count} samples, format {sample_format}, {byte_order} endian)"
    )


def _checked_variable(entry: Entry, name: str, variable: Variable, survey: Survey | None) -> CheckedVariable:
    key = None if name == entry.main_variable else name
    bits = entry.recipe.get("significant_bits")
    dropped_bits = FLOAT32_BITS - bits if isinstance(bits, int) else 0
    if survey is not None:
        needed = [layout.LIVE, layout.trace_number_path(key)]
        if variable.role is not Role.CLASS_LABEL:
            needed += [layout.trace_header_path(key)] + ([] if dropped_bits else [layout.residue_path(name)])
            needed += [layout.file_header_path(index, key) for index in range(len(survey.files))]
        if missing := [path for path in needed if not _exists(entry.url, path)]:
            raise WorkError(
                f"{entry.url} lacks {', '.join(missing)}, so {name!r} cannot be compared with its source: restore the "
                f"store from a copy, or convert the source again; {STORE_ALONE}"
            )
    checked = CheckedVariable(
        name=name,
        dims=variable.dims,
        chunks=ChunkPlan(variable.shape, variable.chunk_shape, variable.shard_shape),
        is_main=key is None,
        has_checksums=False,
        ignore_value=variable.ignore_value if variable.role is Role.CLASS_LABEL else None,
        dropped_bits=dropped_bits,
        is_native=variable.dtype != "float32" and variable.role is not Role.CLASS_LABEL,
        survey=survey,
    )
    statistics = (layout.CHECKSUM, layout.IS_FILL)
    has_checksums = all(_exists(entry.url, checked.manifest_path(statistic)) for statistic in statistics)
    return replace(checked, has_checksums=has_checksums)


def _exists(url: str, path: str) -> bool:
    return read_array_metadata(f"{url}/{path}") is not None
