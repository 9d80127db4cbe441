"""First arrivals in flat layers against textbook formulas, and against Fermat's principle solved numerically."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from data_catalog import InputError
from pipeline.synthetic.travel_times import LayeredModel, first_arrivals

HALF_A_SAMPLE_S = 0.0005
"""At 1000 Hz."""

LAYERS = LayeredModel((0.0, 200.0, 900.0, 1500.0), (1500.0, 2200.0, 1900.0, 3100.0))


def test_one_layer_is_a_straight_line() -> None:
    distances = np.array([0.0, 30.0, 4000.0])
    found = first_arrivals(LayeredModel((0.0,), (2000.0,)), distances, source_m=1500.0, receiver_m=100.0)
    np.testing.assert_allclose(found.times_s, np.hypot(distances, 1400) / 2000, rtol=1e-12)
    np.testing.assert_allclose(found.slownesses_s_m, distances / np.hypot(distances, 1400) / 2000, rtol=1e-12)


def test_a_head_wave_overtakes_where_the_textbook_says() -> None:
    """Two layers, source and receiver on top: t = x / v2 + 2 h sqrt(1/v1^2 - 1/v2^2), from the crossover on."""
    v1, v2, h = 1800.0, 3200.0, 300.0
    crossover = 2 * h * np.sqrt((v2 + v1) / (v2 - v1))
    distances = np.linspace(0, 3 * crossover, 400)
    found = first_arrivals(LayeredModel((0.0, h), (v1, v2)), distances, source_m=0.0, receiver_m=0.0)
    refracted = distances / v2 + 2 * h * np.sqrt(1 / v1**2 - 1 / v2**2)
    np.testing.assert_allclose(found.times_s, np.where(distances < crossover, distances / v1, refracted), rtol=1e-12)
    np.testing.assert_array_equal(found.slownesses_s_m == 1 / v2, distances > crossover)


def fermat_s(model: LayeredModel, distance_m: float, source_m: float, receiver_m: float) -> float:
    """Time of the fastest of all paths that are straight within layers."""
    h = model.thicknesses_m(*sorted((source_m, receiver_m)))
    crossed = h > 0
    h, slownesses = h[crossed], 1 / np.array(model.velocities_m_s)[crossed]
    if len(h) == 1:
        return float(np.hypot(distance_m, h[0]) * slownesses[0])

    def time_ms(steps_km: np.ndarray) -> tuple[float, np.ndarray]:
        along = np.append(steps_km, distance_m / 1000 - steps_km.sum()) * 1000
        slopes = along / np.hypot(along, h) * slownesses
        return float((np.hypot(along, h) * slownesses).sum() * 1000), (slopes[:-1] - slopes[-1]) * 1e6

    start = distance_m / 1000 * h[:-1] / h.sum()
    found = minimize(time_ms, start, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 1000})
    return float(found.fun) / 1000


@given(
    distance=st.floats(0, 6000),
    source=st.floats(1000, 2500),
    receiver=st.floats(0, 800),
    velocities=st.lists(st.floats(300, 6000), min_size=4, max_size=4),
)
def test_rays_are_as_fast_as_any_path(distance: float, source: float, receiver: float, velocities: list[float]) -> None:
    model = LayeredModel(LAYERS.tops_m, tuple(velocities))
    found = first_arrivals(model, np.array([distance]), source_m=source, receiver_m=receiver)
    back = first_arrivals(model, np.array([distance]), source_m=receiver, receiver_m=source)
    fastest = fermat_s(model, distance, source, receiver)
    assert found.times_s[0] <= fastest + HALF_A_SAMPLE_S
    if found.slownesses_s_m[0] not in {1 / velocity for velocity in velocities}:  # no head wave
        assert found.times_s[0] == pytest.approx(fastest, abs=HALF_A_SAMPLE_S)
    assert back.times_s[0] == pytest.approx(found.times_s[0], rel=1e-9)


def test_slowness_is_the_slope_of_the_travel_time_curve() -> None:
    distances = np.linspace(1, 8000, 4001)
    found = first_arrivals(LAYERS, distances, source_m=1200.0, receiver_m=50.0)
    slopes = np.gradient(found.times_s, distances)
    assert (np.diff(found.times_s) > 0).all()
    kinks = np.abs(np.diff(found.slownesses_s_m, prepend=found.slownesses_s_m[0])) > 1e-6
    away = ~np.convolve(kinks, np.ones(5), mode="same").astype(bool)
    np.testing.assert_allclose(slopes[away][1:-1], found.slownesses_s_m[away][1:-1], rtol=1e-4)


@pytest.mark.parametrize(
    ("tops", "velocities", "message"),
    [
        ((0.0,), (1500.0, 1600.0), "found 1 and 2"),
        ((), (), "found 0 and 0"),
        ((0.0, 0.0), (1500.0, 1600.0), "lie below each other"),
        ((0.0,), (0.0,), "above 0 m/s"),
        ((0.0,), (float("nan"),), "above 0 m/s"),
    ],
)
def test_models_that_are_none(tops: tuple[float, ...], velocities: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LayeredModel(tops, velocities)
