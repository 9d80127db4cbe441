"""Where a dataset comes from, step by step: files, the recipe, the store, and what was derived from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from data_catalog.facts import box_text, facts_of, when
from data_catalog.schema import Entry


@dataclass(frozen=True)
class Step:
    """One thing that was done.

    Attributes:
        title: What came of it.
        when: When it was done; empty where nobody wrote it down.
        facts: What is known of it, by name; of long documents the beginning.
        document: All that is known, YAML, which the page has and `show --json` as well; empty where the facts are all.
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
        steps.append(Step("Splits", "", facts_of(entry.split_by), _yaml(entry.split_by)))
    for derived_id, group in sorted(entry.derived.items(), key=lambda item: item[1].created):
        facts = {
            "made by": group.made_by,
            "variables": ", ".join(f"{name} ({each.role})" for name, each in group.variables.items()),
            "holds values": "everywhere" if not group.boxes else "; ".join(box_text(box) for box in group.boxes),
        }
        facts |= facts_of(group.provenance)
        steps.append(Step(f"derived/{derived_id}", when(group.created), facts, _yaml(group.provenance)))
    return steps


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True) if document else ""
