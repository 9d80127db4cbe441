"""Coordinates of samples and traces, with CF units: the sample axis, and the map position of each trace."""

import numpy as np
from numpy.typing import NDArray

from data_catalog.schema import Model
from pipeline.segy.file import SegyFile
from pipeline.survey.axis import SampleAxis
from pipeline.survey.header_words import NULL_WORD, HeaderSummary, HeaderWords

_UNITS_BY_CODE = {2: "arcsec", 3: "degree"}
"""Trace header bytes 89-90: 1 is length, 2 seconds of arc, 3 decimal degrees (SEG-Y rev 1, trace header)."""


class TraceCoordinate(Model):
    """A value for each trace, out of its header.

    Attributes:
        name: Variable name; of the header word too.
        long_name: CF long name.
        is_position: Whether the coordinate scalar applies, and there may be no value.
        units: CF units; None for a number.
    """

    name: str
    long_name: str
    is_position: bool
    units: str | None = None

    @property
    def dtype(self) -> str:
        """Data type of the values."""
        return "float64" if self.is_position else "int64"

    @property
    def empty(self) -> float:
        """What stands where there is no trace."""
        return np.nan if self.is_position else 0

    def values(self, words: HeaderWords) -> NDArray[np.float64] | NDArray[np.int64]:
        """Values of some traces, from their header words."""
        if not self.is_position:
            return words[self.name]
        scaled = _scaled(words[self.name], words["coordinate_scalar"])
        return np.where(words[self.name] == NULL_WORD, np.nan, scaled)


def sample_axis(file: SegyFile, first: dict[str, int], *, domain: str) -> SampleAxis:
    """Times in ms, or depths in m or ft, of the samples of every trace.

    Args:
        file: The first file of the survey.
        first: Header words of the first trace, whose recording delay begins the axis.
        domain: ``time`` or ``depth``.
    """
    first_ms = float(_scaled(np.array([first["delay_ms"]]), np.array([first["time_scalar"]]))[0])
    name, long_name, units = (
        ("depth", "depth", "ft" if file.feet else "m")
        if domain == "depth"
        else ("time", "two-way or recording time", "ms")
    )
    return SampleAxis(
        name=name,
        first=first_ms,
        interval_us=file.sample_interval_us,
        size=file.sample_count,
        long_name=long_name,
        units=units,
    )


def trace_coordinates(summary: HeaderSummary, first: dict[str, int], *, feet: bool) -> tuple[TraceCoordinate, ...]:
    """CDP number and map position, where they tell traces apart.

    Args:
        summary: Of all traces, or of a sample.
        first: Header words of the first trace, whose units hold for all.
        feet: Whether lengths are in feet.
    """
    found = []
    if not summary.ranges["cdp"].is_constant:
        found.append(TraceCoordinate(name="cdp", long_name="CDP number", is_position=False))
    if not (summary.ranges["cdp_x"].is_constant and summary.ranges["cdp_y"].is_constant):
        units = _UNITS_BY_CODE.get(first["coordinate_units"], "ft" if feet else "m")
        for name, direction in (("cdp_x", "east"), ("cdp_y", "north")):
            long_name = f"map {direction} of the CDP"
            found.append(TraceCoordinate(name=name, long_name=long_name, is_position=True, units=units))
    return tuple(found)


def header_warnings(summary: HeaderSummary, coordinates: tuple[TraceCoordinate, ...]) -> list[str]:
    """What is odd in the trace headers of a survey, and how it is handled.

    Args:
        summary: Of all traces.
        coordinates: Those that the store has.
    """
    warnings = []
    delays, scalars = summary.ranges["delay_ms"], summary.ranges["time_scalar"]
    if not delays.is_constant or (not scalars.is_constant and delays.greatest):
        ends = _scaled(np.array([delays.least, delays.greatest]), np.array([scalars.least, scalars.greatest]))
        warnings.append(
            f"recording delays differ between traces ({ends[0]:g} to {ends[1]:g} ms); "
            "the axis begins at the first trace's"
        )
    names = {coordinate.name for coordinate in coordinates}
    if "cdp_x" in names:
        if summary.zero_scalar_count:
            warnings.append("a coordinate scalar of 0 is taken as 1")
        if summary.null_position_count:
            warnings.append(
                f"{summary.null_position_count} traces have no map coordinates ({NULL_WORD} in their headers)"
            )
    elif summary.ranges["cdp_x"].is_constant and summary.ranges["cdp_y"].is_constant and summary.trace_count > 1:
        warnings.append("the map coordinates are the same in every trace, and are left out")
    unexpected = [
        name for name in ("cdp", "cdp_x", "cdp_y") if name not in names and not summary.ranges[name].is_constant
    ]
    if unexpected:
        warnings.append(
            f"{', '.join(unexpected)} looked the same in the headers that were sampled, and differ in others; "
            f"they are in trace_header only"
        )
    return warnings


def _scaled(values: NDArray[np.int64], scalar: NDArray[np.int64]) -> NDArray[np.float64]:
    """A positive scalar multiplies, a negative one divides; 0 is taken as 1 (SEG-Y rev 1, bytes 71-72 and 215-216)."""
    factor = np.where(scalar == 0, 1, scalar).astype(np.float64)
    # Dividing by 100 is exact to the last bit where multiplying by 0.01 is not.
    return np.where(factor > 0, values * factor, values / np.abs(factor))
