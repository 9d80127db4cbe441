"""Columns of a table of picks, checked: numbers, whole numbers, dates."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_catalog import InputError

MOST_S = 9e12
"""Seconds whose microseconds are an int64."""


def column(rows: pd.DataFrame, name: str) -> "pd.Series[object]":
    """A column.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in rows:
        raise InputError(f"picks need a column {name}: there are {listed(rows)}.")
    return rows[name]


def listed(rows: pd.DataFrame) -> str:
    """The columns that a file has, for a message; those that were added here begin with an underscore."""
    return ", ".join(name for name in map(str, rows.columns) if not name.startswith("_"))


def numbers(rows: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column of finite numbers, float64.

    Raises:
        InputError: If there is none, or it holds anything else.
    """
    found = column(rows, name)
    values = np.asarray(pd.to_numeric(found, errors="coerce"), np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"picks hold {name} {str(found[~np.isfinite(values)].iloc[0])!r}, and numbers are expected.")
    return values


def whole_numbers(rows: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """A column of whole numbers, int64.

    Raises:
        InputError: If there is none, or it holds anything else.
    """
    values = numbers(rows, name)
    if (values != np.rint(values)).any():
        raise InputError(f"picks hold {name} {values[values != np.rint(values)][0]:g}, and whole numbers are expected.")
    return np.asarray(values, np.int64)


def has_dates(rows: pd.DataFrame) -> bool:
    """Whether the column ``time`` has dates in it, and not numbers alone."""
    if "time" not in rows or pd.api.types.is_numeric_dtype(rows["time"]):
        return False
    return bool(_stamps(rows["time"]).notna().any() and not _are_numbers(rows["time"]))


def microseconds(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Microseconds since 1970, int64, of a column ``time`` of dates, or of seconds since then.

    Raises:
        InputError: If there is none, or it holds anything else.
    """
    found = column(rows, "time")
    if _are_numbers(found):
        return rounded(np.asarray(pd.to_numeric(found), np.float64))
    stamps = _stamps(found)
    if stamps.isna().any():
        raise InputError(
            f"time {str(found[stamps.isna()].iloc[0])!r} is no date and time, such as 2026-01-01T12:00:00."
        )
    return np.asarray(stamps.dt.as_unit("us").astype("int64"), np.int64)


def rounded(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Seconds in whole microseconds, int64: all that a float64 holds of today's dates."""
    return np.rint(np.clip(seconds, -MOST_S, MOST_S) * 1e6).astype(np.int64)


def _are_numbers(found: "pd.Series[object]") -> bool:
    if pd.api.types.is_datetime64_any_dtype(found):
        return False
    return bool(pd.to_numeric(found, errors="coerce").notna().all())


def _stamps(found: "pd.Series[object]") -> "pd.Series[pd.Timestamp]":
    return pd.to_datetime(found, utc=True, format="ISO8601", errors="coerce")
