"""``export``: a dataset back to SEG-Y."""

from typing import Annotated

import typer

from data_catalog import Catalog
from data_catalog.command_line import CatalogOption
from pipeline.export.export import export as export_variable
from pipeline.export.target import nbytes_of


def export(
    name: str,
    out: Annotated[str, typer.Option(help="The SEG-Y file, or an fsspec URL; a folder for a survey of several files.")],
    variable: Annotated[
        str | None, typer.Option(help="A variable, also of a derived group: derived/ID/NAME [the main one].")
    ] = None,
    box: Annotated[
        str | None, typer.Option(help="DIM:FIRST:LAST in labels, several joined by commas; a part of the traces.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Writes a variable back to SEG-Y with the original headers; samples from SEG-Y come out byte for byte."""
    opened = Catalog(catalog)
    for path in export_variable(name, out=out, variable=variable, catalog=opened, overwrite=overwrite, box=box):
        print(f"{path}: {nbytes_of(path)} bytes")
