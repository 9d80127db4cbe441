"""Entries of earlier versions of SPEC.md, brought to the present one as they are read; files change when replaced."""

from collections.abc import Callable, Mapping
from typing import Any

from data_catalog.schema import SPEC_VERSION

Document = dict[str, Any]

VERSIONS = ("1.0", "1.1", "1.2", "1.3", SPEC_VERSION)
"""All that there were, in their order."""

CHANGES: Mapping[str, Callable[[Document], Document]] = {}
"""What makes an entry of the version before one of this version, by version; those that are not named only added
fields, which are absent from entries before them and have defaults."""


def migrated(document: Any) -> Any:
    """An entry's JSON in the present version; of an unknown version, or where it is no entry, as it is."""
    if not isinstance(document, dict) or document.get("spec_version") not in VERSIONS:
        return document
    for version in VERSIONS[VERSIONS.index(document["spec_version"]) + 1 :]:
        document = CHANGES.get(version, dict)(document) | {"spec_version": version}
    return document
