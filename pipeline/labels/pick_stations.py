"""The stations of picks, put onto the receivers of a dataset, or onto its traces or examples."""

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.pick_files import read_table
from pipeline.labels.stations import (
    Code,
    codes_of,
    first_with_code,
    numbered,
    places_of,
    station_table,
    stored_codes,
    written,
)

RECEIVER = "receiver"

PLACE = "_place"
"""Column for the first position along traces or examples that has a pick's station."""


def with_places(rows: pd.DataFrame, stations: str | None, grid: DatasetGrid) -> tuple[pd.DataFrame, Counter[str]]:
    """Adds where stations are, as ``receiver`` or as a position, and leaves out picks of others.

    The table that is given says it, or text coordinates of the dataset do, or codes are numbers of receivers.

    Args:
        rows: Of a table of picks.
        stations: A table with columns ``station`` and ``receiver``; None where there is none.
        grid: Of the dataset.

    Returns:
        The rows that are left, and how many were of which station that is not there.

    Raises:
        InputError: If nothing says where stations are, or a station is at several places.
    """
    if "station" not in rows or RECEIVER in rows:
        return rows, Counter()
    asked = codes_of(rows)
    found = _known(asked, stations, grid)
    if found is None:
        return rows, Counter()
    column, known, places = found
    at = places_of(asked, known, places)
    is_there = np.isfinite(at)
    others = Counter(written(code) for code, there in zip(asked, is_there, strict=True) if not there)
    return rows[is_there].assign(**{column: at[is_there].astype(np.int64)}), others


def place_values(grid: DatasetGrid, dim: str) -> NDArray[np.int64]:
    """What ``PLACE`` is compared with: int64, for each position along a dimension."""
    return first_with_code(stored_codes(grid, dim))


def _known(asked: list[Code], stations: str | None, grid: DatasetGrid) -> tuple[str, list[Code], list[int]] | None:
    """The column that places go to, the stations that there are, and their places; None where picks need none."""
    dims = set(grid.trace_dims)
    has_receivers = RECEIVER in dims or any(RECEIVER in grid.along(dim) for dim in dims)
    if stations is not None:
        if not has_receivers:
            raise InputError(f"{stations} says which receivers stations are, and {grid.entry.name!r} has no receivers.")
        return RECEIVER, *station_table(read_table(stations), path=stations)
    if codes := stored_codes(grid, RECEIVER):
        return RECEIVER, codes, grid.values(RECEIVER).tolist()
    for dim in dims:
        if codes := stored_codes(grid, dim):
            return PLACE, codes, first_with_code(codes).tolist()
    if not has_receivers:
        return None
    known, places = numbered(asked)
    if asked and not known:
        raise InputError(
            f"picks are of stations such as {written(asked[0])}, and {grid.entry.name!r} knows receivers by number: "
            "say with --stations FILE which is which, in columns station and receiver, and network if need be."
        )
    return RECEIVER, known, places
