"""A configuration from YAML and ``--set`` to `Config`, and back into the run's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from data_catalog import InputError
from data_catalog.model_file import read_mapping, validated
from data_catalog.storage import write_atomically
from trainer.config import Config


def read_config(
    path: Path,
    *,
    changes: Sequence[str] = (),
    out: Path | None = None,
    init_from: Path | None = None,
    fold: int | None = None,
) -> Config:
    """Reads and judges a configuration.

    Args:
        path: A YAML file.
        changes: ``a.b=c`` each, c in YAML: replaces one value, making sections on the way.
        out: Folder of the run, as it is: no YAML; None leaves the file's.
        init_from: Folder of the run that this one begins with; likewise.
        fold: That is left out of training, counted from 1; its run goes into a folder of its own in that of the run.

    Raises:
        InputError: With every problem found, each with its place.
    """
    document = read_mapping(path)
    for change in changes:
        _apply(change, document=document)
    document |= {name: given for name, given in {"out": out, "init_from": init_from}.items() if given is not None}
    config = validated(Config, document, subject=str(path), root="config")
    if fold is None:
        return config
    try:
        splits = config.splits.of_fold(fold)
    except ValueError as error:
        raise InputError(f"config.{error}.") from None
    return config.model_copy(update={"splits": splits, "out": config.out / f"fold-{fold}"})


def write_config(path: Path, *, config: Config) -> None:
    """Writes the resolved configuration; `read_config` reads it back."""
    write_atomically(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


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
