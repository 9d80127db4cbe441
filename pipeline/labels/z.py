"""Which way z goes, and in what units: surfaces grow downwards or upwards, in milliseconds, seconds or metres."""

import numpy as np
from pydantic import JsonValue

from data_catalog import InputError
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.point_text import Points, is_inside

Z = {"down": 1.0, "up": -1.0, "seconds": 1000.0, "seconds_up": -1000.0}
"""What z is multiplied with to be on the sample axis."""

LEAST_INSIDE = 0.5
"""Share of the points that have to lie on the sample axis before a choice of z is believed."""


def found_z(points: list[Points], grid: DatasetGrid) -> str:
    """What z is: that of which most points lie on the sample axis, the plainest first."""
    first, last = grid.sample_labels[0] - grid.interval, grid.sample_labels[-1] + grid.interval
    z = np.concatenate([found.z for found in points])
    choices = Z if grid.sample_units == "ms" else {name: Z[name] for name in ("down", "up")}
    shares = {name: float(((z * factor >= first) & (z * factor <= last)).mean()) for name, factor in choices.items()}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < LEAST_INSIDE:
        raise InputError(
            f"z goes from {z.min():g} to {z.max():g}, and the samples of {grid.entry.name!r} from "
            f"{grid.sample_labels[0]:g} to {grid.sample_labels[-1]:g} {grid.sample_units}: these are other surfaces, "
            "or in other units."
        )
    return best


def described(found: Points, factor: float, grid: DatasetGrid) -> dict[str, JsonValue]:
    """What is to be known of points, as JSON: how many, what was taken for what, and where they lie."""
    return {
        "points": len(found.z),
        "outside": int((~is_inside(found.lines, grid)).sum()),
        "columns": list(found.columns),
        "least": float((found.z * factor).min()),
        "greatest": float((found.z * factor).max()),
    }
