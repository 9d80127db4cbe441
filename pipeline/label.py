"""Labels for a published dataset: read, put onto its grid, written as a derived group."""

from collections.abc import Iterator
from typing import Any

from distributed import Client
from pydantic import JsonValue

from data_catalog import Catalog, Derived, Entry
from data_catalog.model_file import by_options, overridden, validated
from pipeline.derive import Derivation, derive
from pipeline.group_run import Made
from pipeline.labels.faults import prepare_faults
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.horizons import prepare_horizons
from pipeline.labels.pictures import prepare_pictures
from pipeline.labels.recipe import (
    ArrivalLabels,
    FaultLabels,
    HorizonLabels,
    LabelRecipe,
    PictureLabels,
    VolumeLabels,
)
from pipeline.labels.volume import LabelVolume, open_volume, prepare_volume
from pipeline.pictures.read import SUFFIXES
from pipeline.segy.read import file_state
from pipeline.shard_run import RunConduct
from pipeline.storage.many_files import matching_files


def label(recipe: LabelRecipe, *, client: Client, catalog: Catalog, conduct: RunConduct | None = None) -> Entry:
    """Labels a dataset and publishes the group; goes on with what an earlier call left unfinished.

    Args:
        recipe: Which labels.
        client: Where the work is done.
        catalog: Where the dataset is.
        conduct: How to go about it.

    Returns:
        The dataset's entry with the group in it.

    Raises:
        InputError: If the dataset, the id or the labels cannot be used, or they do not fit each other.
        WorkError: If some shards could not be written, or what runs the work failed. The same call goes on.
    """
    grid = DatasetGrid(catalog.open(recipe.name))
    labels = open_volume(recipe.labels) if isinstance(recipe.labels, VolumeLabels) else recipe.labels

    def prepare(url: str) -> Made:
        match labels:
            case LabelVolume():
                return prepare_volume(labels, recipe, grid, url, client=client)
            case HorizonLabels():
                return prepare_horizons(labels, recipe, grid, url)
            case FaultLabels():
                return prepare_faults(labels, recipe, grid)
            case PictureLabels():
                return prepare_pictures(labels, recipe, grid)
            case ArrivalLabels():
                # Imported here: pandas would delay every other command.
                from pipeline.labels.arrivals import prepare_arrivals

                return prepare_arrivals(labels, recipe, grid, url)

    derivation = Derivation(
        name=recipe.name,
        derived_id=recipe.id,
        verb="label",
        plan={"recipe": recipe.model_dump(mode="json"), "sources": _sources(labels)},
        prepare=prepare,
    )
    return derive(derivation, client=client, catalog=catalog, conduct=conduct or RunConduct())


def load_label_recipe(path: str | None = None, **overrides: Any) -> LabelRecipe:
    """A checked recipe from a YAML file, with values that win over the file's.

    Args:
        path: The file; None where the overrides say everything.
        overrides: Fields of ``LabelRecipe``; None leaves the file's value, a mapping wins key by key.

    Raises:
        InputError: If the file cannot be read, or the values make no recipe.
    """
    values = overridden(path, overrides)
    if path is None:
        return by_options(LabelRecipe, values, _OPTIONS)
    return validated(LabelRecipe, values, subject=path, root="labels")


_OPTIONS = {
    "source": "--as",
    "coordinates": "--coordinate",
    "paths": "PATHS",
    "horizons": "PATHS",
    "faults": "PATHS",
    "name": "NAME",
}
"""Options whose names are not those of the recipe's fields."""


def described(group: Derived) -> Iterator[str]:
    """What labels were made of, line by line, for people."""
    for key in sorted(group.provenance.keys() - {"recipe", "sources"}):
        value = group.provenance[key]
        parts = (
            value if isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()) else {"": value}
        )
        for part, told in parts.items():
            if told != {}:
                listed = ", ".join(f"{what} {each}" for what, each in told.items()) if isinstance(told, dict) else told
                yield f"{f'{key} {part}'.strip()}: {listed}"


def _sources(labels: LabelVolume | HorizonLabels | FaultLabels | PictureLabels | ArrivalLabels) -> list[JsonValue]:
    """The files that labels are made from, as they are now."""
    match labels:
        case LabelVolume(survey=survey):
            states = list(zip((file.url for file in survey.files), survey.states, strict=True))
        case HorizonLabels(horizons=files) | FaultLabels(faults=files):
            states = [(file.path, file_state(file.path)) for file in files]
        case ArrivalLabels(paths=paths, stations=stations):
            states = [(path, file_state(path)) for path in (*paths, *((stations,) if stations else ()))]
        case PictureLabels(paths=paths):
            states = [(url, file_state(url)) for url in matching_files(paths, suffixes=SUFFIXES)]
    return [{"url": url, "nbytes": state.nbytes, "version": state.version} for url, state in states]
