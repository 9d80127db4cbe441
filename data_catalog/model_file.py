"""Pydantic models from YAML files, with every problem of a file in one error."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from data_catalog.conformance import problems_of
from data_catalog.errors import InputError

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        InputError: If it cannot be read, is not YAML, or holds no keys.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds {type(values).__name__}, expected `key: value` lines.")
    return values


def validated(model: type[AnyModel], values: dict[str, Any], *, subject: str, root: str) -> AnyModel:
    """Values as a model.

    Args:
        model: What they should make.
        values: From a file, a command line or both.
        subject: What to call their origin in messages, e.g. a path.
        root: What to call the model in messages, e.g. ``recipe``.

    Raises:
        InputError: If they break the model: every problem is listed with its place.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = problems_of(error, root=root)
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"{subject} does not make a {model.__name__} ({len(problems)} found):\n{listed}") from None
