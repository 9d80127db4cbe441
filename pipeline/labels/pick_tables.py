"""Picks of arrivals on a dataset: from its coordinates, or from files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.labels import pick_columns
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.phases import class_numbers
from pipeline.labels.pick_cells import Cells, Samples, cells_and_samples, picked_dims
from pipeline.labels.pick_files import PickTable, read_pick_file
from pipeline.labels.pick_stations import with_places
from pipeline.labels.recipe import ArrivalLabels

_CLASS = "_class"
"""Column for class numbers."""


@dataclass(frozen=True)
class Picks:
    """Picks on a dataset.

    Attributes:
        cells: int64 (pick, dimension): positions along the dimensions of traces, without components.
        samples: float64 (pick): with fractions.
        phases: int64 (pick): class numbers.
        skipped: How many were of no phase that is asked for, of no trace of the dataset, or outside its samples.
        strangers: Phases and stations of those that were skipped for them, and how many.
    """

    cells: Cells
    samples: Samples
    phases: NDArray[np.int64]
    skipped: Counter[str]
    strangers: Counter[str] = field(default_factory=Counter)


def read_picks(labels: ArrivalLabels, grid: DatasetGrid) -> Picks:
    """All picks, from coordinates or from files.

    Raises:
        InputError: If a coordinate or a column is missing, or a file cannot be read.
    """
    if labels.coordinates:
        return _from_coordinates(labels, grid)
    parts = [_from_table(read_pick_file(path), labels, grid) for path in labels.paths]
    return Picks(
        cells=np.concatenate([part.cells for part in parts]),
        samples=np.concatenate([part.samples for part in parts]),
        phases=np.concatenate([part.phases for part in parts]),
        skipped=_sum(part.skipped for part in parts),
        strangers=_sum(part.strangers for part in parts),
    )


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    """All counts added up, those of nothing too: ``+`` would leave them out."""
    found: Counter[str] = Counter()
    for counter in counters:
        found.update(counter)
    return found


def _from_coordinates(labels: ArrivalLabels, grid: DatasetGrid) -> Picks:
    dims = picked_dims(grid)
    cells, samples, phases = [], [], []
    for phase, name in labels.coordinates.items():
        variable = grid.entry.variables.get(name)
        if variable is None or variable.dims != dims:
            raise InputError(f"{grid.entry.name!r} has no coordinate {name} on {', '.join(dims)}.")
        values = np.asarray(grid.values(name), np.float64)
        is_there = np.isfinite(values)
        cells.append(np.argwhere(is_there))
        samples.append(values[is_there])
        phases.append(np.full(int(is_there.sum()), labels.phases.index(phase) + 1, np.int64))
    return _inside(Picks(np.concatenate(cells), np.concatenate(samples), np.concatenate(phases), Counter()), grid)


def _from_table(table: PickTable, labels: ArrivalLabels, grid: DatasetGrid) -> Picks:
    rows, phases, other_phases = _with_known_phases(table.rows, labels)
    rows = rows.assign(**{_CLASS: phases})
    rows, other_stations = with_places(rows, labels.stations, grid)
    cells, samples = cells_and_samples(rows, grid, path=table.path)
    skipped = Counter(table.left_out)
    skipped.update({"other_phases": other_phases.total(), "other_traces": other_stations.total()})
    strangers = Counter({f"phase {word}": count for word, count in other_phases.items()})
    strangers.update({f"station {code}": count for code, count in other_stations.items()})
    return _inside(Picks(cells, samples, rows[_CLASS].to_numpy(np.int64), skipped, strangers), grid)


def _with_known_phases(
    rows: pd.DataFrame, labels: ArrivalLabels
) -> tuple[pd.DataFrame, NDArray[np.int64], Counter[str]]:
    """Rows of phases that are asked for, their class numbers, and how many there were of which other phase."""
    if "phase" not in rows and len(labels.phases) == 1:
        return rows, np.ones(len(rows), np.int64), Counter()
    words = pick_columns.column(rows, "phase").fillna("").astype(str).str.strip()
    found = words.map(class_numbers(labels.phases))
    is_known = found.notna().to_numpy(bool)
    return rows[is_known], found[is_known].to_numpy(np.int64), Counter(words[~is_known].tolist())


def _inside(picks: Picks, grid: DatasetGrid) -> Picks:
    """Those that lie on a trace, and on its samples."""
    has_trace = (picks.cells >= 0).all(axis=1)
    has_sample = (picks.samples > -0.5) & (picks.samples < grid.main.shape[-1] - 0.5)
    kept = has_trace & has_sample
    skipped = Counter(picks.skipped)
    skipped.update({"other_traces": int((~has_trace).sum()), "other_times": int((has_trace & ~has_sample).sum())})
    return Picks(picks.cells[kept], picks.samples[kept], picks.phases[kept], skipped, picks.strangers)
