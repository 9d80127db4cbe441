"""Pydantic models from YAML files, with every problem of a file in one error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

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


def overridden(path: str | Path | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The keys and values of a YAML file, with values that win over them.

    Args:
        path: The file; None where there is none.
        overrides: None leaves the file's value, a mapping wins key by key.

    Raises:
        InputError: As `read_mapping` does.
    """
    values = {} if path is None else read_mapping(path)
    for key, value in overrides.items():
        if value is not None:
            both_mappings = isinstance(value, dict) and isinstance(values.get(key), dict)
            values[key] = values[key] | value if both_mappings else value
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


def by_options(model: type[AnyModel], values: dict[str, Any], options: Mapping[str, str]) -> AnyModel:
    """Values of a command's options as a model, whose problems are told by the options' names.

    Args:
        model: What they should make.
        values: By the model's fields.
        options: Options by the fields that they fill, where names differ from ``--field``.

    Raises:
        InputError: If they break the model: a sentence for each problem.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError("\n".join(_by_option(detail, options) for detail in error.errors())) from None


def _by_option(detail: ErrorDetails, options: Mapping[str, str]) -> str:
    names = [str(step) for step in detail["loc"] if isinstance(step, str)]
    field = names[-1] if names else ""
    option = options.get(field, f"--{field.replace('_', '-')}")
    if len(names) > 1 and names[0] in options:  # of a mapping that one option gives
        option = " ".join([options[names[0]], *names[1:]])
    message = detail["msg"].removeprefix("Value error, ")
    match detail["type"]:
        case "missing":
            return f"{option} is missing."
        case "extra_forbidden":
            return f"{option} is not for {names[-2] if len(names) > 1 else 'this'}."
        case "value_error":
            return f"{message}."
        case _:
            return f"{option} {detail['input']!s:.80}: {message}."
