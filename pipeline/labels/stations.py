"""Where the stations of picks are: at which receiver, or at which positions along traces or examples.

Codes are those of the FDSN: network, station, location. A code that is blank on one side agrees with any.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.labels.grid import DatasetGrid

CODES = ("network", "station", "location")

Code = tuple[str, str, str]

TEXT = "string"
"""Data type of text in a store."""

MOST = 2**53
"""Whole numbers that a float64 can hold."""


def codes_of(table: pd.DataFrame) -> list[Code]:
    """The codes of each row; those of columns that are not there are blank, and so is ``--``, as SEED writes it."""
    blank = pd.Series("", table.index)
    texts = [table.get(name, blank).fillna("").astype(str).str.strip().replace("--", "") for name in CODES]
    return list(zip(*texts, strict=True))


def places_of(asked: Sequence[Code], known: Sequence[Code], places: Sequence[int]) -> NDArray[np.float64]:
    """Where each code lies: float64, NaN where it is not known.

    Args:
        asked: Codes, of picks.
        known: Codes, of receivers.
        places: Of each that is known.

    Raises:
        InputError: If a code means several places.
    """
    by_station: dict[str, list[tuple[Code, int]]] = {}
    for code, place in zip(known, places, strict=True):
        by_station.setdefault(code[1], []).append((code, place))
    found = {code: _place(code, by_station.get(code[1], [])) for code in set(asked)}
    return np.array([found[code] for code in asked], np.float64)


def _place(asked: Code, candidates: list[tuple[Code, int]]) -> float:
    agreeing = [(code, place) for code, place in candidates if _agree(asked, code)]
    if len({place for _, place in agreeing}) > 1:
        named = ", ".join(f"{written(code)} at {place}" for code, place in agreeing[:5])
        raise InputError(
            f"picks are of station {written(asked)}, which is at several places ({named}): columns network and "
            "location tell stations apart."
        )
    return agreeing[0][1] if agreeing else np.nan


def _agree(one: Code, other: Code) -> bool:
    return all(a == b or not a or not b for a, b in zip(one, other, strict=True))


def written(code: Code) -> str:
    """A code as people write it: ``BW.UH1``."""
    return ".".join(part for part in code if part)


def station_table(table: pd.DataFrame, *, path: str) -> tuple[list[Code], list[int]]:
    """Codes and receivers of a table that says which is which.

    Args:
        table: Columns ``station`` and ``receiver``; perhaps ``network`` and ``location``.
        path: What to call it.

    Raises:
        InputError: If a column is missing, or receivers are no whole numbers.
    """
    if missing := {"station", "receiver"} - set(table.columns):
        raise InputError(
            f"{path} needs a column {' and a column '.join(sorted(missing))}: there are "
            f"{', '.join(map(str, table.columns))}."
        )
    receivers = pd.to_numeric(table["receiver"], errors="coerce")
    is_odd = ~((receivers % 1 == 0) & (receivers.abs() < MOST))
    if is_odd.any():
        raise InputError(
            f"{path} holds receiver {str(table['receiver'][is_odd].iloc[0])!r}: whole numbers are expected."
        )
    return codes_of(table), receivers.astype("int64").tolist()


def numbered(asked: Sequence[Code]) -> tuple[list[Code], list[int]]:
    """Those codes whose station is a whole number: that of its receiver."""
    found = [code for code in dict.fromkeys(asked) if re.fullmatch(r"[0-9]{1,15}", code[1])]
    return found, [int(code[1]) for code in found]


def stored_codes(grid: DatasetGrid, dim: str) -> list[Code]:
    """Codes along a dimension, from text coordinates of the dataset; none where it has no ``station``."""
    texts = [name for name, variable in grid.along(dim).items() if name in CODES and variable.dtype == TEXT]
    if "station" not in texts:
        return []
    return codes_of(pd.DataFrame({name: grid.values(name).tolist() for name in texts}))


def first_with_code(codes: Sequence[Code]) -> NDArray[np.int64]:
    """For each position the first one that has its codes, int64: stations as numbers."""
    first: dict[Code, int] = {}
    return np.array([first.setdefault(code, position) for position, code in enumerate(codes)], np.int64)
