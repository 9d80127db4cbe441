"""The catalog entry of a finished store."""

from datetime import UTC, datetime
from typing import Any

import zarr
from zarr.core.metadata import ArrayV3Metadata

from data_catalog import Box, Entry, Role, Source, Variable, layout
from pipeline.design import StoreDesign
from pipeline.recipe import ConvertRecipe
from pipeline.survey import Survey


def make_entry(
    recipe: ConvertRecipe,
    url: str,
    design: StoreDesign,
    *,
    splits: dict[str, tuple[Box, ...]],
    survey: Survey,
    label_surveys: dict[str, Survey],
) -> Entry:
    """Describes a store as it stands.

    Args:
        recipe: What was asked for.
        url: The finished store.
        design: What it was laid out as.
        splits: Boxes of each split.
        survey: The main survey.
        label_surveys: The label volumes.
    """
    labels_sources = [_sources(name, label_survey) for name, label_survey in label_surveys.items()]
    return Entry(
        name=recipe.name,
        kind=design.geometry.kind,
        url=url,
        created=datetime.now(UTC).replace(microsecond=0),
        main_variable=recipe.variable,
        sizes={axis.name: axis.size for axis in design.axes} | {layout.TRACE_HEADER_BYTE: design.trace_header_nbytes},
        variables=_describe(url),
        splits=splits,
        sources=sum(labels_sources, _sources(recipe.variable, survey)),
        recipe=recipe.model_dump(mode="json"),
        warnings=design.warnings,
    )


def _describe(url: str) -> dict[str, Variable]:
    """Variables of the root group: samples before coordinates."""
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
            "dtype": array.dtype.name,
            "chunk_shape": array.chunks,
            "shard_shape": array.shards or array.chunks,
            "units": attributes.get("units"),
            "long_name": attributes.get("long_name"),
            "flag_values": attributes.get("flag_values"),
            "flag_meanings": meanings.split() if isinstance(meanings, str) else None,
            "ignore_value": attributes.get("ignore_value"),
        }
    )


def _sources(variable: str, survey: Survey) -> tuple[Source, ...]:
    return tuple(
        Source(
            url=file.url,
            nbytes=file.nbytes,
            trace_count=file.trace_count,
            first_trace=first_trace,
            sample_format=file.format_code,
            byte_order=file.byte_order,
            variable=variable,
        )
        for file, first_trace in zip(survey.files, survey.first_traces, strict=False)
    )
