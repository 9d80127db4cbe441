"""An ingestion: files looked at, laid out, read shard by shard, published."""

from typing import Any

from distributed import Client
from pydantic import JsonValue

from data_catalog import Catalog, Entry
from data_catalog.model_file import by_options, overridden, validated
from pipeline.create import Contents, Creation, create
from pipeline.ingest import arrays, images
from pipeline.ingest.recipe import Arrays, IngestRecipe, Pictures
from pipeline.pictures.read import SUFFIXES
from pipeline.segy.read import file_state
from pipeline.shard_run import RunConduct
from pipeline.storage.many_files import matching_files
from pipeline.storage.objects import absolute


def ingest(recipe: IngestRecipe, *, client: Client, catalog: Catalog, conduct: RunConduct | None = None) -> Entry:
    """Ingests files and publishes the dataset; goes on with what an earlier call left unfinished.

    Args:
        recipe: What to make of which files.
        client: Where the work is done.
        catalog: Where the entry goes, last.
        conduct: How to go about it.

    Returns:
        The published entry.

    Raises:
        InputError: If the files, the name or the target cannot be used. What an earlier call finished stays.
        WorkError: If some shards could not be written, or what runs the work failed. The same call goes on.
    """
    recipe = recipe.model_copy(update={"out": absolute(recipe.out)})

    def prepare() -> Contents:
        match recipe.files:
            case Pictures():
                return images.prepare_images(recipe.files, recipe)
            case Arrays():
                return arrays.prepare_arrays(recipe.files, recipe)

    asked = recipe.model_dump(mode="json")
    creation = Creation(
        name=recipe.name,
        out=recipe.out,
        verb="ingest",
        recipe={"ingest": asked},
        plan={"recipe": asked, "sources": _sources(recipe.files)},
        prepare=prepare,
    )
    return create(creation, client=client, catalog=catalog, conduct=conduct or RunConduct())


def load_ingest_recipe(path: str | None = None, **overrides: Any) -> IngestRecipe:
    """A checked recipe from a YAML file, with values that win over the file's.

    Raises:
        InputError: If the file cannot be read, or the values make no recipe.
    """
    values = overridden(path, overrides)
    if path is None:
        return by_options(IngestRecipe, values, {"format": "FORMAT", "paths": "PATHS", "chunk_nbytes": "--chunk-size"})
    return validated(IngestRecipe, values, subject=path, root="recipe")


def _sources(files: Pictures | Arrays) -> list[JsonValue]:
    """The files as they are now."""
    suffixes = SUFFIXES if isinstance(files, Pictures) else arrays.SUFFIXES
    found: list[JsonValue] = []
    for url in matching_files(files.paths, suffixes=suffixes):
        state = file_state(url)
        found.append({"url": url, "nbytes": state.nbytes, "version": state.version})
    return found
