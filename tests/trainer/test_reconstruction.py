import numpy as np
import pytest
import torch

from data_catalog import InputError, Role, Variable
from trainer.data.normalise import Normalisation
from trainer.tasks.hidden_traces import hidden_on_grid, interpolate_linearly
from trainer.tasks.reconstruction import Reconstruction
from trainer.tasks.task import Batch, TaskData, Window

SHAPE = (20, 6)
BOX = ((0, 20), (0, 6))


def section_gain(example):
    return example.target[1]


def task_data(*, dims=("trace", "time"), network_dims=("trace", "time"), normalisation=None):
    layout = {"shape": SHAPE, "chunk_shape": SHAPE, "shard_shape": SHAPE}
    variable = Variable(role=Role.INPUT, dims=dims, dtype="float32", units="Pa", **layout)
    return TaskData("amplitude", variable, network_dims, normalisation or Normalisation(0.0, 1.0), seed=0)


def random_window(*, normalisation=None):
    stored = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    live = np.ones(SHAPE, bool)
    live[4] = False
    stored[4] = 0
    amplitude = np.where(live, (normalisation or Normalisation(0.0, 1.0)).apply(stored), np.float32(0))
    return Window(stored=stored, amplitude=amplitude, live=live, label=None, box=BOX)


def as_batch(example):
    return Batch(*(torch.from_numpy(part)[None] for part in example))


def test_hidden_traces_are_weighed_and_do_not_reach_the_network():
    window = random_window()
    task = Reconstruction(task_data(), flip_polarity=False)
    example = task.example(window, generator=np.random.default_rng(0))
    hidden = example.weight.any(axis=1)
    assert hidden.sum() == round(19 / 2)
    assert not hidden[4], "a dead trace cannot be learned from"
    visible = example.input[1].all(axis=1)
    np.testing.assert_array_equal(visible, ~hidden & window.live[:, 0])
    np.testing.assert_array_equal(example.input[0][visible], (window.amplitude / section_gain(example))[visible])
    np.testing.assert_array_equal(example.target[0], window.amplitude / section_gain(example))
    changed = np.where(hidden[:, None], 99, window.amplitude).astype(np.float32)
    again = task.example(Window(window.stored, changed, window.live, None, BOX), generator=np.random.default_rng(0))
    np.testing.assert_array_equal(again.input, example.input)


@pytest.mark.parametrize(("error", "power"), [("l1", 1), ("l2", 2)])
def test_loss_is_the_mean_error_on_hidden_samples(error, power):
    task = Reconstruction(task_data(), error=error)
    batch = as_batch(task.example(random_window(), generator=np.random.default_rng(0)))
    output = torch.randn(1, 1, *SHAPE)
    difference = (batch.input[:, 0] + output[:, 0] - batch.target[:, 0])[batch.weight > 0]
    torch.testing.assert_close(task.loss(task.sums(output, batch=batch)), difference.abs().pow(power).mean())


def test_signal_to_noise_ratios():
    task = Reconstruction(task_data())
    batch = as_batch(task.example(random_window(), generator=np.random.default_rng(0)))
    hidden = batch.weight > 0
    target, gain = batch.target.unbind(1)
    perfect_but_for_a_tenth = (target * 0.9 - batch.input[:, 0])[:, None]
    metrics = task.metrics(task.statistics(perfect_but_for_a_tenth, batch=batch).numpy())
    assert metrics["snr_db"] == pytest.approx(20, abs=1e-4)
    errors = ((batch.input[:, 0] - target) * gain)[hidden]
    expected = 10 * torch.log10((target * gain)[hidden].square().sum() / errors.square().sum())
    assert metrics["interpolation_snr_db"] == pytest.approx(float(expected), abs=1e-4)


def test_predictions_keep_visible_traces_to_the_bit():
    normalisation = Normalisation(3.3, 7.7)
    window = random_window(normalisation=normalisation)
    task = Reconstruction(task_data(normalisation=normalisation))
    said = task.predictions(np.zeros((1, *SHAPE), np.float32), window=window)
    expected = hidden_on_grid(BOX[:1], grid=SHAPE[:1], fraction=0.5, seed=0) & window.live[:, 0]
    visible = window.live[:, 0] & ~expected
    np.testing.assert_array_equal(said["hidden"], expected)
    np.testing.assert_array_equal(said["amplitude_restored"][visible], window.stored[visible])
    interpolated = normalisation.undo(interpolate_linearly(window.amplitude, visible=visible))
    np.testing.assert_allclose(said["amplitude_restored"][expected], interpolated[expected], rtol=1e-5, atol=1e-5)
    assert said.keys() == task.outputs.keys()


def test_predictions_are_nan_in_dead_traces_and_as_stored_in_visible_ones():
    window = random_window()
    task = Reconstruction(task_data())
    visible = np.flatnonzero(~hidden_on_grid(BOX[:1], grid=SHAPE[:1], fraction=0.5, seed=0) & window.live[:, 0])
    window.stored[visible[0], 1:4] = np.array([0x7FC00001, 0xFFC00000, 0x7F800000], np.uint32).view(np.float32)
    window.live[visible[0], 1:4] = False
    said = task.predictions(np.zeros((1, *SHAPE), np.float32), window=window)["amplitude_restored"]
    assert np.isnan(said[4]).all()
    np.testing.assert_array_equal(said[visible].view(np.uint32), window.stored[visible].view(np.uint32))


def test_polarity_is_turned_in_input_and_target_alike():
    window = random_window()
    upright = Reconstruction(task_data(), flip_polarity=False)
    signs = set()
    for seed in range(8):
        plain = upright.example(window, generator=np.random.default_rng(seed))
        example = Reconstruction(task_data()).example(window, generator=np.random.default_rng(seed))
        sign = 1 if np.array_equal(example.target[0], plain.target[0]) else -1
        np.testing.assert_array_equal(example.target[0], sign * plain.target[0])
        np.testing.assert_array_equal(example.input[0], sign * plain.input[0])
        np.testing.assert_array_equal(example.input[1], plain.input[1])
        np.testing.assert_array_equal(example.target[1], plain.target[1])
        signs.add(sign)
    assert signs == {1, -1}


def test_windows_without_the_sample_axis_are_refused():
    with pytest.raises(InputError, match="reconstruction needs windows along trace and time, found trace"):
        Reconstruction(task_data(network_dims=("trace",)))
