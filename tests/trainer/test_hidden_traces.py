import numpy as np
import pytest

from trainer.tasks.hidden_traces import hidden_on_grid, hide_some, interpolate_linearly


def test_exactly_the_fraction_of_live_traces_is_hidden():
    live = np.arange(20) % 5 > 0
    hidden = hide_some(live, fraction=0.5, generator=np.random.default_rng(0))
    assert hidden.sum() == 8
    assert not (hidden & ~live).any()


@pytest.mark.parametrize("grid", [(40,), (7, 40)])
def test_the_pattern_depends_on_the_place_alone(grid):
    whole = hidden_on_grid(tuple((0, size) for size in grid), grid=grid, fraction=0.5, seed=3)
    part = hidden_on_grid(tuple((size // 3, size) for size in grid), grid=grid, fraction=0.5, seed=3)
    np.testing.assert_array_equal(part, whole[tuple(slice(size // 3, None) for size in grid)])
    other = hidden_on_grid(tuple((0, size) for size in grid), grid=grid, fraction=0.5, seed=4)
    assert (whole != other).any()


def test_the_pattern_looks_random():
    hidden = hidden_on_grid(((0, 1000), (0, 1000)), grid=(1000, 1000), fraction=0.3, seed=0)
    assert hidden.mean() == pytest.approx(0.3, abs=0.003)
    for axis in (0, 1):
        ahead, behind = (np.take(hidden, range(*ends), axis=axis).ravel() for ends in ((1, 1000), (0, 999)))
        assert abs(np.corrcoef(ahead, behind)[0, 1]) < 0.005


def test_interpolation_is_numpys():
    generator = np.random.default_rng(0)
    amplitude = generator.standard_normal((3, 20, 5)).astype(np.float32)
    visible = generator.random((3, 20)) > 0.5
    filled = interpolate_linearly(amplitude, visible=visible)
    for line in range(3):
        shown = np.flatnonzero(visible[line])
        for sample in range(5):
            expected = np.interp(np.arange(20), shown, amplitude[line, shown, sample])
            np.testing.assert_allclose(filled[line, :, sample], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(filled[visible], amplitude[visible])


def test_a_line_without_visible_traces_is_zero():
    assert not interpolate_linearly(np.ones((4, 3), np.float32), visible=np.zeros(4, bool)).any()
