"""What a page about a dataset says, put together for its template."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_catalog import layout
from data_catalog.conformance import check_store
from data_catalog.errors import InputError
from data_catalog.facts import box_text, when
from data_catalog.lineage import lineage
from data_catalog.schema import Entry, Role
from data_catalog.search import samples_nbytes
from data_catalog.views.page.bounded_store import Store
from data_catalog.views.page.coordinate_table import coordinate_rows
from data_catalog.views.page.histogram_figure import draw_histogram
from data_catalog.views.page.layers import CLASS_COLOURS, shown_name
from data_catalog.views.page.manifest import in_order, read_counts, read_moments
from data_catalog.views.page.map_figure import draw_map, split_legend
from data_catalog.views.page.pictures import Picture, from_page, write_picture, write_sections
from data_catalog.views.page.site_folder import SiteFolder
from data_catalog.views.page.snippets import snippets
from data_catalog.views.page.survey_map import Places, read_places
from data_catalog.views.page.text_header import read_text_headers

MOST_SOURCES = 12
"""That the page lists; surveys have thousands of files."""


@dataclass(frozen=True)
class Share:
    """One class of a label.

    Attributes:
        word: What it is called.
        count: Its samples, as far as they were counted.
        share: Its part of those that have a class.
        colour: That it is drawn in.
    """

    word: str
    count: int
    share: float
    colour: str


def about(entry: Entry) -> dict[str, Any]:
    """What the entry says."""
    return {
        "entry": entry,
        "dimensions": entry.dimensions(),
        "nbytes": samples_nbytes(entry),
        "created": when(entry.created),
        "sources": entry.sources[:MOST_SOURCES],
        "more_sources": max(0, len(entry.sources) - MOST_SOURCES),
    }


def worked_out(entry: Entry) -> dict[str, Any]:
    """What follows from the entry alone."""
    return {
        "snippets": snippets(entry),
        "steps": lineage(entry),
        "splits": [
            (swatch, "; ".join(box_text(box) for box in entry.splits[swatch.text])) for swatch in split_legend(entry)
        ],
    }


def shown(entry: Entry, folder: SiteFolder) -> dict[str, Any]:
    """What is known from the store, its pictures written.

    Raises:
        InputError: If the store is not there, or does not keep to the contract.
    """
    if problems := check_store(entry):
        more = f", and {len(problems) - 1} problems more" if len(problems) > 1 else ""
        raise InputError(f"its store does not keep to SPEC.md: {problems[0]}{more}.")
    store = Store(entry.url)
    sections = write_sections(store, entry, folder)
    return {
        "sections": sections,
        "map": _map(entry, folder, read_places(store, entry)),
        "volumes": [_volume(store, entry, folder, name) for name in _volumes(entry)],
        "labels": [found for path in _labels(entry) if (found := _balance(store, entry, path))],
        "coordinates": coordinate_rows(store, entry),
        "text_headers": read_text_headers(store, entry),
    }


def _map(entry: Entry, folder: SiteFolder, found: Sequence[Places]) -> Picture | None:
    """The map; None where there is nothing to be seen on it."""
    if not found and not entry.splits:
        return None
    source = from_page(write_picture(folder, entry, "map", draw_map(entry, found)))
    names = " and ".join(f"{places.name}_x, {places.name}_y" for places in found)
    where = f"by {names}" if found else "by index: there are no map coordinates"
    splits = f", with splits {', '.join(entry.splits)}" if entry.splits else ""
    left_out = "" if all(places.are_all for places in found) else "some of them, evenly spread"
    return Picture(source, f"Map of the traces {where}{splits}", f"Traces {where}", left_out)


def _volumes(entry: Entry) -> list[str]:
    """Variables of samples, the main one first."""
    roles = {Role.INPUT, Role.TARGET}
    found = [name for name, variable in entry.variables.items() if variable.role in roles]
    return sorted(found, key=lambda name: name != entry.main_variable)


def _volume(store: Store, entry: Entry, folder: SiteFolder, name: str) -> dict[str, Any]:
    """Moments and histogram of a variable."""
    return {
        "name": name,
        "units": entry.variables[name].units or "",
        "moments": read_moments(store, name),
        "picture": _histogram(store, entry, folder, name),
    }


def _histogram(store: Store, entry: Entry, folder: SiteFolder, name: str) -> Picture | None:
    """The histogram of a variable; None where the manifest has none."""
    variable = entry.variables[name]
    counts = read_counts(store, name, variable)
    if counts is None or not in_order(counts.values).any():
        return None
    content = draw_histogram(counts, title=f"{name} ({variable.units})" if variable.units else name)
    source = from_page(write_picture(folder, entry, f"histogram-{name}", content))
    share = "" if counts.share == 1 else f"of {counts.share:.2%} of the chunks, evenly spread"
    return Picture(source, f"Histogram of {name}", f"{name}, but for 0.1 % of the samples at either end", share)


def _labels(entry: Entry) -> list[str]:
    return [path for path, variable in entry.all_variables().items() if variable.role is Role.CLASS_LABEL]


def _balance(store: Store, entry: Entry, path: str) -> dict[str, Any] | None:
    """Samples of each class of a label."""
    variable = entry.all_variables()[path]
    counts = read_counts(store, path, variable)
    if counts is None:
        return None
    values, words = variable.flag_values or (), variable.flag_meanings or ()
    of_class = [int(counts.values[value]) if 0 <= value < layout.CLASS_VALUE_COUNT else 0 for value in values]
    total = sum(of_class) or 1
    return {
        "title": shown_name(path),
        "shares": [
            Share(word, count, count / total, CLASS_COLOURS[place % len(CLASS_COLOURS)])
            for place, (word, count) in enumerate(zip(words, of_class, strict=True))
        ],
        "ignored": int(counts.values.sum()) - sum(of_class),
        "part": counts.share,
    }
