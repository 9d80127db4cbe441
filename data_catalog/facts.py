"""What a document of an entry says, in words for people: a few facts of a recipe, the ranges of a box, a time."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from data_catalog.schema import Box

MOST_FACTS = 10
MOST_TEXT = 300
"""Characters of a value that are shown."""

PLACE_KEYS = ("url", "path")
"""What says where a file is: of a list of files that is what is shown."""


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
        if places := [str(each[key]) for each in value if isinstance(each, dict) for key in PLACE_KEYS if key in each]:
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
