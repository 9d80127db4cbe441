"""Trace headers to grids: what is inferred, what is refused, and why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_catalog import InputError, Kind
from pipeline.coordinates import map_coordinates, sample_axis
from pipeline.geometry import match_traces, resolve_geometry
from pipeline.scan import TraceIndex
from pipeline.segy.file import SegyFile

FIELDS = (
    "inline",
    "crossline",
    "cdp",
    "offset",
    "cdp_x",
    "cdp_y",
    "coordinate_scalar",
    "coordinate_units",
    "delay_ms",
    "time_scalar",
)


def index_of(**words: list[int]) -> TraceIndex:
    count = len(next(iter(words.values())))
    return TraceIndex({name: np.array(words.get(name, [0] * count), np.int64) for name in FIELDS})


def grid_index(inlines: list[int], crosslines: list[int], order: int = 0) -> TraceIndex:
    pairs = [(i, x) for i in inlines for x in crosslines]
    np.random.default_rng(order).shuffle(pairs)
    return index_of(inline=[i for i, _ in pairs], crossline=[x for _, x in pairs])


@given(
    st.integers(-50, 50),
    st.integers(1, 5),
    st.integers(2, 6),
    st.integers(-50, 50),
    st.integers(1, 5),
    st.integers(2, 6),
    st.integers(0, 9),
)
def test_a_full_grid_in_any_order(i0: int, di: int, ni: int, x0: int, dx: int, nx: int, order: int) -> None:
    inlines, crosslines = [i0 + di * k for k in range(ni)], [x0 + dx * k for k in range(nx)]
    index = grid_index(inlines, crosslines, order)
    geometry = resolve_geometry(index)
    assert geometry.kind is Kind.STACK3D
    assert geometry.axes[0].values.tolist() == inlines
    assert geometry.axes[1].values.tolist() == crosslines
    assert sorted(geometry.trace_number.ravel()) == list(range(ni * nx))
    for (i, x), number in np.ndenumerate(geometry.trace_number):
        assert (index["inline"][number], index["crossline"][number]) == (inlines[i], crosslines[x])


def test_holes_are_minus_one() -> None:
    index = index_of(inline=[1, 1, 2], crossline=[5, 6, 6])
    geometry = resolve_geometry(index)
    assert geometry.trace_number.tolist() == [[0, 1], [-1, 2]]
    assert geometry.fill == 0.75


@pytest.mark.parametrize(
    ("index", "kind", "reason"),
    [
        (index_of(inline=[1, 1, 1], crossline=[1, 2, 3]), Kind.STACK2D, "inline number is 1 in every trace"),
        (index_of(cdp=[101, 102, 103]), Kind.STACK2D, "cdp"),
        (index_of(cdp_x=[5, 6, 7], cdp_y=[1, 1, 1]), Kind.STACK2D, "cdp_x and cdp_y"),
        (index_of(cdp=[1, 2, 3], offset=[10, 20, 30]), Kind.FLAT, "offsets differ"),
        (index_of(cdp=[1, 1, 1]), Kind.FLAT, "tell the traces apart"),
        (index_of(inline=[1, 1, 2, 2, 1], crossline=[1, 2, 1, 2, 2]), Kind.FLAT, "repeat the inline and crossline"),
        (index_of(inline=[1, 500, 9000], crossline=[1, 700, 44]), Kind.STACK2D, "of it"),
    ],
)
def test_what_is_inferred_and_why(index: TraceIndex, kind: Kind, reason: str) -> None:
    geometry = resolve_geometry(index)
    assert geometry.kind is kind
    assert any(reason in line for line in geometry.reasons)


def test_a_kind_that_does_not_fit_is_refused_with_its_reason() -> None:
    with pytest.raises(InputError, match="repeat the inline and crossline"):
        resolve_geometry(index_of(inline=[1, 1, 2, 2, 1], crossline=[1, 2, 1, 2, 2]), kind=Kind.STACK3D)


def test_a_sparse_axis_does_not_pass_for_a_full_one() -> None:
    crosslines = list(range(10))
    index = index_of(inline=[1] * 10 + [2] * 10 + [1_000_000] * 10, crossline=crosslines * 3)
    geometry = resolve_geometry(index)
    assert geometry.kind is Kind.STACK2D
    assert any("1000000 x 10" in reason for reason in geometry.reasons)


def test_a_wild_grid_costs_no_memory() -> None:
    index = index_of(inline=[0, 2**31 - 1, 5], crossline=[0, 2**31 - 2, 7])
    assert resolve_geometry(index).kind is Kind.STACK2D


@pytest.mark.parametrize(("scalar", "factor"), [(-100, 0.01), (10, 10.0), (1, 1.0), (0, 1.0), (-1, 1.0)])
def test_the_coordinate_scalar_is_applied(scalar: int, factor: float) -> None:
    index = index_of(inline=[1, 1, 2, 2], crossline=[1, 2, 1, 2], cdp_x=[100, 200, 300, 400], cdp_y=[7, 8, 9, 11])
    index.words["coordinate_scalar"][:] = scalar
    coordinates, warnings = map_coordinates(resolve_geometry(index), index, feet=False)
    x, y = coordinates
    np.testing.assert_allclose(x.values, np.array([[100, 200], [300, 400]]) * factor, rtol=1e-15)
    np.testing.assert_allclose(y.values, np.array([[7, 8], [9, 11]]) * factor, rtol=1e-15)
    assert (x.units, y.units) == ("m", "m")
    assert bool(warnings) is (scalar == 0)


def test_coordinates_that_are_no_value_are_nan() -> None:
    index = index_of(cdp=[1, 2, 3], cdp_x=[100, -(2**31), 300], cdp_y=[7, -(2**31), 9])
    (_, x, y), warnings = map_coordinates(resolve_geometry(index), index, feet=False)
    np.testing.assert_array_equal(x.values, [100, np.nan, 300])
    np.testing.assert_array_equal(y.values, [7, np.nan, 9])
    assert any("1 traces have no map coordinates" in warning for warning in warnings)


@pytest.mark.parametrize(("scalar", "first_ms"), [(0, 250.0), (1, 250.0), (-10, 25.0), (10, 2500.0)])
def test_the_time_scalar_is_applied_to_the_delay(scalar: int, first_ms: float) -> None:
    index = index_of(cdp=[1, 2], delay_ms=[250, 250], time_scalar=[scalar, scalar])
    file = SegyFile("x", 0, "big", 1, 1, 3, 2000, 3600, 240, 2, feet=False, oddities=())
    axis, warnings = sample_axis(file, index, domain="time")
    assert axis.values.tolist() == [first_ms, first_ms + 2, first_ms + 4]
    assert warnings == []


def test_traces_of_another_survey_are_matched_by_label() -> None:
    geometry = resolve_geometry(grid_index([1, 2, 3], [10, 20], order=1))
    other = grid_index([1, 2, 3], [10, 20], order=5)
    matched = match_traces(geometry, other)
    for (i, x), number in np.ndenumerate(matched):
        assert (other["inline"][number], other["crossline"][number]) == ([1, 2, 3][i], [10, 20][x])


def test_a_shifted_label_volume_is_refused() -> None:
    geometry = resolve_geometry(grid_index([1, 2, 3], [10, 20]))
    with pytest.raises(InputError, match="2 of the main survey's 6 traces have no partner"):
        match_traces(geometry, grid_index([2, 3, 4], [10, 20]))
