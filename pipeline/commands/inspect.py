"""``inspect``: what is in a file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from data_catalog import command_line
from pipeline.commands.option_values import given, header_bytes
from pipeline.commands.options import (
    WORKERS,
    DuplicatesOption,
    FormatOption,
    HeaderByteOption,
    HeaderWordOption,
    IndexOption,
    JsonOption,
    KindOption,
    PresetOption,
    SampleFormatOption,
    TruncatedOption,
)
from pipeline.inspection.inspect import inspect_survey, moved_words
from pipeline.inspection.picture import draw
from pipeline.inspection.printing import print_inspection, usable_name
from pipeline.inspection.recipe_file import recipe_text, write_recipe
from pipeline.recipe import as_duplicates, as_header_bytes, as_reading
from pipeline.survey.files import open_survey
from pipeline.work.cluster import THREADS, dask_client


def inspect(  # noqa: PLR0913 (a command's options)
    paths: Annotated[list[str], typer.Argument(help="SEG-Y or Seismic Unix files of one survey.")],
    kind: KindOption = None,
    inline_byte: HeaderByteOption = None,
    crossline_byte: HeaderByteOption = None,
    header_byte: HeaderWordOption = [],  # noqa: B006
    preset: PresetOption = None,
    file_format: FormatOption = None,
    truncated: TruncatedOption = None,
    sample_format: SampleFormatOption = None,
    duplicates: DuplicatesOption = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file to write a recipe to that `convert` takes.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file for a picture: a section, header words and a map.")
    ] = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says what is in a file, what is odd, and which conversion would fit."""
    positions = header_bytes(preset, header_byte, inline=inline_byte, crossline=crossline_byte)
    reading = given(format=file_format, truncated=truncated, sample_format=sample_format)
    survey = open_survey(tuple(paths), as_header_bytes(positions), as_reading(reading))
    with dask_client(scheduler=THREADS, workers=WORKERS, memory="auto") as client:
        policy = as_duplicates(duplicates)
        found, located = inspect_survey(survey, kind=kind, duplicates=policy, index=index, client=client)
    name = usable_name(Path(paths[0]).stem)
    if recipe is not None:
        moved = moved_words(located, {*found["axes"], *found["keys"]})
        text = recipe_text(found, name=name, moved=moved, reading=reading, duplicates=duplicates, file=recipe.name)
        write_recipe(recipe, text)
    if picture is not None:
        draw(located, picture, title=f"{name}: {found['kind']}", first_ms=list(found["axes"].values())[-1]["first"])
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        repeated = given(kind=kind, duplicates=duplicates, **reading)
        options = {option.replace("_", "-"): value for option, value in repeated.items()}
        positions = {**positions, **moved_words(located, ())}
        options |= {"header-byte": [f"{word}={place}" for word, place in positions.items()]}
        print_inspection(found, name=name, paths=paths, options=options, console=command_line.console())
