"""Coordinates of samples and traces, with CF units: the sample axis, and the map position of each trace."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry import NO_TRACE, Axis, Geometry
from pipeline.scan import TraceIndex
from pipeline.segy.file import SegyFile

NULL_WORD = -(2**31)
"""What some software writes for "no value" into a 4-byte header word."""

_UNITS_BY_CODE = {2: "arcsec", 3: "degree"}
"""Trace header bytes 89-90: 1 is length, 2 seconds of arc, 3 decimal degrees (SEG-Y rev 1, trace header)."""


@dataclass(frozen=True, slots=True)
class TraceCoordinate:
    """A value for each trace, on the trace axes.

    Attributes:
        name: Variable name.
        values: On the trace axes; NaN or 0 where there is no trace.
        long_name: CF long name.
        units: CF units; None for a number.
    """

    name: str
    values: NDArray[np.float64] | NDArray[np.int64]
    long_name: str
    units: str | None = None


def sample_axis(file: SegyFile, index: TraceIndex, *, domain: str) -> tuple[Axis, list[str]]:
    """Times in ms, or depths in m or ft, of the samples of every trace.

    Args:
        file: The first file of the survey.
        index: Header words of all traces.
        domain: ``time`` or ``depth``.

    Returns:
        The axis, and warnings.
    """
    delays_ms = np.unique(_scaled(index["delay_ms"], index["time_scalar"]))
    warnings = []
    if len(delays_ms) > 1:
        warnings.append(
            f"recording delays differ between traces ({delays_ms[0]:g} to {delays_ms[-1]:g} ms); "
            "the axis begins at the first trace's"
        )
    first_ms = float(_scaled(index["delay_ms"][:1], index["time_scalar"][:1])[0])
    values = first_ms + np.arange(file.sample_count) * file.sample_interval_us / 1000.0
    if domain == "depth":
        return Axis("depth", values, "depth", "ft" if file.feet else "m"), warnings
    return Axis("time", values, "two-way or recording time", "ms"), warnings


def map_coordinates(
    geometry: Geometry, index: TraceIndex, *, feet: bool
) -> tuple[tuple[TraceCoordinate, ...], list[str]]:
    """Map position of each trace, SEG-Y coordinate scalar applied, and its CDP number where there are any.

    Returns:
        The coordinates, and warnings.
    """
    found: list[TraceCoordinate] = []
    warnings: list[str] = []
    if np.unique(index["cdp"]).size > 1:
        found.append(TraceCoordinate("cdp", _on_grid(geometry, index["cdp"], empty=0), "CDP number"))
    if max(np.unique(index[name]).size for name in ("cdp_x", "cdp_y")) == 1:
        if len(index["cdp_x"]) > 1:
            warnings.append("the map coordinates are the same in every trace, and are left out")
        return tuple(found), warnings
    if (index["coordinate_scalar"] == 0).any():
        warnings.append("a coordinate scalar of 0 is taken as 1")
    units = _UNITS_BY_CODE.get(int(index["coordinate_units"][0]), "ft" if feet else "m")
    if null_count := int((index["cdp_x"] == NULL_WORD).sum()):
        warnings.append(f"{null_count} traces have no map coordinates ({NULL_WORD} in their headers)")
    for name, direction in (("cdp_x", "east"), ("cdp_y", "north")):
        scaled = np.where(index[name] == NULL_WORD, np.nan, _scaled(index[name], index["coordinate_scalar"]))
        found.append(
            TraceCoordinate(name, _on_grid(geometry, scaled, empty=np.nan), f"map {direction} of the CDP", units)
        )
    return tuple(found), warnings


def _scaled(values: NDArray[np.int64], scalar: NDArray[np.int64]) -> NDArray[np.float64]:
    """A positive scalar multiplies, a negative one divides; 0 is taken as 1 (SEG-Y rev 1, bytes 71-72 and 215-216)."""
    factor = np.where(scalar == 0, 1, scalar).astype(np.float64)
    # Dividing by 100 is exact to the last bit where multiplying by 0.01 is not.
    return np.where(factor > 0, values * factor, values / np.abs(factor))


def _on_grid(geometry: Geometry, values: NDArray[np.generic], *, empty: float) -> NDArray[np.float64]:
    occupied = geometry.trace_number != NO_TRACE
    grid = np.full(geometry.trace_number.shape, empty, values.dtype)
    grid[occupied] = values[geometry.trace_number[occupied]]
    return grid
