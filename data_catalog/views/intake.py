"""The catalog as a file for Intake, whose driver ``zarr`` (intake-xarray) opens datasets as xarray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from pydantic import JsonValue

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Entry
from data_catalog.storage import write_atomically

TEMPLATE_MARKS = ("{{", "{%", "{#")
"""Intake fills in templates where it reads arguments: in a URL they would be taken for some."""


def write_intake(entries: Sequence[Entry], path: Path, *, place: str) -> None:
    """Writes a catalog of Intake's first version, which its second one reads too.

    A derived group is a source of its own, ``NAME/ID``.

    Args:
        entries: The datasets.
        path: File to write; it must not exist.
        place: Where the entries are listed.

    Raises:
        InputError: If a URL looks like a template.
        OSError: If the file cannot be written.
    """
    sources = dict(source for entry in entries for source in _sources(entry))
    document = {"metadata": {"version": 1, "place": place}, "sources": sources}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, yaml.safe_dump(document, sort_keys=False))


def _sources(entry: Entry) -> Iterator[tuple[str, JsonValue]]:
    if any(mark in entry.url for mark in TEMPLATE_MARKS):
        raise InputError(f"the store of {entry.name!r} is {entry.url}, which Intake would take for a template.")
    yield entry.name, _source(entry.url, f"{entry.kind}, revision {entry.revision}", entry)
    for derived_id, group in entry.derived.items():
        url = f"{entry.url.rstrip('/')}/{layout.derived_path(derived_id)}"
        yield f"{entry.name}/{derived_id}", _source(url, f"{entry.name}, by {group.made_by}", entry)


def _source(url: str, description: str, entry: Entry) -> JsonValue:
    about: dict[str, JsonValue] = {"kind": entry.kind.value, "sizes": dict(entry.sizes), "splits": list(entry.splits)}
    return {"driver": "zarr", "description": description, "args": {"urlpath": url}, "metadata": about}
