"""A configuration from YAML and ``--set`` to `Config`, and back into the run's folder."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data_catalog import InputError
from data_catalog.conformance import problems_of
from trainer.config import Config

RECORDED_PACKAGES = ("tracemill", "torch", "zarr", "numpy")


def read_config(path: Path, *, changes: Sequence[str] = ()) -> Config:
    """Reads and judges a configuration.

    Args:
        path: A YAML file.
        changes: ``a.b=c`` each, c in YAML: replaces one value, making sections on the way.

    Raises:
        InputError: With every problem found, each with its place.
    """
    document = _read_yaml(path)
    for change in changes:
        _apply(change, document=document)
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        problems = problems_of(error, root="config")
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"{path} is not a configuration of `fit` ({len(problems)} found):\n{lines}") from None


def write_config(path: Path, *, config: Config) -> None:
    """Writes the resolved configuration, headed by the versions it runs with; `read_config` reads it back."""
    versions = ", ".join(f"{name} {_version(name)}" for name in RECORDED_PACKAGES)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    path.write_text(f"# python {platform.python_version()}, {versions}\n{text}", encoding="utf-8")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the configuration {path} cannot be read ({error.strerror}).") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{path} holds {type(document).__name__}, expected sections such as `dataset:` and `model:`.")
    return document


def _apply(change: str, *, document: dict[str, Any]) -> None:
    place, equals, text = change.partition("=")
    *sections, key = place.split(".")
    if not equals or not all((*sections, key)):
        raise InputError(f"--set {change!r}: expected section.key=value, e.g. --set optimiser.learning_rate=0.001.")
    for section in sections:
        below = document.get(section)
        if not isinstance(below, dict):
            below = document[section] = {}
        document = below
    try:
        document[key] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {change!r}: {text!r} is not YAML: {error}") from None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
