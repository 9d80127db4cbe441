"""The page about one dataset, written with its pictures, and what the list says of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.facts import when
from data_catalog.schema import Entry, Role
from data_catalog.search import samples_nbytes
from data_catalog.views.page.dataset_page import about, shown, worked_out
from data_catalog.views.page.rendering import render
from data_catalog.views.page.site_folder import DATASETS, SiteFolder


@dataclass(frozen=True)
class Card:
    """What the list says of a dataset.

    Attributes:
        name: Its name, and its page's.
        kind: What its dimensions mean.
        dimensions: Of its main variable.
        variables: All but coordinates.
        classes: Of its labels.
        splits: Their names.
        nbytes: Of all variables, uncompressed.
        created: When it was published.
        thumbnail: A picture, relative to the list; None where there is none.
        is_shown: Whether its page has pictures.
        words: What it is found by, in small letters.
    """

    name: str
    kind: str
    dimensions: str
    variables: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    nbytes: int
    created: str
    thumbnail: str | None
    is_shown: bool
    words: str


@dataclass(frozen=True)
class WrittenPage:
    """A page that was written.

    Attributes:
        card: What the list says of its dataset.
        written: Files, relative to the site's folder.
        wrong: What could not be shown, in sentences; empty where all was.
    """

    card: Card
    written: frozenset[str]
    wrong: str


def write_dataset_page(entry: Entry, path: Path) -> WrittenPage:
    """Writes the page about a dataset; of one whose store is bad it says what its entry knows, and what is wrong.

    Args:
        entry: The dataset.
        path: The site's folder.

    Raises:
        InputError: If the folder cannot be written.
    """
    folder = SiteFolder(path)
    values: dict[str, Any] = about(entry) | {"snippets": (), "steps": (), "splits": (), "sections": None}
    problem, wrong, thumbnail = "", "", None
    try:
        values |= worked_out(entry)
        values |= shown(entry, folder)
        thumbnail, wrong = values["sections"].thumbnail, " ".join(values["sections"].wrong)
    except InputError as error:
        problem = str(error)
    except Exception as error:  # the data are anybody's: one dataset that nobody thought of must not cost all others
        problem = f"{type(error).__name__}: {error}"
    page = render("dataset.html.j2", **values, problem=problem)
    folder.write(f"{DATASETS}/{entry.name}.html", page)
    card = _card(entry, thumbnail, is_shown=not problem)
    return WrittenPage(card, frozenset(folder.written), problem or wrong)


def _card(entry: Entry, thumbnail: str | None, *, is_shown: bool) -> Card:
    variables = entry.all_variables()
    labels = [each for each in variables.values() if each.role in {Role.CLASS_LABEL, Role.PREDICTION}]
    classes = tuple(dict.fromkeys(word for each in labels for word in each.flag_meanings or ()))
    payload = [path for path, each in variables.items() if each.role is not Role.COORDINATE]
    words = [entry.name, entry.kind.value, *variables, *classes, *entry.splits, entry.dimensions()]
    return Card(
        name=entry.name,
        kind=entry.kind.value,
        dimensions=entry.dimensions(),
        variables=tuple(path.removeprefix(f"{layout.DERIVED_GROUP}/") for path in payload),
        classes=classes,
        splits=tuple(entry.splits),
        nbytes=samples_nbytes(entry),
        created=when(entry.created),
        thumbnail=thumbnail,
        is_shown=is_shown,
        words=" ".join(words).lower(),
    )
