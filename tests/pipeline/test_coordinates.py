"""Header words to coordinates: scalars, units, and what is no value."""

import numpy as np
import pytest

from pipeline.segy.file import SegyFile
from pipeline.survey.coordinates import TraceCoordinate, header_warnings, sample_axis, trace_coordinates
from pipeline.survey.geometry import flat
from pipeline.survey.header_words import HeaderSummary, HeaderWords, summarise
from pipeline.survey.trace_index import FIELDS


def words_of(**words: list[int]) -> HeaderWords:
    count = len(next(iter(words.values())))
    return {name: np.array(words.get(name, [0] * count), np.int64) for name in FIELDS}


def first_of(words: HeaderWords) -> dict[str, int]:
    return {name: int(values[0]) for name, values in words.items()}


def coordinates_of(words: HeaderWords, *, feet: bool = False) -> tuple[HeaderSummary, dict[str, TraceCoordinate]]:
    summary = summarise(words)
    found = trace_coordinates(summary, first_of(words), flat(summary.trace_count), feet=feet)
    return summary, {coordinate.name: coordinate for coordinate in found}


@pytest.mark.parametrize(("scalar", "factor"), [(-100, 0.01), (10, 10.0), (1, 1.0), (0, 1.0), (-1, 1.0)])
def test_the_coordinate_scalar_is_applied(scalar: int, factor: float) -> None:
    positions = {"cdp_x": [100, 200, 300, 400], "cdp_y": [7, 8, 9, 11]}
    words = words_of(**positions, coordinate_scalar=[scalar] * 4)
    summary, coordinates = coordinates_of(words)
    for name, values in positions.items():
        np.testing.assert_allclose(coordinates[name].values(words), np.array(values) * factor, rtol=1e-15)
        assert coordinates[name].units == "m"
    warnings = header_warnings(summary, tuple(coordinates.values()))
    assert any("coordinate scalar of 0" in warning for warning in warnings) is (scalar == 0)


@pytest.mark.parametrize(
    ("code", "feet", "units"), [(1, False, "m"), (1, True, "ft"), (2, True, "arcsec"), (3, False, "degree")]
)
def test_units_are_those_of_the_first_header(code: int, feet: bool, units: str) -> None:
    _, coordinates = coordinates_of(words_of(cdp_x=[1, 2], cdp_y=[1, 2], coordinate_units=[code, code]), feet=feet)
    assert {coordinates[name].units for name in ("cdp_x", "cdp_y")} == {units}


def test_coordinates_that_are_no_value_are_nan() -> None:
    words = words_of(cdp=[1, 2, 3], cdp_x=[100, -(2**31), 300], cdp_y=[7, -(2**31), 9])
    summary, coordinates = coordinates_of(words)
    np.testing.assert_array_equal(coordinates["cdp_x"].values(words), [100, np.nan, 300])
    np.testing.assert_array_equal(coordinates["cdp_y"].values(words), [7, np.nan, 9])
    np.testing.assert_array_equal(coordinates["cdp"].values(words), [1, 2, 3])
    warnings = header_warnings(summary, tuple(coordinates.values()))
    assert any("1 traces have no map coordinates" in warning for warning in warnings)


def test_words_that_tell_nothing_apart_make_no_coordinates() -> None:
    summary, coordinates = coordinates_of(words_of(cdp_x=[5, 5], cdp_y=[6, 6]))
    assert coordinates == {}
    assert any("same in every trace" in warning for warning in header_warnings(summary, ()))


@pytest.mark.parametrize(("scalar", "first_ms"), [(0, 250.0), (1, 250.0), (-10, 25.0), (10, 2500.0)])
def test_the_time_scalar_is_applied_to_the_delay(scalar: int, first_ms: float) -> None:
    words = words_of(cdp=[1, 2], delay_ms=[250, 250], time_scalar=[scalar, scalar])
    file = SegyFile("x", 0, "segy", "big", (1, 0), 1, 3, 2000, 3600, 240, 2)
    axis = sample_axis(file, first_of(words), domain="time")
    assert axis.values.tolist() == [first_ms, first_ms + 2, first_ms + 4]
