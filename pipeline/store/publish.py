"""The catalog entry of a finished store."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.metadata import ArrayV3Metadata

from data_catalog import Box, Entry, Role, Source, Variable, layout
from pipeline.plan.design import StoreDesign
from pipeline.recipe import ConvertRecipe
from pipeline.survey.coordinates import header_warnings
from pipeline.survey.files import Survey
from pipeline.survey.header_words import HeaderSummary


def make_entry(
    recipe: ConvertRecipe,
    design: StoreDesign,
    *,
    splits: dict[str, tuple[Box, ...]],
    surveys: dict[str, Survey],
    headers: HeaderSummary,
    fates: dict[str, int],
) -> Entry:
    """Describes a store as it stands.

    Args:
        recipe: What was asked for.
        design: What it was laid out as.
        splits: Boxes of each split.
        surveys: The files of each variable.
        headers: What the trace headers of the main survey are like.
        fates: How many traces of the main survey met which fate.
    """
    return Entry(
        name=recipe.name,
        kind=design.kind,
        url=recipe.out,
        created=datetime.now(UTC).replace(microsecond=0),
        main_variable=recipe.variable,
        sizes={axis.name: axis.size for axis in design.all_axes}
        | {layout.TRACE_HEADER_BYTE: design.trace_header_nbytes},
        variables=describe_variables(recipe.out),
        splits=splits,
        sources=tuple(source for name, survey in surveys.items() for source in _sources(name, survey)),
        recipe=recipe.model_dump(mode="json"),
        fates=fates,
        warnings=(
            *design.warnings,
            *_losses(recipe.out, design),
            *_odd_fates(fates, design),
            *header_warnings(headers, design.coordinates, design.axes),
        ),
    )


def _odd_fates(fates: dict[str, int], design: StoreDesign) -> Iterator[str]:
    """What became of traces that are not simply there."""
    if count := fates.get("repeated"):
        kept = {"first": "the first of each is kept", "last": "the last of each is kept", "mean": "their mean is kept"}
        yield (
            f"{count} traces repeat the {' and '.join(axis.name for axis in design.axes)} of another one: "
            f"{kept[design.duplicates]}, and the others for the export alone"
        )
    if count := fates.get("outside"):
        yield f"{count} traces have numbers far off all others, and no cell: they are kept for the export alone"
    if count := fates.get("auxiliary"):
        yield f"{count} traces are auxiliary by their identification, and no data: they are kept for the export alone"
    if count := fates.get("nonfinite"):
        yield f"{count} traces have samples that are NaN or infinite; they are kept, and no statistics count them"
    if count := fates.get("dropped"):
        yield f"{count} traces with samples that are NaN or infinite are zero, and not live"


def _losses(url: str, design: StoreDesign) -> Iterator[str]:
    """What rounding cost each volume of samples."""
    for volume in design.volumes if design.dropped_bits else ():
        if volume.label is None:
            group = zarr.open_group(f"{url}/{layout.MANIFEST_GROUP}/{volume.name}", mode="r")
            worst, count, squares = 0.0, 0, 0.0
            for error, number, mean, m2 in _rows(group, layout.ROUNDING_ERROR, "count", "mean", "m2"):
                worst, count = max(worst, float(error.max())), count + int(number.sum())
                squares += float((m2 + number * mean**2).sum())
            rms = (squares / max(1, count)) ** 0.5
            yield (
                f"{volume.name}: rounding changed no sample by more than {worst:.3g}, {worst / (rms or 1):.2%} of the "
                f"root mean square, {rms:.3g}"
            )


def _rows(group: zarr.Group, *names: str) -> Iterator[tuple[NDArray[Any], ...]]:
    """Manifest arrays a row of their chunks at a time: a survey of any size fits."""
    arrays: list[Any] = [group[name] for name in names]
    step = arrays[0].chunks[0]
    for start in range(0, arrays[0].shape[0], step):
        yield tuple(np.asarray(array[start : start + step]) for array in arrays)


def describe_variables(url: str) -> dict[str, Variable]:
    """Variables of a group: samples before coordinates."""
    found = {name: describe_variable(array) for name, array in zarr.open_group(url, mode="r").arrays()}
    return dict(sorted(found.items(), key=lambda item: (item[1].role is Role.COORDINATE, item[0])))


def describe_variable(array: zarr.Array[Any]) -> Variable:
    """An array as the catalog describes it; its attributes say the rest."""
    attributes = array.attrs.asdict()
    meanings = attributes.get("flag_meanings")
    return Variable.model_validate(
        {
            "role": attributes["role"],
            "dims": array.metadata.dimension_names if isinstance(array.metadata, ArrayV3Metadata) else (),
            "shape": array.shape,
            "dtype": _type_name(array),
            "chunk_shape": array.chunks,
            "shard_shape": array.shards or array.chunks,
            "units": attributes.get("units"),
            "long_name": attributes.get("long_name"),
            "flag_values": attributes.get("flag_values"),
            "flag_meanings": meanings.split() if isinstance(meanings, str) else None,
            "ignore_value": attributes.get("ignore_value"),
        }
    )


def _type_name(array: zarr.Array[Any]) -> str:
    """As Zarr's metadata has it: NumPy calls text by another name."""
    if not isinstance(array.metadata, ArrayV3Metadata):
        return array.dtype.name
    return str(array.metadata.data_type.to_json(zarr_format=3))


def _sources(variable: str, survey: Survey) -> tuple[Source, ...]:
    return tuple(
        Source(
            url=file.url,
            nbytes=state.nbytes,
            version=state.version,
            trace_count=file.trace_count,
            first_trace=first_trace,
            sample_format=file.format_code,
            byte_order=file.byte_order,
            variable=variable,
        )
        for file, state, first_trace in zip(survey.files, survey.states, survey.first_traces, strict=False)
    )
