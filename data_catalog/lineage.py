"""Where a dataset comes from, step by step: files, the recipe, the store, and what was derived from it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import yaml

from data_catalog.schema import Box, Entry

MOST_FACTS = 10
MOST_TEXT = 300
"""Characters of a value that are shown; the YAML below has all of it."""

PLACE_KEYS = {"url", "path"}
"""What says where a file is: of a list of files that is what is shown."""


@dataclass(frozen=True)
class Step:
    """One thing that was done.

    Attributes:
        title: What came of it.
        when: When it was done; empty where nobody wrote it down.
        facts: What is known of it, by name.
        document: All of that, YAML; empty where the facts are all.
    """

    title: str
    when: str
    facts: Mapping[str, str]
    document: str


def lineage(entry: Entry) -> list[Step]:
    """The steps after the sources, in their order."""
    steps = [Step("Recipe", "", facts_of(entry.recipe), _yaml(entry.recipe))] if entry.recipe else []
    store = {"store": entry.url, "revision": str(entry.revision), "keeps to": f"SPEC {entry.spec_version}"}
    if entry.fates:
        store["traces of the sources"] = ", ".join(f"{count} {fate}" for fate, count in entry.fates.items())
    steps.append(Step("Dataset", when(entry.created), store, ""))
    if entry.split_by:
        steps.append(Step("Splits", "", facts_of(entry.split_by), ""))
    for derived_id, group in sorted(entry.derived.items(), key=lambda item: item[1].created):
        facts = {
            "made by": group.made_by,
            "variables": ", ".join(f"{name} ({each.role})" for name, each in group.variables.items()),
            "holds values": "everywhere" if not group.boxes else "; ".join(box_text(box) for box in group.boxes),
        }
        facts |= facts_of(group.provenance)
        steps.append(Step(f"derived/{derived_id}", when(group.created), facts, _yaml(group.provenance)))
    return steps


def box_text(box: Box) -> str:
    """A box in words, both ends included, counted from 0."""
    return ", ".join(f"{dim} {start} to {stop - 1}" for dim, (start, stop) in box.items()) or "all"


def when(moment: datetime) -> str:
    """A date and a time."""
    return f"{moment:%Y-%m-%d %H:%M %Z}"


def facts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """What a document says, value by value, by the way to it, the shortest ways first; null and empty say nothing."""
    found = sorted(_facts(document, ()), key=lambda fact: len(fact[0]))
    facts = {" ".join(path): text for path, text in found[:MOST_FACTS]}
    left = len(found) - MOST_FACTS
    return facts | ({"and": f"{left} more"} if left > 0 else {})


def _facts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _facts(each, (*path, str(key)))
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        if places := [str(each[key]) for each in value if isinstance(each, dict) for key in PLACE_KEYS & each.keys()]:
            yield path, _cut(", ".join(places))
        else:
            for number, each in enumerate(value, start=1):
                yield from _facts(each, (*path, str(number)))
    elif value is not None and value not in ("", []):
        yield path, _cut(", ".join(map(str, value)) if isinstance(value, list) else _text(value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True) if document else ""
