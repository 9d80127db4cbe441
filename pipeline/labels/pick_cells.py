"""Which cell of a dataset each pick belongs to, and which of its samples: by numbers, names, stations and dates."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_catalog import InputError, Kind
from pipeline.labels import pick_columns
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.pick_stations import PLACE, place_values
from pipeline.labels.stations import CODES, TEXT

COMPONENT = "component"
"""Dimension that a pick says nothing of: an arrival is one of all components."""

STARTS = ("start_time", "record")
"""Coordinates that tell when a trace or an example begins, in seconds since 1970."""

Cells = NDArray[np.int64]
"""int64 (pick, dimension): positions along the dimensions of traces, without components; -1 where there is none."""

Samples = NDArray[np.float64]
"""float64 (pick): with fractions."""


def picked_dims(grid: DatasetGrid) -> tuple[str, ...]:
    """Dimensions of the dataset along which picks differ: those of traces, but for components."""
    return tuple(dim for dim in grid.trace_dims if dim != COMPONENT)


def cells_and_samples(rows: pd.DataFrame, grid: DatasetGrid, *, path: str) -> tuple[Cells, Samples]:
    """Where picks lie.

    Args:
        rows: Of a table, with the places of stations where it has any.
        grid: Of the dataset.
        path: The table's file.

    Raises:
        InputError: If columns are missing, or hold what they should not.
    """
    dims = picked_dims(grid)
    if grid.entry.kind is Kind.PASSIVE and "record" in dims:
        return _in_records(rows, grid)
    if pick_columns.has_dates(rows):
        return _by_date(rows, grid, path)
    return _cells(rows, dims, grid), _samples(rows, grid)


def _in_records(rows: pd.DataFrame, grid: DatasetGrid) -> tuple[Cells, Samples]:
    """The record that each date lies in."""
    dates = pick_columns.microseconds(rows)
    starts = grid.axis("record").values * 1_000_000
    record = np.searchsorted(starts, dates, side="right") - 1
    cells = np.concatenate([record[:, None], _cells(rows, picked_dims(grid)[1:], grid)], axis=1)
    return cells, _samples_after(dates - starts[np.maximum(record, 0)], grid)


def _by_date(rows: pd.DataFrame, grid: DatasetGrid, path: str) -> tuple[Cells, Samples]:
    """Of the traces or examples that have a pick's station, name or numbers, the one that began last before it."""
    dims = picked_dims(grid)
    start = next((name for name in STARTS if name in grid.along(dims[0])), None) if len(dims) == 1 else None
    if start is None:
        raise InputError(
            f"{path} holds picks by date and time, and {grid.entry.name!r} ({', '.join(grid.main.dims)}) has no dates: "
            f"they take continuous records, or a coordinate start_time along trace or example; give a table with "
            f"{', '.join(dims)} and time in ms instead."
        )
    keys = _shared_keys(rows, grid, dims[0])
    if not keys:
        told = f" along {dims[0]}, with which the columns {pick_columns.listed(rows)} could be compared"
        raise InputError(f"{path}: {grid.entry.name!r} has no coordinate such as station or name{told}.")
    dates, begins = pick_columns.microseconds(rows), np.asarray(grid.values(start), np.float64)
    picks = _key_columns(rows, keys).assign(_date=dates, _row=np.arange(len(rows)))
    stored = _stored_keys(keys, grid, dims[0])[np.isfinite(begins)]
    starts = pick_columns.rounded(np.nan_to_num(begins))
    stored = stored.assign(_date=starts[stored["_position"]])
    found = pd.merge_asof(picks.sort_values("_date"), stored.sort_values("_date"), on="_date", by=list(keys))
    position = np.asarray(found.sort_values("_row")["_position"].fillna(-1), np.int64)
    return position[:, None], _samples_after(dates - starts[np.maximum(position, 0)], grid)


def _cells(rows: pd.DataFrame, dims: tuple[str, ...], grid: DatasetGrid) -> Cells:
    if all(dim in rows for dim in dims):
        columns = [grid.axis(dim).positions(pick_columns.whole_numbers(rows, dim)) for dim in dims]
        return np.stack(columns, axis=-1) if columns else np.empty((len(rows), 0), np.int64)
    if len(dims) == 1:
        return _by_coordinates(rows, grid, dims[0])
    missing = [dim for dim in dims if dim not in rows]
    raise InputError(f"picks need columns {', '.join(missing)}: there are {pick_columns.listed(rows)}.")


def _by_coordinates(rows: pd.DataFrame, grid: DatasetGrid, dim: str) -> Cells:
    """Traces in the order of their file, or examples, by coordinates that tell them apart: shot and channel, name."""
    keys = _shared_keys(rows, grid, dim)
    if not keys:
        usual = "shot and channel" if dim == "trace" else "name"
        raise InputError(
            f"picks need a column {dim}, or columns named like coordinates of {grid.entry.name!r}, such as {usual}: "
            f"there are {pick_columns.listed(rows)}."
        )
    stored = _stored_keys(keys, grid, dim).drop_duplicates(list(keys))
    found = _key_columns(rows, keys).merge(stored, how="left", on=list(keys))["_position"]
    return np.asarray(found.fillna(-1), np.int64)[:, None]


def _shared_keys(rows: pd.DataFrame, grid: DatasetGrid, dim: str) -> dict[str, bool]:
    """Columns that tell positions along a dimension apart, and whether each is text."""
    found = {
        name: variable.dtype == TEXT
        for name, variable in grid.along(dim).items()
        if name in rows and (variable.dtype.startswith("int") or (variable.dtype == TEXT and name not in CODES))
    }
    return found | ({PLACE: False} if PLACE in rows else {})


def _key_columns(rows: pd.DataFrame, keys: dict[str, bool]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: rows[name].astype(str).str.strip().astype(object).to_numpy()
            if is_text
            else pick_columns.whole_numbers(rows, name)
            for name, is_text in keys.items()
        }
    )


def _stored_keys(keys: dict[str, bool], grid: DatasetGrid, dim: str) -> pd.DataFrame:
    columns = {
        name: pd.Series(grid.values(name).tolist(), dtype=object)
        if is_text
        else np.asarray(place_values(grid, dim) if name == PLACE else grid.values(name), np.int64)
        for name, is_text in keys.items()
    }
    return pd.DataFrame(columns).assign(_position=np.arange(grid.entry.sizes[dim]))


def _samples(rows: pd.DataFrame, grid: DatasetGrid) -> Samples:
    if "sample" in rows:
        return pick_columns.numbers(rows, "sample")
    times = pick_columns.numbers(rows, "time")
    return np.asarray((times - grid.sample_labels[0]) / (grid.interval or 1.0), np.float64)


def _samples_after(microseconds: NDArray[np.int64], grid: DatasetGrid) -> Samples:
    """Samples so long after what they are counted from, a record or an example, began."""
    return np.asarray((microseconds / 1000 - grid.sample_labels[0]) / (grid.interval or 1.0), np.float64)
