"""``python -m data_catalog list | show | lineage | check | page | export | remove``."""

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from data_catalog import command_line, layout
from data_catalog.catalog import Catalog
from data_catalog.command_line import CatalogOption
from data_catalog.errors import ConformanceError, InputError
from data_catalog.lineage import lineage
from data_catalog.removal import store_exists
from data_catalog.schema import Entry, Kind
from data_catalog.search import Search, parse_nbytes
from data_catalog.unfinished import Unfinished
from data_catalog.views.intake import write_intake
from data_catalog.views.page import write_page
from data_catalog.views.shards import check_shards
from data_catalog.views.stac import write_stac

MOST_SOURCES = 10
"""That `lineage` lists; `show --json` has all."""

app = typer.Typer(
    help="Prepared datasets: what exists, and whether it keeps to the contract.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_entries(
    kind: Annotated[Kind | None, typer.Option(help="Only datasets of this kind.")] = None,
    variable: Annotated[str | None, typer.Option(help="Only with a variable or derived group called like it.")] = None,
    class_word: Annotated[str | None, typer.Option("--class", help="Only with a label that has this class.")] = None,
    split: Annotated[str | None, typer.Option(help="Only with this split.")] = None,
    at_least: Annotated[str | None, typer.Option(metavar="SIZE", help="Of all samples, uncompressed: 1GiB.")] = None,
    at_most: Annotated[str | None, typer.Option(metavar="SIZE", help="Likewise.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: the entries themselves.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Lists all datasets, and those that are not finished; or those that are looked for."""
    opened = Catalog(catalog)
    search = Search(
        kind,
        variable,
        class_word,
        split,
        parse_nbytes(at_least, option="--at-least"),
        parse_nbytes(at_most, option="--at-most"),
    )
    listing = opened.read_all()
    found = [entry for entry in listing.entries if search.finds(entry)]
    unfinished = listing.unfinished if search == Search() else []
    if as_json:
        print(f"[{', '.join(entry.model_dump_json(exclude_none=True) for entry in found)}]")
    else:
        _print_finished(found)
        _print_unfinished(unfinished)
        if not found and not unfinished and not listing.broken:
            print(
                f"no datasets in {opened.place}; `python -m pipeline convert` makes one."
                if search == Search()
                else "no dataset is like that; `python -m data_catalog list` shows all."
            )
    if listing.broken:
        raise InputError("\n".join(listing.broken.values()))


def _print_finished(found: list[Entry]) -> None:
    table = Table("name", "kind", "dimensions", "variables", "splits", "derived", box=None, pad_edge=False)
    for entry in found:
        table.add_row(
            entry.name,
            entry.kind,
            entry.dimensions(),
            " ".join(_payload(entry)),
            " ".join(entry.splits) or "-",
            " ".join(entry.derived) or "-",
        )
    if table.row_count:
        command_line.console().print(table)


def _print_unfinished(records: list[Unfinished]) -> None:
    table = Table("name", "state", "since", "store", box=None, pad_edge=False)
    for record in records:
        table.add_row(record.name, "unfinished", f"{record.begun:%Y-%m-%d %H:%M %Z}", record.url)
    if table.row_count:
        console = command_line.console()
        console.print(table)
        console.print("`python -m pipeline status NAME` tells how far an unfinished one is.")


@app.command()
def show(
    name: str,
    catalog: CatalogOption = None,
    json: Annotated[bool, typer.Option("--json", help="The entry itself.")] = False,
) -> None:
    """Shows one dataset."""
    entry = Catalog(catalog).read(name)
    if json:
        print(entry.model_dump_json(indent=2, exclude_none=True))
        return
    console = command_line.console()
    console.print(f"{entry.name}: {entry.kind}, revision {entry.revision}, {entry.created:%Y-%m-%d %H:%M %Z}")
    console.print(f"store: {entry.url}")
    console.print(f'open:  xarray.open_zarr("{entry.url}")')
    for derived_id in entry.derived:
        console.print(f'       xarray.open_zarr("{entry.url}/{layout.derived_path(derived_id)}")')
    table = Table("variable", "role", "dimensions", "shape", "dtype", "chunk", "shard", "units", box=None)
    for path, variable in entry.all_variables().items():
        table.add_row(
            path,
            variable.role,
            ", ".join(variable.dims),
            _times(variable.shape),
            variable.dtype,
            _times(variable.chunk_shape),
            _times(variable.shard_shape),
            variable.units or "-",
        )
    console.print(table)
    for line in _about(entry):
        console.print(line)


def _about(entry: Entry) -> Iterator[str]:
    """Classes, splits, sources and what was odd, line by line."""
    for path, variable in entry.all_variables().items():
        if variable.flag_meanings:
            yield f"classes of {path}: {', '.join(variable.flag_meanings)}"
    for split, boxes in entry.splits.items():
        ranges = "; ".join(", ".join(f"{dim} [{a}, {b})" for dim, (a, b) in box.items()) or "all" for box in boxes)
        yield f"split {split}: {ranges}, counted from 0"
    for source in entry.sources:
        yield f"source: {source.url} ({source.nbytes} bytes, {source.trace_count} traces)"
    if set(entry.fates) - {"kept"}:
        yield f"traces of the source: {', '.join(f'{count} {fate}' for fate, count in entry.fates.items())}"
    yield from (f"warning: {warning}" for warning in entry.warnings)


@app.command("lineage")
def show_lineage(name: str, catalog: CatalogOption = None) -> None:
    """Shows what a dataset was made from, how, and what was made of it."""
    entry = Catalog(catalog).read(name)
    tree = Tree(Text(name))
    sources = tree.add(f"{len(entry.sources)} source files") if entry.sources else tree
    for source in entry.sources[:MOST_SOURCES]:
        sources.add(Text(f"{source.url}: {source.variable}, {source.nbytes} bytes, {source.trace_count} traces"))
    if (more := len(entry.sources) - MOST_SOURCES) > 0:
        sources.add(f"and {more} more")
    for step in lineage(entry):
        branch = tree.add(Text(f"{step.title} {step.when}".strip()))
        for fact, value in step.facts.items():
            branch.add(Text(f"{fact}: {value}"))
    command_line.console().print(tree)


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="By default all.")] = None,
    shards: Annotated[
        bool, typer.Option("--shards", help="Also sees that the objects are there that the manifests tell of.")
    ] = False,
    catalog: CatalogOption = None,
) -> None:
    """Judges entries and their stores against SPEC.md; every problem is listed.

    What the stored bytes are is seen by `python -m pipeline verify NAME`.
    """
    opened, broken = Catalog(catalog), []
    names = names or opened.names()
    if not names:
        print(f"no datasets in {opened.place}.")
    for name in names:
        try:
            entry = opened.open(name)
            if shards and (problems := check_shards(entry)):
                raise ConformanceError(f"dataset {name!r}", problems)
        except InputError as error:
            broken.append(str(error))
        else:
            print(f"{name}: {len(entry.all_variables())} variables keep to SPEC.md")
    if broken:
        raise InputError("\n".join(broken))


class Format(StrEnum):
    """What else a catalog can be."""

    STAC = "stac"
    INTAKE = "intake"


@app.command()
def export(
    form: Annotated[Format, typer.Option("--format", help="A folder of JSON files, or one of YAML.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="What to write; it must not be there.")],
    catalog: CatalogOption = None,
) -> None:
    """Writes the catalog for other programs: STAC, or Intake."""
    if out.exists():
        raise InputError(f"{out} is there already: choose another --out.")
    command_line.check_local(out)
    opened = Catalog(catalog)
    listing = opened.read_all()
    write = write_stac if form is Format.STAC else write_intake
    try:
        write(listing.entries, out, place=opened.place)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out.") from None
    print(f"{len(listing.entries)} datasets in {out}")
    if listing.broken:
        raise InputError("\n".join(["these could not be read, and are left out:", *listing.broken.values()]))


@app.command()
def page(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the site: empty, new, or of such a site.")
    ],
    catalog: CatalogOption = None,
) -> None:
    """Writes a web site about all datasets, to be opened without a server; one that is there is replaced.

    Datasets that cannot be shown are named on stderr and on the site, and the exit status stays 0: the site is whole.
    """
    command_line.check_local(out)
    opened = Catalog(catalog)
    for name, sentence in write_page(opened, out).items():
        print(command_line.printable(f"warning: {name}: {sentence.splitlines()[0]}"), file=sys.stderr)
    print(f"{len(opened.names())} datasets: {out / 'index.html'}")


@app.command()
def remove(
    name: str,
    derived: Annotated[str | None, typer.Option("--derived", metavar="ID", help="Only this derived group.")] = None,
    catalog: CatalogOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Deletes a dataset, finished or not, its entry and its store with everything in it; or one derived group."""
    opened = Catalog(catalog)
    what = name if derived is None else f"{name}, derived group {derived}"
    print(command_line.printable(_what_would_go(opened, name)) if derived is None else what)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"nobody can be asked whether {what!r} may go, stdin is no terminal: say --yes.")
        typer.confirm("Delete it?", abort=True)
    had_store = opened.remove(name) if derived is None else opened.remove_derived(name, derived)
    print(f"removed {what}" if had_store else f"removed {what}; its store was gone before")


def _what_would_go(catalog: Catalog, name: str) -> str:
    url = catalog.store_of(name)
    what = "unfinished"
    if not catalog.unfinished(name):
        entry = catalog.read(name)
        what = f"{entry.kind} with {len(entry.all_variables())} variables, main variable {entry.dimensions()}"
    store = f"the store {url} and everything in it" if store_exists(url) else f"no store, nothing is at {url}"
    return f"{name}: {what}; {store}"


def _payload(entry: Entry) -> list[str]:
    return [name for name, variable in entry.variables.items() if variable.role != "coordinate"]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


if __name__ == "__main__":
    command_line.run(app, name="python -m data_catalog")
