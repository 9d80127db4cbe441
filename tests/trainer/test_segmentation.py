import numpy as np
import pytest
import torch
from torch.nn import functional

from data_catalog import InputError, Role, Variable
from trainer.data.normalise import Normalisation
from trainer.tasks.segmentation import Segmentation
from trainer.tasks.task import Batch, TaskData, Window

SHAPE = (4, 6)
BOX = ((0, 4), (0, 6))


def task_data(*, classes=((2, "rock"), (7, "salt"), (9, "mud")), **changes):
    layout = {"dims": ("trace", "time"), "shape": SHAPE, "chunk_shape": SHAPE, "shard_shape": SHAPE}
    values, meanings = zip(*classes, strict=True)
    label = Variable(
        role=Role.CLASS_LABEL, dtype="uint8", flag_values=values, flag_meanings=meanings, ignore_value=255, **layout
    )
    described = {
        "name": "amplitude",
        "variable": Variable(role=Role.INPUT, dtype="float32", **layout),
        "network_dims": ("trace", "time"),
        "normalisation": Normalisation(0.0, 1.0),
        "seed": 0,
        "label_name": "facies",
        "label": label,
    }
    return TaskData(**(described | changes))


def random_batch(*, classes=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    output = torch.randn(2, classes, *SHAPE, generator=generator, dtype=dtype)
    target = torch.randint(0, classes, (2, *SHAPE), generator=generator, dtype=torch.uint8)
    weight = (torch.rand(2, *SHAPE, generator=generator) > 0.3).float()
    return output, Batch(output[:, :1], target, weight)


def test_label_values_become_classes_and_the_rest_weighs_nothing():
    label = np.full(SHAPE, 255, np.uint8)
    label[0], label[1], label[2] = 2, 7, 9
    live = np.ones(SHAPE, bool)
    live[:, 0] = False
    label[:, 0] = 0  # none of the classes, where nothing was recorded
    amplitude = np.ones(SHAPE, np.float32)
    window = Window(stored=amplitude, amplitude=amplitude, live=live, label=label, box=BOX)
    example = Segmentation(task_data()).example(window, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(example.target[:3, 1], [0, 1, 2])
    np.testing.assert_array_equal(example.weight, live & (label != 255))
    assert example.input.shape == (1, *SHAPE)


def test_a_network_is_told_where_samples_lie():
    amplitude = np.ones((2, 3), np.float32)
    window = Window(stored=amplitude, amplitude=amplitude, live=amplitude > 0, label=None, box=((2, 4), (3, 6)))
    task = Segmentation(task_data(), positions=("time", "trace"))
    channels = task.prediction_input(window)
    assert (task.in_channels, channels.dtype, channels.shape) == (3, np.float32, (3, 2, 3))
    np.testing.assert_array_equal(channels[0], amplitude)
    np.testing.assert_allclose(channels[1], [[0.2, 0.6, 1.0]] * 2, rtol=1e-6)  # samples 3 to 5 of 6
    np.testing.assert_allclose(channels[2], [[1 / 3] * 3, [1.0] * 3], rtol=1e-6)  # traces 2 and 3 of 4


def test_positions_along_a_dimension_that_the_network_does_not_see_are_refused():
    with pytest.raises(InputError, match=r"task\.positions: inline is none of the window's dimensions: trace, time"):
        Segmentation(task_data(), positions=("inline",))


def test_a_label_outside_its_classes_is_refused():
    label = np.full(SHAPE, 255, np.uint8)
    label[1, 2:4] = 5, 200
    ones = np.ones(SHAPE, np.float32)
    window = Window(stored=ones, amplitude=ones, live=ones > 0, label=label, box=BOX)
    with pytest.raises(
        InputError, match=r"'facies' holds 5, 200 in .*; its classes are 2 rock, 7 salt, 9 mud, and 255"
    ):
        Segmentation(task_data()).example(window, generator=np.random.default_rng(0))


@pytest.mark.parametrize("class_weights", [None, (1.0, 5.0, 0.5)])
def test_cross_entropy_is_pytorchs_over_the_valid_samples(class_weights):
    output, batch = random_batch()
    task = Segmentation(task_data(), class_weights=class_weights)
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
    target = torch.where(batch.weight > 0, batch.target.long(), -100)
    expected = functional.cross_entropy(output, target, weight=weights)
    torch.testing.assert_close(task.loss(task.sums(output, batch=batch)), expected)


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_a_batch_without_valid_samples_teaches_nothing(dice_weight):
    """Also where many ranks or a scaler of float16 make its loss larger by some thousand times."""
    output, batch = random_batch(dtype=torch.float32)
    output.requires_grad_()
    task = Segmentation(task_data(), dice_weight=dice_weight)
    loss = task.loss(task.sums(output, batch=batch._replace(weight=torch.zeros_like(batch.weight))))
    (65536 * 64 * loss).backward()
    assert torch.isfinite(loss)
    assert not output.grad.any()


def test_soft_dice_over_the_valid_samples():
    output, batch = random_batch()
    plain, with_dice = Segmentation(task_data()), Segmentation(task_data(), dice_weight=2.0)
    difference = with_dice.loss(with_dice.sums(output, batch=batch)) - plain.loss(plain.sums(output, batch=batch))
    valid = batch.weight > 0
    scores = []
    for number in range(3):
        said, true = output.softmax(1)[:, number][valid], (batch.target == number)[valid]
        scores.append(2 * said[true].sum() / (said.sum() + true.sum()))
    torch.testing.assert_close(difference, 2.0 * (1 - torch.stack(scores).mean()))


def test_metrics_against_counting_one_by_one():
    output, batch = random_batch()
    task = Segmentation(task_data())
    metrics = task.metrics(task.statistics(output, batch=batch).numpy())
    valid = (batch.weight > 0).numpy()
    true, said = batch.target.numpy()[valid], output.argmax(1).numpy()[valid]
    assert metrics["accuracy"] == pytest.approx((true == said).mean())
    for number, name in enumerate(("rock", "salt", "mud")):
        both, either = ((true == number) & (said == number)).sum(), ((true == number) | (said == number)).sum()
        assert metrics[f"iou/{name}"] == pytest.approx(both / either)
        assert metrics[f"dice/{name}"] == pytest.approx(2 * both / ((true == number).sum() + (said == number).sum()))
    assert metrics["mean_iou"] == pytest.approx(np.mean([metrics[f"iou/{name}"] for name in ("rock", "salt", "mud")]))


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_torchmetrics(seed):
    from torchmetrics.functional import classification

    output, batch = random_batch(seed=seed)
    task = Segmentation(task_data())
    metrics = task.metrics(task.statistics(output, batch=batch).numpy())
    said, true = output.argmax(1)[batch.weight > 0], batch.target.long()[batch.weight > 0]
    theirs = {
        "iou": classification.multiclass_jaccard_index,
        "dice": classification.multiclass_f1_score,
        "precision": classification.multiclass_precision,
        "recall": classification.multiclass_recall,
    }
    for kind, metric in theirs.items():
        of_classes = metric(said, true, num_classes=3, average="none").tolist()
        assert [metrics[f"{kind}/{name}"] for name in ("rock", "salt", "mud")] == pytest.approx(of_classes)
        assert metrics[f"mean_{kind}"] == pytest.approx(np.mean(of_classes))


@pytest.mark.parametrize("seed", range(3))
def test_soft_dice_is_that_of_torchmetrics_where_outputs_are_certain(seed):
    from torchmetrics.functional.segmentation import dice_score

    output, batch = random_batch(seed=seed)
    batch = batch._replace(weight=torch.ones_like(batch.weight))
    certain = 1e4 * torch.nn.functional.one_hot(output.argmax(1), 3).movedim(-1, 1).double()
    plain, with_dice = Segmentation(task_data()), Segmentation(task_data(), dice_weight=1.0)
    loss = with_dice.loss(with_dice.sums(certain, batch=batch)) - plain.loss(plain.sums(certain, batch=batch))
    one_hot = (
        torch.nn.functional.one_hot(each, 3).movedim(-1, 0)[None] for each in (output.argmax(1), batch.target.long())
    )
    theirs = dice_score(*one_hot, num_classes=3, average="macro", input_format="one-hot")
    assert 1 - loss.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize(("tversky", "metric"), [((0, 1), "recall"), ((1, 0), "precision"), ((1, 1), "jaccard_index")])
def test_tversky_is_what_torchmetrics_has_at_its_corners_where_outputs_are_certain(tversky, metric):
    from torchmetrics.functional import classification

    output, batch = random_batch()
    certain = 1e4 * torch.nn.functional.one_hot(output.argmax(1), 3).movedim(-1, 1).double()
    plain, with_tversky = Segmentation(task_data()), Segmentation(task_data(), dice_weight=1.0, tversky=tversky)
    loss = with_tversky.loss(with_tversky.sums(certain, batch=batch)) - plain.loss(plain.sums(certain, batch=batch))
    said, true = output.argmax(1)[batch.weight > 0], batch.target.long()[batch.weight > 0]
    theirs = getattr(classification, f"multiclass_{metric}")(said, true, num_classes=3, average="macro")
    assert 1 - loss.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_an_absent_class_is_nan_and_does_not_enter_the_mean():
    metrics = Segmentation(task_data()).metrics(np.array([4, 0, 0, 2, 2, 0, 0, 0, 0]))
    assert np.isnan(metrics["iou/mud"])
    assert metrics["mean_iou"] == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_predictions_of_two_classes_carry_a_probability():
    task = Segmentation(task_data(classes=((1, "rock"), (4, "salt"))))
    live = np.ones(SHAPE, bool)
    live[0] = False
    window = Window(stored=live, amplitude=live.astype(np.float32), live=live, label=None, box=BOX)
    output = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32) * 5
    said = task.predictions(output, window=window)
    expected = torch.from_numpy(output).softmax(0)[1].numpy()
    np.testing.assert_allclose(said["facies_probability"][1:], expected[1:], rtol=1e-5)
    np.testing.assert_array_equal(said["facies_class"][1:], np.where(expected[1:] > 0.5, 4, 1))
    assert (said["facies_class"][0] == 255).all()
    assert np.isnan(said["facies_probability"][0]).all()
    assert said.keys() == task.outputs.keys()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"label": None, "label_name": None}, "segmentation learns from a class_label; name one"),
        ({"label": task_data().variable}, "'facies' has role input, segmentation learns from a class_label"),
    ],
)
def test_what_is_no_class_label_is_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        Segmentation(task_data(**changes))


def test_weights_must_match_the_classes():
    with pytest.raises(InputError, match=r"2 weights for 3 classes \(rock, salt, mud\)"):
        Segmentation(task_data(), class_weights=(1.0, 2.0))


def test_balanced_classes_weigh_alike_in_total():
    counts = {"rock": 900, "salt": 100, "mud": 0}
    task = Segmentation(task_data(count_classes=lambda: counts), class_weights="balanced")
    weights = task._class_weights.tolist()
    assert weights[0] * 900 == pytest.approx(weights[1] * 100) == pytest.approx(1000 / 3)
    assert Segmentation(task_data(), class_weights="balanced")._class_weights.tolist() == [1, 1, 1], (
        "none to learn from"
    )


def test_a_label_on_other_samples_is_refused():
    elsewhere = task_data().label.model_copy(update={"dims": ("trace", "depth")})
    with pytest.raises(InputError, match="a label must lie on the same samples"):
        Segmentation(task_data(label=elsewhere))
