"""Picks of arrivals as tables: which trace or example, which phase, which sample."""

from dataclasses import dataclass

import fsspec
import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from data_catalog import InputError, Kind
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.recipe import ArrivalLabels

COMPONENT = "component"
"""Dimension that a pick says nothing of: an arrival is one of all components."""


@dataclass(frozen=True)
class Picks:
    """Picks on a dataset.

    Attributes:
        cells: int64 (pick, dimension): positions along the dimensions of traces, without components.
        samples: float64 (pick): with fractions.
        phases: int64 (pick): class numbers.
        skipped: How many were of no phase that is asked for, of no trace of the dataset, or outside its samples.
    """

    cells: NDArray[np.int64]
    samples: NDArray[np.float64]
    phases: NDArray[np.int64]
    skipped: dict[str, int]


def picked_dims(grid: DatasetGrid) -> tuple[str, ...]:
    """Dimensions of the dataset along which picks differ: those of traces, but for components."""
    return tuple(dim for dim in grid.trace_dims if dim != COMPONENT)


def read_picks(labels: ArrivalLabels, grid: DatasetGrid) -> Picks:
    """All picks, from coordinates or from files.

    Raises:
        InputError: If a coordinate or a column is missing, or a file cannot be read.
    """
    if labels.coordinates:
        return _from_coordinates(labels, grid)
    tables = [_table(path) for path in labels.paths]
    return _from_table(pd.concat(tables, ignore_index=True), labels, grid)


def _from_coordinates(labels: ArrivalLabels, grid: DatasetGrid) -> Picks:
    dims = picked_dims(grid)
    cells, samples, phases = [], [], []
    for phase, name in labels.coordinates.items():
        variable = grid.entry.variables.get(name)
        if variable is None or variable.dims != dims:
            raise InputError(f"{grid.entry.name!r} has no coordinate {name} on {', '.join(dims)}.")
        values = np.asarray(zarr.open_array(f"{grid.entry.url}/{name}", mode="r")[...], np.float64)
        is_there = np.isfinite(values)
        cells.append(np.argwhere(is_there))
        samples.append(values[is_there])
        phases.append(np.full(int(is_there.sum()), labels.phases.index(phase) + 1, np.int64))
    return _inside(np.concatenate(cells), np.concatenate(samples), np.concatenate(phases), {}, grid)


def _table(path: str) -> pd.DataFrame:
    try:
        with fsspec.open(path, "rt") as file:
            return pd.read_csv(file, skipinitialspace=True)
    except FileNotFoundError:
        raise InputError(f"no such file: {path}.") from None
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no table of comma-separated values: {error}.") from None


def _from_table(table: pd.DataFrame, labels: ArrivalLabels, grid: DatasetGrid) -> Picks:
    if "phase" not in table and len(labels.phases) > 1:
        raise InputError(f"picks need a column phase: there are {', '.join(map(str, table.columns))}.")
    words = table["phase"].astype(str).str.strip() if "phase" in table else pd.Series(labels.phases[0], table.index)
    phases = words.map({phase: number for number, phase in enumerate(labels.phases, start=1)})
    is_known = phases.notna().to_numpy()
    cells, samples = (
        _in_records(table, grid)
        if grid.entry.kind is Kind.PASSIVE and "record" in grid.trace_dims
        else (_cells(table, picked_dims(grid), grid), _samples(table, grid))
    )
    skipped = {"other_phases": int((~is_known).sum())}
    return _inside(cells[is_known], samples[is_known], phases[is_known].to_numpy(np.int64), skipped, grid)


def _in_records(table: pd.DataFrame, grid: DatasetGrid) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells and samples of picks that are told by date and time: the record that they lie in."""
    column = _column(table, "time")
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():
        stamps = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
        if stamps.isna().any():
            raise InputError(
                f"time {column[stamps.isna()].iloc[0]!r} is no date and time, such as 2026-01-01T12:00:00."
            )
        numbers = (stamps - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    seconds = numbers.to_numpy(np.float64)
    starts = grid.axis("record").values
    record = np.searchsorted(starts, seconds + 1e-9, side="right") - 1
    rest = picked_dims(grid)[1:]
    cells = np.concatenate([record[:, None], _cells(table, rest, grid)], axis=1)
    offset = (seconds - starts[np.maximum(record, 0)]) * 1000 - grid.sample_labels[0]
    return cells, offset / (grid.interval or 1.0)


def _cells(table: pd.DataFrame, dims: tuple[str, ...], grid: DatasetGrid) -> NDArray[np.int64]:
    """int64 (pick, dimension): positions, -1 where the dataset has no such label."""
    if all(dim in table for dim in dims):
        columns = [grid.axis(dim).positions(_whole(table, dim)) for dim in dims]
        return np.stack(columns, axis=-1) if columns else np.empty((len(table), 0), np.int64)
    if dims == ("trace",):
        return _by_coordinates(table, grid)
    missing = [dim for dim in dims if dim not in table]
    raise InputError(f"picks need columns {', '.join(missing)}: there are {', '.join(map(str, table.columns))}.")


def _by_coordinates(table: pd.DataFrame, grid: DatasetGrid) -> NDArray[np.int64]:
    """Traces that lie in the order of their file, by coordinates that tell them apart, such as shot and channel."""
    shared = [
        name
        for name, variable in grid.entry.variables.items()
        if variable.dims == ("trace",) and name in table and variable.dtype.startswith("int")
    ]
    if not shared:
        raise InputError(
            f"picks need a column trace, or columns named like coordinates of {grid.entry.name!r}, such as shot and "
            f"channel: there are {', '.join(map(str, table.columns))}."
        )
    stored = pd.DataFrame(
        {name: np.asarray(zarr.open_array(f"{grid.entry.url}/{name}", mode="r")[:]) for name in shared}
    )
    stored = stored.assign(_position=np.arange(len(stored))).drop_duplicates(shared)
    keys = pd.DataFrame({name: _whole(table, name) for name in shared})
    found = keys.merge(stored, how="left", on=shared)["_position"]
    return np.asarray(found.fillna(-1), np.int64)[:, None]


def _samples(table: pd.DataFrame, grid: DatasetGrid) -> NDArray[np.float64]:
    if "sample" in table:
        return _numbers(table, "sample")
    return np.asarray((_numbers(table, "time") - grid.sample_labels[0]) / (grid.interval or 1.0), np.float64)


def _inside(
    cells: NDArray[np.int64],
    samples: NDArray[np.float64],
    phases: NDArray[np.int64],
    skipped: dict[str, int],
    grid: DatasetGrid,
) -> Picks:
    has_trace = (cells >= 0).all(axis=1)
    has_sample = (samples > -0.5) & (samples < grid.main.shape[-1] - 0.5)
    kept = has_trace & has_sample
    told = {"other_traces": int((~has_trace).sum()), "other_times": int((has_trace & ~has_sample).sum())}
    return Picks(cells[kept], samples[kept], phases[kept], skipped | told)


def _whole(table: pd.DataFrame, name: str) -> NDArray[np.int64]:
    values = _numbers(table, name)
    if (values != np.rint(values)).any():
        raise InputError(f"picks hold {name} {values[values != np.rint(values)][0]:g}, and whole numbers are expected.")
    return np.asarray(values, np.int64)


def _numbers(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    column = _column(table, name)
    values = np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"picks hold {name} {column[~np.isfinite(values)].iloc[0]!r}, and numbers are expected.")
    return values


def _column(table: pd.DataFrame, name: str) -> "pd.Series[object]":
    if name not in table:
        raise InputError(f"picks need a column {name}: there are {', '.join(map(str, table.columns))}.")
    return table[name]
