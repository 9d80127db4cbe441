"""What a store will hold, decided from the headers alone: axes, coordinates, chunks, and where each trace goes."""

from dataclasses import dataclass

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from data_catalog import InputError, Kind
from pipeline.chunking import ChunkPlan, plan_chunks
from pipeline.coordinates import TraceCoordinate, map_coordinates, sample_axis
from pipeline.geometry import Axis, Geometry, match_traces, resolve_geometry
from pipeline.recipe import Codec, ConvertRecipe, HeaderBytes, Label
from pipeline.scan import scan
from pipeline.segy.read import read_bytes
from pipeline.survey import Survey


@dataclass(frozen=True, slots=True)
class StoreDesign:
    """Everything that decides the arrays of a store.

    Attributes:
        variable: Name of the main variable.
        axes: Trace axes, then the sample axis.
        coordinates: Values for each trace.
        geometry: Where the traces lie.
        plan: Chunks and shards.
        labels: Label volumes by variable name.
        label_traces: For each label, int64 on the trace axes: its own trace numbers.
        trace_header_nbytes: Bytes of a trace header.
        file_headers: The bytes before the first trace of each source file.
        codec: How chunks are compressed.
        warnings: What was odd in the files, and how it was decided.
    """

    variable: str
    axes: tuple[Axis, ...]
    coordinates: tuple[TraceCoordinate, ...]
    geometry: Geometry
    plan: ChunkPlan
    labels: dict[str, Label]
    label_traces: dict[str, NDArray[np.int64]]
    trace_header_nbytes: int
    file_headers: tuple[bytes, ...]
    codec: Codec
    warnings: tuple[str, ...]

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimension names of the main variable."""
        return tuple(axis.name for axis in self.axes)


def design_store(
    recipe: ConvertRecipe, survey: Survey, label_surveys: dict[str, Survey], *, client: Client
) -> StoreDesign:
    """Scans all headers and lays the store out.

    Args:
        recipe: What to make.
        survey: The main survey.
        label_surveys: The recipe's label volumes, opened.
        client: Where the headers are read.

    Raises:
        InputError: If the traces do not make the kind asked for, or a label does not lie on the survey's grid.
    """
    index = scan(survey, header_bytes=recipe.header_bytes, client=client)
    geometry = resolve_geometry(index, kind=recipe.kind)
    samples, sample_warnings = sample_axis(survey.files[0], index, domain=recipe.domain)
    coordinates, map_warnings = map_coordinates(geometry, index, feet=survey.files[0].feet)
    oddities = [f"{file.url}: {oddity}" for file in survey.files for oddity in file.oddities]
    why_flat = geometry.reasons if geometry.kind is Kind.FLAT else ()
    return StoreDesign(
        variable=recipe.variable,
        axes=(*geometry.axes, samples),
        coordinates=coordinates,
        geometry=geometry,
        plan=plan_chunks((*geometry.trace_number.shape, samples.size), chunk_nbytes=recipe.chunk_nbytes),
        labels=recipe.labels,
        label_traces={
            name: _label_traces(name, geometry, survey, label_survey, recipe.header_bytes, client)
            for name, label_survey in label_surveys.items()
        },
        trace_header_nbytes=survey.files[0].trace_header_nbytes,
        file_headers=tuple(read_bytes(file.url, 0, file.header_nbytes) for file in survey.files),
        codec=recipe.codec,
        warnings=(*oddities, *why_flat, *sample_warnings, *map_warnings),
    )


def _label_traces(
    name: str,
    geometry: Geometry,
    survey: Survey,
    label_survey: Survey,
    header_bytes: HeaderBytes,
    client: Client,
) -> NDArray[np.int64]:
    files = ", ".join(file.url for file in label_survey.files)
    expected, found = survey.files[0].sample_count, label_survey.files[0].sample_count
    if expected != found:
        raise InputError(
            f"label {name!r} ({files}) has {found} samples a trace and the survey has {expected}: "
            "they do not lie on the same grid."
        )
    try:
        return match_traces(geometry, scan(label_survey, header_bytes=header_bytes, client=client))
    except InputError as error:
        raise InputError(f"label {name!r} ({files}) does not lie on the survey's grid: {error}.") from None
