"""``status``: how far a conversion or a labelling is."""

import json
from typing import Annotated

import typer

from data_catalog import Catalog, command_line
from data_catalog.command_line import CatalogOption
from pipeline.status import print_status, read_status


def status(
    name: str,
    as_json: Annotated[bool, typer.Option("--json", help="For machines, with all failures.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Says how far a conversion or a labelling is, and what failed."""
    found = read_status(name, catalog=Catalog(catalog))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_status(found, console=command_line.console())
