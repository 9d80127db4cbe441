"""What the texts of options mean: lists by name, sizes, choices, header positions, a recipe instead of files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dask.utils import parse_bytes

from data_catalog import InputError
from pipeline.survey.inference import PRESETS


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def check_given(options: Mapping[str, str | None], *, says: str) -> None:
    """Sees that none of some options is missing.

    Args:
        options: Values by the options' names.
        says: What the options tell, for the sentence.

    Raises:
        InputError: If one is None or empty.
    """
    if missing := [option for option, value in options.items() if not value]:
        raise InputError(f"{' and '.join(missing)} missing: {says}.")


def check_choice(value: str | None, option: str, choices: tuple[str, ...]) -> None:
    """Sees that an option, where it was given, is one of its choices.

    Raises:
        InputError: If it is none of them.
    """
    if value is not None and value not in choices:
        raise InputError(f"{option} {value} is not known: choose one of {', '.join(choices)}.")


def recipe_file(arguments: Sequence[str]) -> str | None:
    """The YAML file, where it is all that a command was called with; else the arguments are files of data."""
    is_recipe = len(arguments) == 1 and Path(arguments[0]).suffix in {".yaml", ".yml"}
    return arguments[0] if is_recipe else None


def words(text: str | None) -> list[str] | None:
    """``WORD,WORD,...`` word by word."""
    return text.split(",") if text else None


def classes_from_0(text: str) -> dict[int, str]:
    """``WORD,WORD,...`` as the words of classes, counted from 0."""
    return dict(enumerate(text.split(",")))


def values_by_name(texts: Sequence[str], option: str) -> dict[str, tuple[str, ...]]:
    """``NAME=VALUE`` options by name; a name may be given several times.

    Raises:
        InputError: If a name or a value is missing.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise InputError(f"{option} takes NAME=..., found {text!r}.")
        found[name] = (*found.get(name, ()), value)
    return found


def last_by_name(texts: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` options by name; of a name that is given several times, the last counts.

    Raises:
        InputError: If a name or a value is missing.
    """
    return {name: values[-1] for name, values in values_by_name(texts, option).items()}


def nbytes(text: str | None, option: str) -> int | None:
    """A size such as ``64MiB``, in bytes.

    Raises:
        InputError: If it is none.
    """
    try:
        return None if text is None else parse_bytes(text)
    except ValueError:
        raise InputError(f"{option} {text} is no size: write e.g. 64MiB.") from None


def header_bytes(
    preset: str | None,
    positions: Sequence[str],
    *,
    inline: int | None,
    crossline: int | None,
    cdp: int | None = None,
    cdp_x: int | None = None,
    cdp_y: int | None = None,
) -> dict[str, Any]:
    """Where header words are: as a preset says, over which ``--header-byte`` wins, and over that a word's own option.

    Args:
        preset: Its name.
        positions: ``NAME=BYTES``, as ``--header-byte`` takes them.
        inline: First byte of the word, as ``--inline-byte`` takes it; those that follow are alike.
        crossline: ``--crossline-byte``.
        cdp: ``--cdp-byte``.
        cdp_x: ``--cdp-x-byte``.
        cdp_y: ``--cdp-y-byte``.

    Raises:
        InputError: If there is no such preset, or a position lacks its name.
    """
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--preset {preset} is not known: choose one of {', '.join(PRESETS)}.")
    named = last_by_name(positions, "--header-byte")
    numbered = {name: int(value) if value.isdigit() else value for name, value in named.items()}
    own = given(inline=inline, crossline=crossline, cdp=cdp, cdp_x=cdp_x, cdp_y=cdp_y)
    return {**(PRESETS[preset] if preset else {}), **numbered, **own}
