import numpy as np
import pytest

from trainer.config import AugmentConfig
from trainer.data.normalise import Normalisation
from trainer.feed.augment import augmented
from trainer.tasks.task import Window

SHAPE = (12, 40)
DIMS = ("trace", "time")
NORMALISATION = Normalisation(mean=3.0, standard_deviation=2.0)


def a_window(label_shape=SHAPE):
    generator = np.random.default_rng(0)
    live = np.ones(SHAPE, bool)
    live[2] = False
    amplitude = np.where(live, generator.standard_normal(SHAPE), 0).astype(np.float32)
    label = generator.integers(1, 9, label_shape).astype(np.uint8)
    return Window(NORMALISATION.undo(amplitude), amplitude, live, label, box=((0, 12), (0, 40)))


def change(seed, *, window=None, label_axes=(0, 1), **settings):
    return augmented(
        window or a_window(),
        config=AugmentConfig(**settings),
        dims=DIMS,
        label_axes=label_axes,
        normalisation=NORMALISATION,
        generator=np.random.default_rng(seed),
    )


def parts(window):
    return window.amplitude, window.live, window.label


def test_nothing_wanted_changes_nothing():
    before = a_window()
    for found, expected in zip(parts(change(5)), parts(before), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_flips_turn_all_parts_around_alike_half_of_the_time():
    flipped, window = 0, a_window()
    for seed in range(60):
        found = change(seed, flip=("trace",))
        turned = not np.array_equal(found.label, window.label)
        flipped += turned
        for part, before in zip(parts(found), parts(window), strict=True):
            np.testing.assert_array_equal(part, before[::-1] if turned else before)
    assert 18 <= flipped <= 42


@pytest.mark.parametrize(("axes", "shape"), [((1,), (40,)), ((None, 0), (7, 12)), ((), ())])
def test_a_label_turns_with_the_dimensions_that_it_shares(axes, shape):
    window = a_window(shape)
    for seed in range(20):
        found = change(seed, window=window, label_axes=axes, flip=DIMS)
        turned = [at for at, axis in enumerate(axes) if axis is not None and _is_flipped(found, window, axis)]
        np.testing.assert_array_equal(found.label, np.flip(window.label, turned))


def _is_flipped(found, window, axis):
    candidates = (np.flip(window.amplitude, axes) for axes in ((axis,), (0, 1)))
    return any(np.array_equal(found.amplitude, candidate) for candidate in candidates)


def test_polarity_and_gain_scale_amplitudes_within_their_bounds():
    window, factors = a_window(), []
    for seed in range(80):
        found = change(seed, polarity=0.5, gain_db=6.0)
        factor = (found.amplitude[0] / window.amplitude[0]).mean()
        np.testing.assert_allclose(found.amplitude, window.amplitude * factor, rtol=1e-5)
        np.testing.assert_allclose(found.stored, NORMALISATION.undo(found.amplitude), rtol=1e-6)
        factors.append(factor)
    decibels = 20 * np.log10(np.abs(factors))
    assert -6 <= decibels.min() < -4 < 4 < decibels.max() <= 6
    assert 25 <= np.count_nonzero(np.array(factors) < 0) <= 55


def test_shifts_move_all_parts_and_what_comes_in_was_not_recorded():
    window, shifts = a_window(), set()
    for seed in range(60):
        found = change(seed, time_shift=5)
        inside = np.flatnonzero(found.live[0])
        shift = inside[0] - (39 - inside[-1])
        shifts.add(shift)
        kept, source = slice(max(shift, 0), 40 + min(shift, 0)), slice(max(-shift, 0), 40 + min(-shift, 0))
        for part, before in zip(parts(found), parts(window), strict=True):
            np.testing.assert_array_equal(part[:, kept], before[:, source])
        assert found.live.sum() == 11 * (40 - abs(shift))
        assert not found.amplitude[~found.live].any()
    assert shifts == set(range(-5, 6))


def test_a_shift_beyond_the_window_leaves_nothing():
    found = [change(seed, time_shift=100) for seed in range(30)]
    assert any(not each.live.any() for each in found)


def test_noise_is_of_the_strength_asked_for_and_on_live_samples_alone():
    window = a_window()
    strengths = []
    for seed in range(40):
        added = change(seed, noise=0.5).amplitude - window.amplitude
        assert not added[2].any()
        strengths.append(added[window.live].std())
    assert 0 <= min(strengths) < 0.1
    assert 0.4 < max(strengths) <= 0.55


def test_dropped_traces_count_as_not_recorded():
    window, shares = a_window(), []
    for seed in range(40):
        found = change(seed, drop_traces=0.6)
        lost = (window.live & ~found.live).any(axis=-1)
        assert not found.live[lost].any()
        assert not found.amplitude[~found.live].any()
        np.testing.assert_array_equal(found.label, window.label)
        shares.append(lost.sum() / 11)
    assert 0 < np.mean(shares) < 0.6


def test_one_change_does_not_depend_on_another():
    for seed in range(10):
        wanted = {"flip": ("trace",), "time_shift": 4, "drop_traces": 0.5}
        alone, both = change(seed, **wanted), change(seed, **wanted, gain_db=3.0, noise=0.5, polarity=0.5)
        np.testing.assert_array_equal(alone.label, both.label)
        np.testing.assert_array_equal(alone.live, both.live)
        before = a_window()
        change(seed, window=before, flip=DIMS, noise=1.0, drop_traces=0.5, time_shift=3)
        for part, kept in zip(parts(before), parts(a_window()), strict=True):
            np.testing.assert_array_equal(part, kept)
