"""Which way z goes, and in what units: surfaces grow downwards or upwards, in milliseconds, seconds or metres."""

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from data_catalog import InputError
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.point_text import Points, is_inside

Z = {"down": 1.0, "up": -1.0, "seconds": 1000.0, "seconds_up": -1000.0}
"""What z is multiplied with to be on the sample axis."""

LEAST_INSIDE = 0.5
"""Share of the points of a file that have to lie on the sample axis."""

SECONDS = 0.02
"""Of the length of an axis in ms: where no point lies deeper, they are in seconds. No one picks that shallow."""


def z_of(points: Points, grid: DatasetGrid, *, path: str, stated: str | None) -> str:
    """What the z of one file is: as stated, or by its sign and its size.

    Args:
        points: Of the file.
        grid: Of the dataset.
        path: The file.
        stated: What the recipe says; None finds out.

    Raises:
        InputError: If most points do not lie on the sample axis.
    """
    choice = stated or _found(points.z, grid)
    if (~off_axis(points.z * Z[choice], grid)).mean() < LEAST_INSIDE:
        raise InputError(
            f"{path}: z goes from {points.z.min():g} to {points.z.max():g} (taken as {choice}), and the samples of "
            f"{grid.entry.name!r} go from {grid.sample_labels[0]:g} to {grid.sample_labels[-1]:g} "
            f"{grid.sample_units}: these are other surfaces, or --z says otherwise."
        )
    return choice


def off_axis(labels: NDArray[np.float64], grid: DatasetGrid) -> NDArray[np.bool_]:
    """Which times or depths lie above the first sample or below the last one."""
    first, last = grid.sample_labels[[0, -1]] + np.array([-1, 1]) * grid.interval
    return np.asarray((labels < first) | (labels > last), np.bool_)


def described(found: Points, choice: str, grid: DatasetGrid) -> dict[str, JsonValue]:
    """What is to be known of points, as JSON: how many, what was taken for what, and where they lie."""
    labels = found.z * Z[choice]
    return {
        "points": len(found.z),
        "left_out": found.left_out,
        "beside_grid": int((~is_inside(found.lines, grid)).sum()),
        "off_axis": int(off_axis(labels, grid).sum()),
        "columns": list(found.columns),
        "z": choice,
        "least": float(labels.min()),
        "greatest": float(labels.max()),
    }


def _found(z: NDArray[np.float64], grid: DatasetGrid) -> str:
    is_up = np.median(z) < 0 and grid.sample_labels[0] >= 0
    if grid.sample_units == "ms" and np.abs(z).max() <= SECONDS * abs(grid.sample_labels[-1]):
        return "seconds_up" if is_up else "seconds"
    return "up" if is_up else "down"
