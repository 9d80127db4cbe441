"""Coordinates of samples and traces, with CF units: the sample axis, and the map position of each trace."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from data_catalog import Kind
from data_catalog.schema import Model
from pipeline.segy.file import SegyFile
from pipeline.survey.axis import Axis, SampleAxis
from pipeline.survey.geometry import Geometry
from pipeline.survey.header_words import NULL_WORD, HeaderSummary, HeaderWords

_LARGEST_ANGLE = {"arcsec": 360 * 3600, "degree": 360}
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
        positions = scaled(words[self.name], words["coordinate_scalar"])
        return np.where(words[self.name] == NULL_WORD, np.nan, positions)


def sample_axis(file: SegyFile, first: dict[str, int], *, domain: str) -> SampleAxis:
    """Times in ms, or depths in m or ft, of the samples of every trace.

    Args:
        file: The first file of the survey.
        first: Header words of the first trace, whose recording delay begins the axis.
        domain: ``time`` or ``depth``.
    """
    first_ms = float(scaled(np.array([first["delay_ms"]]), np.array([first["time_scalar"]]))[0])
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


_NUMBERS = {
    "cdp": "CDP number",
    "inline": "inline number",
    "crossline": "crossline number",
    "offset": "source-receiver offset",
    "shot": "shot number",
    "source_point": "source point number",
    "channel": "channel number",
    "cable": "cable number",
    "component": "trace identification",
}
_PLACES = {"cdp": "CDP", "source": "source", "receiver": "receiver"}
_PRESTACK_ONLY = frozenset(("offset", "inline", "crossline"))
"""Not worth a coordinate of a stack on a grid, whose axes say it, or which has no offsets."""


def trace_coordinates(
    summary: HeaderSummary, first: dict[str, int], geometry: Geometry, *, feet: bool
) -> tuple[TraceCoordinate, ...]:
    """Numbers and map positions that tell traces apart and are no axes.

    Args:
        summary: Of all traces, or of a sample.
        first: Header words of the first trace, whose units hold for all.
        geometry: Where the traces lie.
        feet: Whether lengths are in feet.
    """
    left_out = {axis.word for axis in geometry.axes}
    if geometry.kind is Kind.STACK3D:
        left_out |= _PRESTACK_ONLY
    length = "ft" if feet else "m"
    found = []
    for name, long_name in _NUMBERS.items():
        wanted = name in summary.ranges and name not in left_out
        if wanted and (not summary.ranges[name].is_constant or name in geometry.keys):
            units = length if name == "offset" else None
            found.append(TraceCoordinate(name=name, long_name=long_name, is_position=False, units=units))
    for place, long_name in _PLACES.items():
        names = (f"{place}_x", f"{place}_y")
        if all(summary.ranges[name].is_constant for name in names if name in summary.ranges):
            continue
        units = _UNITS_BY_CODE.get(first["coordinate_units"], length)
        if not _are_angles(summary, names, units):
            units = length
        for name, direction in zip(names, ("east", "north"), strict=True):
            told = f"map {direction} of the {long_name}"
            found.append(TraceCoordinate(name=name, long_name=told, is_position=True, units=units))
    return tuple(found)


def _are_angles(summary: HeaderSummary, names: tuple[str, ...], units: str) -> bool:
    """Whether positions may be in the angles that headers say they are in: lengths are larger."""
    if units not in _LARGEST_ANGLE:
        return True
    scalars = summary.ranges["coordinate_scalar"]
    for name in names:
        found = summary.ranges[name]
        ends = np.array([value for value in (found.least, found.greatest) if value != NULL_WORD] or [0])
        if (np.abs(scaled(ends, np.array([scalars.least]))) > _LARGEST_ANGLE[units]).any():
            return False
    return True


def record_warnings(axes: tuple[Axis, ...], file: SegyFile) -> list[str]:
    """Gaps between records, and records that overlap, where there are any.

    Args:
        axes: Trace axes.
        file: A file of the survey, which tells how long records are.
    """
    records = next((axis for axis in axes if axis.name == "record"), None)
    if records is None or records.size < 2:
        return []
    starts, seconds = records.values, file.sample_count * file.sample_interval_us / 1e6
    beyond = np.diff(starts) - seconds
    found = []
    for what, which in (("gaps between records", beyond >= 1), ("records overlap the next one", beyond <= -1)):
        if which.any():
            at = np.datetime64(int(starts[int(which.argmax())]), "s")
            longest = float(np.abs(beyond[which]).max())
            found.append(f"{int(which.sum())} {what} of {seconds:g} s, by up to {longest:g} s; the first after {at}")
    return found


def header_warnings(
    summary: HeaderSummary, coordinates: tuple[TraceCoordinate, ...], axes: tuple[Axis, ...] = ()
) -> list[str]:
    """What is odd in the trace headers of a survey, and how it is handled.

    Args:
        summary: Of all traces.
        coordinates: Those that the store has.
        axes: Trace axes.
    """
    warnings = []
    delays, scalars = summary.ranges["delay_ms"], summary.ranges["time_scalar"]
    if not delays.is_constant or (not scalars.is_constant and delays.greatest):
        ends = scaled(np.array([delays.least, delays.greatest]), np.array([scalars.least, scalars.greatest]))
        warnings.append(
            f"recording delays differ between traces ({ends[0]:g} to {ends[1]:g} ms); "
            "the axis begins at the first trace's"
        )
    warnings += _position_warnings(summary, coordinates)
    names = {coordinate.name for coordinate in coordinates} | {axis.word for axis in axes}
    unexpected = [
        name for name in ("cdp", "cdp_x", "cdp_y") if name not in names and not summary.ranges[name].is_constant
    ]
    if unexpected:
        warnings.append(
            f"{', '.join(unexpected)} looked the same in the headers that were sampled, and differ in others; "
            f"they are in trace_header only"
        )
    return warnings


def _position_warnings(summary: HeaderSummary, coordinates: tuple[TraceCoordinate, ...]) -> Iterator[str]:
    positions = [coordinate for coordinate in coordinates if coordinate.is_position]
    if not positions:
        if summary.trace_count > 1:
            yield "the map coordinates are the same in every trace, and are left out"
        return
    stated = _UNITS_BY_CODE.get(summary.ranges["coordinate_units"].greatest)
    lengths = [coordinate.name for coordinate in positions if coordinate.units not in _LARGEST_ANGLE]
    if stated and lengths:
        yield (
            f"the headers state coordinates in {stated}, and {', '.join(lengths)} are too large for that: "
            "they are taken as lengths"
        )
    if summary.zero_scalar_count:
        yield "a coordinate scalar of 0 is taken as 1"
    if not summary.ranges["coordinate_scalar"].is_constant:
        yield "coordinate scalars differ between traces; each trace has its own applied"
    if summary.null_position_count and "cdp_x" in {coordinate.name for coordinate in positions}:
        yield f"{summary.null_position_count} traces have no map coordinates ({NULL_WORD} in their headers)"


def scaled(values: NDArray[np.int64], scalar: NDArray[np.int64]) -> NDArray[np.float64]:
    """A positive scalar multiplies, a negative one divides; 0 is taken as 1 (SEG-Y rev 1, bytes 71-72 and 215-216)."""
    factor = np.where(scalar == 0, 1, scalar).astype(np.float64)
    # Dividing by 100 is exact to the last bit where multiplying by 0.01 is not.
    return np.where(factor > 0, values * factor, values / np.abs(factor))
