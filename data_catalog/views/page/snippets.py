"""How a dataset is opened: a few lines to copy."""

import json
from dataclasses import dataclass

import yaml

from data_catalog import layout
from data_catalog.schema import Entry
from data_catalog.views.page.trainer_recipe import trainer_recipe

MOST_SURVEYS = 100
"""That a recipe names."""


@dataclass(frozen=True)
class Snippet:
    """Lines to copy.

    Attributes:
        title: What they are for.
        about: What is to be known before.
        text: The lines.
    """

    title: str
    about: str
    text: str


def snippets(entry: Entry) -> list[Snippet]:
    """For xarray by the catalog and by the store's own place, and for the trainer."""
    name, main = _quoted(entry.name), _quoted(entry.main_variable)
    by_name = f"import data_catalog\n\ndataset = data_catalog.open({name})\ndataset[{main}]"
    urls = [entry.url, *(f"{entry.url.rstrip('/')}/{layout.derived_path(each)}" for each in entry.derived)]
    by_url = "import xarray\n\n" + "\n".join(f"xarray.open_zarr({_quoted(url)})" for url in urls)
    remote = "Credentials are taken from the environment." if "://" in entry.url else ""
    found = [
        Snippet("By its name", "One xarray Dataset of all variables, derived ones as ID_VARIABLE.", by_name),
        Snippet("By its place", remote or "Wherever xarray and zarr are installed.", by_url),
    ]
    if entry.split_by.get("by") == "survey":
        return [*found, _with_other_surveys(entry)]
    recipe = trainer_recipe(entry)
    if recipe is None:
        return found
    file = f"{entry.name}.yaml"
    first = f"{recipe.split_command}\n" if recipe.split_command else ""
    return [
        *found,
        Snippet("A recipe for the trainer", f"Save it as {file}.", recipe.text.rstrip()),
        Snippet(
            "Train",
            _why_split(entry) if first else "",
            f"{first}python -m trainer fit {file}",
        ),
    ]


def _with_other_surveys(entry: Entry) -> Snippet:
    """How surveys are named in a recipe, of which each was dealt whole to a split."""
    surveys = entry.split_by.get("surveys")
    names = [str(name) for name in surveys] if isinstance(surveys, list) else [entry.name]
    recipe = {"dataset": {"name": names[0]}, "more_datasets": [{"name": name} for name in names[1:MOST_SURVEYS]]}
    about = f"It was dealt whole to {', '.join(entry.splits)}, with other surveys that are read together."
    return Snippet("In a recipe for the trainer", about, yaml.safe_dump(recipe, sort_keys=False).rstrip())


def _why_split(entry: Entry) -> str:
    if entry.splits:
        return "Its splits leave no room for a window between them: the first line makes others."
    return "It has no splits: the first line makes some."


def _quoted(text: str) -> str:
    """A string as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)  # JSON's way to write what is beyond U+FFFF is not Python's
