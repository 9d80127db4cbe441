"""The site: a list of all datasets, and a page about each."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from data_catalog.catalog import Catalog
from data_catalog.errors import InputError
from data_catalog.schema import Entry, Role
from data_catalog.views.page.axes import number
from data_catalog.views.page.dataset_page import about, shown
from data_catalog.views.page.folder import DATASETS, SiteFolder

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "index.html"


def write_site(catalog: Catalog, path: Path) -> Mapping[str, str]:
    """Writes the site.

    Args:
        catalog: Whose datasets.
        path: Its folder.

    Returns:
        What is wrong with datasets that could not be shown, or not wholly, a sentence by name.

    Raises:
        InputError: If there is no such catalog, or the folder is not to be written.
    """
    if not catalog.folder.is_dir():
        raise InputError(f"there is no catalog at {catalog.folder}: name another folder with --catalog.")
    folder, pages = SiteFolder(path), _environment()
    cards, unreadable, wrong = [], {}, {}
    for name in catalog.names():
        try:
            entry = catalog.read(name)
        except InputError as error:
            unreadable[name] = str(error)
            continue
        page = _page(entry, folder)
        folder.write(f"{DATASETS}/{name}.html", pages.get_template("dataset.html.j2").render(page).encode())
        cards.append(_card(entry, page))
        if page["wrong"]:
            wrong[name] = " ".join(page["wrong"])
    unfinished, torn = _unfinished(catalog)
    unreadable |= torn
    listed = {"cards": cards, "unfinished": unfinished, "unreadable": unreadable}
    folder.write(INDEX, pages.get_template("index.html.j2").render(listed).encode())
    folder.sweep()
    return wrong | unreadable


def _page(entry: Entry, folder: SiteFolder) -> dict[str, Any]:
    """What a page says: of a dataset whose store is bad at least what its entry knows, and what is wrong."""
    known = about(entry)
    try:
        return known | {"problem": None} | shown(entry, folder)
    except InputError as error:
        problem = str(error)
    except Exception as error:  # the data are anybody's: one dataset that nobody thought of must not cost all others
        problem = f"{type(error).__name__}: {error}"
    return known | {"problem": problem, "sections": None, "wrong": (problem,)}


def _card(entry: Entry, page: Mapping[str, Any]) -> dict[str, Any]:
    """What the list says of a dataset, and what it is found by."""
    variables = entry.all_variables()
    labels = [each for each in variables.values() if each.role in {Role.CLASS_LABEL, Role.PREDICTION}]
    classes = list(dict.fromkeys(word for each in labels for word in each.flag_meanings or ()))
    payload = [path for path, each in variables.items() if each.role is not Role.COORDINATE]
    words = [entry.name, entry.kind.value, *variables, *classes, *entry.splits, page["dimensions"]]
    return {
        "name": entry.name,
        "kind": entry.kind.value,
        "dimensions": page["dimensions"],
        "variables": [path.removeprefix("derived/") for path in payload],
        "classes": classes,
        "splits": list(entry.splits),
        "nbytes": page["nbytes"],
        "created": page["created"],
        "thumbnail": page["sections"].thumbnail if page["sections"] else None,
        "problem": page["problem"],
        "words": " ".join(words).casefold(),
    }


def _unfinished(catalog: Catalog) -> tuple[list[Any], dict[str, str]]:
    """Datasets without an entry, and what is wrong with records that cannot be read."""
    found, torn = [], {}
    for name in catalog.unfinished_names():
        try:
            record = catalog.unfinished(name)
        except InputError as error:
            torn[name] = str(error)
            continue
        if record is not None:  # None where it was finished at this moment
            found.append(record)
    return found, torn


def _environment() -> Environment:
    """Templates with style and script in them: a page needs no file but its pictures, and a browser runs no other."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    environment.filters |= {"nbytes": nbytes_text, "number": number}
    environment.globals |= {
        "style": style,
        "script": script,
        "policy": "; ".join(
            (
                "default-src 'none'",
                "img-src 'self' file: data:",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
    }
    return environment


def _digest(text: str) -> str:
    """What a Content-Security-Policy calls a script or a style by (CSP level 2, hash-source)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def nbytes_text(nbytes: int) -> str:
    """A size with three digits."""
    size, units = float(nbytes), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 1000 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}"
