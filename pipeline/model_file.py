"""A pydantic model from a YAML file, with every problem of the file in one error."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from data_catalog import InputError
from data_catalog.conformance import problems_of

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def read_model(
    model: type[AnyModel], path: str | Path | None, *, overrides: dict[str, Any] | None = None, root: str
) -> AnyModel:
    """Reads and checks.

    Args:
        model: What the file should hold.
        path: A YAML mapping; None where the overrides say everything.
        overrides: Values that win over the file's; a mapping wins key by key.
        root: What to call the model in messages, e.g. ``recipe``.

    Raises:
        InputError: If the file cannot be read, is not YAML, or breaks the model: every problem is listed.
    """
    values = {} if path is None else _read_mapping(path)
    for key, value in (overrides or {}).items():
        both_mappings = isinstance(value, dict) and isinstance(values.get(key), dict)
        values[key] = values[key] | value if both_mappings else value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        listed = "\n".join(f"  {problem}" for problem in problems_of(error, root=root))
        raise InputError(f"{path or 'the call'} does not make a {model.__name__}:\n{listed}") from None


def _read_mapping(path: str | Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} should hold `key: value` lines.")
    return values
