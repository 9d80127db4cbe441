"""``python -m pipeline inspect | convert | export | synthesize``."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from data_catalog import Catalog, InputError, Kind, command_line
from data_catalog.command_line import CatalogOption
from data_catalog.model_file import read_mapping, validated
from pipeline.convert import check_call
from pipeline.convert import convert as convert_survey
from pipeline.engine import CONSOLE, dask_client
from pipeline.export import export as export_variable
from pipeline.inspection import inspect_survey, print_inspection
from pipeline.recipe import HeaderBytes, load_recipe
from pipeline.survey import open_survey
from pipeline.synthetic.salt_survey import SaltSurvey
from pipeline.synthetic.segy_writer import write_salt_survey

app = typer.Typer(
    help="Raw SEG-Y to prepared datasets, with Dask; and back.", no_args_is_help=True, rich_markup_mode=None
)

SchedulerOption = Annotated[
    str | None,
    typer.Option(help="Address of a Dask scheduler, or `threads` to stay in this process; else a LocalCluster."),
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Processes of the LocalCluster, or threads.")]
MemoryOption = Annotated[str, typer.Option(help="Memory limit of a worker process, e.g. 2GiB.")]
HeaderByteOption = Annotated[int | None, typer.Option(min=1, max=237, help="First byte in the trace header.")]

WORKERS = min(4, os.cpu_count() or 1)


@app.command()
def inspect(
    paths: Annotated[list[str], typer.Argument(help="SEG-Y files of one survey.")],
    inline_byte: HeaderByteOption = None,
    crossline_byte: HeaderByteOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Says what is in a file, what is odd, and which conversion would fit."""
    header_bytes = HeaderBytes(**_given(inline=inline_byte, crossline=crossline_byte))
    survey = open_survey(tuple(paths))
    with dask_client(scheduler="threads", workers=WORKERS, memory="auto") as client:
        found = inspect_survey(survey, header_bytes=header_bytes, client=client)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        name = Path(paths[0]).stem
        print_inspection(found, name=name, console=command_line.console())


@app.command()
def convert(  # noqa: PLR0913 (a command's options)
    paths: Annotated[list[str], typer.Argument(help="SEG-Y files of one survey, or one recipe (.yaml).")],
    name: Annotated[str | None, typer.Option(help="Name in the catalog.")] = None,
    out: Annotated[str | None, typer.Option(help="Where the store goes: a path or an fsspec URL.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="stack3d, stack2d or flat; else inferred.")] = None,
    variable: Annotated[str | None, typer.Option(help="Name of the main variable [amplitude].")] = None,
    domain: Annotated[str | None, typer.Option(help="time or depth [time].")] = None,
    inline_byte: HeaderByteOption = None,
    crossline_byte: HeaderByteOption = None,
    cdp_byte: HeaderByteOption = None,
    cdp_x_byte: HeaderByteOption = None,
    cdp_y_byte: HeaderByteOption = None,
    label: Annotated[
        list[str], typer.Option(help="NAME=PATH: a label volume on the same grid; once for each of its files.")
    ] = [],  # noqa: B006
    classes: Annotated[list[str], typer.Option(help="NAME=WORD,WORD,...: its classes, from 0.")] = [],  # noqa: B006
    split: Annotated[
        list[str], typer.Option(help="NAME=DIM:FIRST:LAST in labels, or NAME=DIM:FROM%:TO%; again for more boxes.")
    ] = [],  # noqa: B006
    codec: Annotated[str | None, typer.Option(help="zstd or none [zstd].")] = None,
    scheduler: SchedulerOption = None,
    workers: WorkersOption = WORKERS,
    memory: MemoryOption = "auto",
    catalog: CatalogOption = None,
) -> None:
    """Converts SEG-Y into a chunked, labelled Zarr store, and lists it in the catalog."""
    is_recipe = len(paths) == 1 and Path(paths[0]).suffix in {".yaml", ".yml"}
    header_bytes = _given(
        inline=inline_byte, crossline=crossline_byte, cdp=cdp_byte, cdp_x=cdp_x_byte, cdp_y=cdp_y_byte
    )
    recipe = load_recipe(
        paths[0] if is_recipe else None,
        paths=None if is_recipe else tuple(paths),
        name=name,
        out=out,
        kind=kind,
        variable=variable,
        domain=domain,
        header_bytes=header_bytes or None,
        labels=_labels(label, classes) or None,
        splits=_lists(split, "--split") or None,
        codec=codec,
    )
    opened = Catalog(catalog)
    check_call(recipe, catalog=opened)  # before processes are started for nothing
    with dask_client(scheduler=scheduler, workers=workers, memory=memory) as client:
        CONSOLE.print(f"dask dashboard: {client.dashboard_link}", soft_wrap=True)
        entry = convert_survey(recipe, client=client, catalog=opened)
    sizes = ", ".join(f"{dim} {size}" for dim, size in zip(*_main_shape(entry), strict=True))
    print(f"{entry.name}: {entry.kind} ({sizes}) in {entry.url}")
    for warning in entry.warnings:
        print(f"warning: {warning}")


@app.command()
def export(
    name: str,
    out: Annotated[Path, typer.Option(help="The SEG-Y file; a folder for a survey of several files.")],
    variable: Annotated[
        str | None, typer.Option(help="A variable, also of a derived group: derived/ID/NAME [the main one].")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Writes a variable back to SEG-Y with the original headers; the main one comes out byte for byte."""
    opened = Catalog(catalog)
    for path in export_variable(name, out=out, variable=variable, catalog=opened, overwrite=overwrite):
        print(f"{path}: {path.stat().st_size} bytes")


@app.command()
def synthesize(
    recipe: Annotated[Path, typer.Argument(help="YAML with the values of a SaltSurvey.")],
    out: Annotated[Path, typer.Option(help="Folder for the SEG-Y files.")],
) -> None:
    """Makes a synthetic salt survey: SEG-Y of amplitudes, and SEG-Y of where the salt is."""
    survey = validated(SaltSurvey, read_mapping(recipe), subject=str(recipe), root="recipe")
    try:
        files = write_salt_survey(survey, out=out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out.") from None
    for path in (files.amplitude, files.salt):
        print(f"{path}: {path.stat().st_size} bytes")


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _lists(texts: list[str], option: str) -> dict[str, tuple[str, ...]]:
    """``NAME=VALUE`` options by name; a name may be given several times."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise InputError(f"{option} takes NAME=..., found {text!r}.")
        found[name] = (*found.get(name, ()), value)
    return found


def _labels(labels: list[str], classes: list[str]) -> dict[str, Any]:
    paths, words = _lists(labels, "--label"), _lists(classes, "--classes")
    if paths.keys() != words.keys():
        raise InputError(
            f"each --label NAME=PATH needs its --classes NAME=WORD,WORD,...: labels are {', '.join(paths) or 'none'}, "
            f"classes are given for {', '.join(words) or 'none'}."
        )
    return {
        name: {"paths": files, "classes": dict(enumerate(words[name][-1].split(",")))} for name, files in paths.items()
    }


def _main_shape(entry: Any) -> tuple[tuple[str, ...], tuple[int, ...]]:
    main = entry.variables[entry.main_variable]
    return main.dims, main.shape


if __name__ == "__main__":
    command_line.run(app, name="python -m pipeline")
