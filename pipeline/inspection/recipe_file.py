"""A recipe of what inspection found, which ``convert`` takes as it is, or after it was edited."""

from pathlib import Path
from typing import Any

import yaml

from data_catalog import InputError
from pipeline.inspection.printing import usable_name

_HEAD = """\
# Made by `python -m pipeline inspect`; `python -m pipeline convert {file}` takes it as it is, or after changes.
# Positions are bytes of the trace header, from 1. What is left out is inferred, or has its usual value.
"""


def recipe_text(
    found: dict[str, Any],
    *,
    name: str,
    moved: dict[str, str],
    reading: dict[str, Any],
    duplicates: str | None,
    file: str,
) -> str:
    """The recipe as YAML, with what was odd as comments.

    Args:
        found: What ``inspect_survey`` found.
        name: What the dataset may be called.
        moved: Where words are.
        reading: How files were asked to be read.
        duplicates: What was asked for traces that share a cell.
        file: What the recipe is called.
    """
    usable = usable_name(name)
    recipe: dict[str, Any] = {
        "name": usable,
        "paths": [file["url"] for file in found["files"]],
        "out": f"{usable}.zarr",
        "kind": found["kind"],
    }
    if moved:
        recipe["header_bytes"] = moved
    stated = dict(reading)
    if found["files"][0]["format"] == "su":
        stated["format"] = "su"
    if any(file["missing_nbytes"] for file in found["files"]):
        stated.setdefault("truncated", "salvage")
    if stated:
        recipe["reading"] = stated
    if duplicates or any("--duplicates" in oddity for oddity in found["odd"]):
        recipe["duplicates"] = duplicates or "first"
    comments = "".join(f"# {line}\n" for line in (*found["reasons"], *(f"odd: {oddity}" for oddity in found["odd"])))
    return _HEAD.format(file=file) + comments + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def write_recipe(path: Path, text: str) -> None:
    """Writes a recipe to a new file.

    Raises:
        InputError: If there is one, or it cannot be written.
    """
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path} exists: name another file for the recipe.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name another file for the recipe.") from None
