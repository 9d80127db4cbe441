"""Entries of earlier versions of SPEC.md, brought to the present one as they are read; files change when replaced."""

from typing import Any

from data_catalog.schema import SPEC_VERSION

VERSIONS = ("1.0", "1.1", "1.2", "1.3", SPEC_VERSION)
"""All that there were, in their order. Each only added fields, which entries before it lack and which have defaults."""


def migrated(document: Any) -> Any:
    """An entry's JSON in the present version; of an unknown version, or where it is no entry, as it is."""
    if isinstance(document, dict) and document.get("spec_version") in VERSIONS:
        return document | {"spec_version": SPEC_VERSION}
    return document
