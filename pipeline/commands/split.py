"""``split``: which part of a dataset is learned from, and which is not."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from data_catalog import Catalog, Entry, InputError
from data_catalog.command_line import CatalogOption
from pipeline.commands.option_values import values_by_name
from pipeline.commands.options import JsonOption
from pipeline.split import SURVEY, Border, load_split_recipe, split_surveys
from pipeline.split import split as split_dataset


def split(  # noqa: PLR0913 (a command's options)
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The dataset; with --by survey, several.")],
    by: Annotated[
        str, typer.Option(help="The dimension that is cut: inline, record, receiver, example, ...; or survey.")
    ],
    shares: Annotated[
        str, typer.Option(metavar="NAME=SHARE,...", help="Of it, e.g. train=0.6,validation=0.2,test=0.2.")
    ],
    guard: Annotated[
        int, typer.Option(min=0, help="Positions between splits that belong to none: at least a training window.")
    ] = 0,
    blocks: Annotated[
        int | None, typer.Option(min=2, help="Blocks that are dealt at random; else one range for each split.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COORDINATE", help="Positions with one value stay together, e.g. of an event.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is dealt at random.")] = 0,
    as_json: JsonOption = False,
    catalog: CatalogOption = None,
) -> None:
    """Splits a dataset, and says how near and how alike the splits are; or deals whole datasets to splits."""
    values = _shares(shares)
    recipe = load_split_recipe(by=by, shares=values, guard=guard, blocks=blocks, group=group, seed=seed)
    for name in names if not as_json else ():
        _print_former(Catalog(catalog).read(name))
    if by == SURVEY:
        dealt = split_surveys(recipe, names=names, catalog=Catalog(catalog))
        print(json.dumps(dealt, indent=2) if as_json else "\n".join(f"{name}: {into}" for name, into in dealt.items()))
        return
    if len(names) > 1:
        raise InputError(f"{len(names)} datasets are split one by one, or dealt as wholes with --by survey.")
    entry, between = split_dataset(recipe, name=names[0], catalog=Catalog(catalog))
    if as_json:
        told = [asdict(border) for border in between]
        print(json.dumps({"splits": entry.splits, "split_by": entry.split_by, "borders": told}, indent=2))
    else:
        _print_ranges(entry, by)
        _print_borders(between, by)


def _shares(text: str) -> dict[str, float]:
    """``NAME=SHARE,...``, shares as 0.6 or 60%."""
    found: dict[str, float] = {}
    for name, (value, *others) in values_by_name(text.split(","), "--shares").items():
        if others:
            raise InputError(f"--shares names {name} twice.")
        try:
            found[name] = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except ValueError:
            raise InputError(f"--shares {name}={value} is no share: write e.g. {name}=0.6.") from None
    return found


def _print_ranges(entry: Entry, by: str) -> None:
    for name, boxes in entry.splits.items():
        ranges = ", ".join(f"[{box[by][0]}, {box[by][1]})" for box in boxes[:8]) + (" ..." if len(boxes) > 8 else "")
        count = sum(box[by][1] - box[by][0] for box in boxes)
        share = count / entry.sizes[by]
        print(f"{name}: {count} of {entry.sizes[by]} ({share:.0%}) along {by}: {ranges}, counted from 0")


def _print_former(entry: Entry) -> None:
    if entry.splits:
        by = f" by {entry.split_by['by']}" if "by" in entry.split_by else ""
        print(f"{entry.name} had splits {', '.join(entry.splits)}{by}, whose place these take")


def _print_borders(between: Sequence[Border], by: str) -> None:
    for border in between:
        print(
            f"{' and '.join(border.splits)}: {border.distance} apart along {by}; samples on either side correlate by "
            f"{border.correlation:.2f}, neighbours by {border.neighbouring:.2f}"
            f"{': they are alike, widen the guard band' if border.is_alike else ''}"
        )
