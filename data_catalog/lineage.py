"""Where a dataset comes from: its source files, how it was made of them, and what was made of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from data_catalog.schema import Entry, Source

MOST_LISTED = 10
"""Of files or things of one kind; the rest is counted."""

DEEPEST = 2
"""Level of settings that is still taken apart; deeper ones are on one line."""

MOST_CHARACTERS = 160
"""Of one line."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A thing, and what it was made with.

    Attributes:
        text: One line about it.
        of: What it was made with or from.
    """

    text: str
    of: tuple["Origin", ...] = ()


def lineage(entry: Entry) -> Origin:
    """Source files, recipe, splits and derived groups of a dataset, each with what it was made with."""
    parts = [Origin(f"made of {_count(entry.sources, 'file')}", _listed(map(_source, entry.sources), entry.sources))]
    parts += [_settings("recipe", entry.recipe)] if entry.recipe else []
    parts += [_settings("splits", entry.split_by)] if entry.split_by else []
    for derived_id, group in entry.derived.items():
        words = ", ".join(group.variables)
        about = f"derived/{derived_id}: {words} by {group.made_by}, {group.created:%Y-%m-%d %H:%M %Z}"
        parts.append(Origin(about, _settings("", group.provenance).of))
    about = f"{entry.name}: {entry.kind}, revision {entry.revision}, first published {entry.created:%Y-%m-%d %H:%M %Z}"
    return Origin(about, tuple(parts))


def _source(source: Source) -> Origin:
    return Origin(f"{source.variable}: {source.url} ({source.nbytes} bytes, {source.trace_count} traces)")


def _settings(name: str, value: JsonValue, depth: int = 0) -> Origin:
    """A value and those in it, without those that are not set."""
    if isinstance(value, dict) and depth < DEEPEST:
        return Origin(name, tuple(_settings(key, each, depth + 1) for key, each in value.items() if _is_set(each)))
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        told = (Origin(_line(each)) for each in value)
        return Origin(f"{name}: {len(value)}", _listed(told, value))
    return Origin(f"{name}: {_line(value)}")


def _is_set(value: JsonValue) -> bool:
    return value is not None and value not in ([], {}, "") and not (isinstance(value, dict) and not _set_parts(value))


def _set_parts(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {key: each for key, each in value.items() if _is_set(each)}


def _line(value: JsonValue) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        text = ", ".join(f"{key} {_line(each)}" for key, each in _set_parts(value).items())
    elif isinstance(value, list):
        text = ", ".join(map(_line, value))
    else:
        text = str(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def _listed(told: Iterator[Origin], all_of_them: Sequence[object]) -> tuple[Origin, ...]:
    first = [origin for origin, _ in zip(told, range(MOST_LISTED), strict=False)]
    left = len(all_of_them) - len(first)
    return (*first, *([Origin(f"and {left} more")] if left else []))


def _count(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}" if things else f"no {word}s that are known"
