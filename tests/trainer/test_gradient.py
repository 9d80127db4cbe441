"""Neither gradient nor training depends on how a batch is split: over ranks, real processes, or micro-batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.config import Config
from trainer.models.unet import UNet
from trainer.randomness import Purpose, stream
from trainer.ranks import Ranks, joined, ranks_from_environment
from trainer.tasks.segmentation import Segmentation
from trainer.tasks.task import Batch
from trainer.training.gradient import backward
from trainer.training.learner import Learner, whole

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
WINDOWS, STEPS = 4, 50
LOSSES = {"cross-entropy": 0.0, "with Dice": 1.0}
PRECISIONS = ("float64", "float32")
"""With AdamW and with SGD: AdamW makes rounding larger with each step."""


class Told(Segmentation):
    """Segmentation of two classes, told so without a dataset."""

    def __init__(self, *, dice_weight, tversky=(0.5, 0.5)):
        self.out_channels = 2
        self._class_weights = torch.tensor([1.0, 3.0])
        self._dice_weight, self.is_mean = dice_weight, not dice_weight
        self._tversky = tversky


def network(*, norm="layer", dropout=0.0):
    torch.manual_seed(0)
    unet = UNet(dims=2, in_channels=1, out_channels=2, levels=3, start_filters=8, norm=norm)
    return torch.nn.Sequential(unet, torch.nn.Dropout(dropout)) if dropout else unet


def batch_of(windows, *, number=0):
    """Windows of which samples count in very different numbers; in the last one none does."""
    generator = stream(1, number, purpose=Purpose.EXAMPLE)
    samples = torch.from_numpy(generator.standard_normal((WINDOWS, 1, 16, 16), dtype=np.float32))
    target = torch.from_numpy(generator.integers(0, 2, (WINDOWS, 16, 16), dtype=np.uint8))
    counts = generator.random((WINDOWS, 16, 16)) > np.array([0.1, 0.5, 0.95, 2.0])[:, None, None]
    return Batch(samples[windows], target[windows], torch.from_numpy(counts.astype(np.float32))[windows])


def config(*, precision, micro_batch, **compute):
    return Config(
        dataset={"name": "none"},
        window={"crossline": 16, "time": 16},
        model={"name": "unet"},
        task={"name": "segmentation"},
        optimiser={"clip_norm": 0.5},
        compute={"precision": precision, "micro_batch": micro_batch} | compute,
        batch_size=WINDOWS,
        steps=STEPS,
        out="none",
    )


def trained(*, precision, dice_weight, ranks, micro_batch=None, **compute):
    """Losses of some steps, and the gradient of the first."""
    model = network()
    learner = Learner(
        model,
        task=Told(dice_weight=dice_weight, tversky=(0.3, 0.7) if precision == "float64" else (0.5, 0.5)),
        config=config(precision=precision, micro_batch=micro_batch, **compute),
        ranks=ranks,
    )
    if precision == "float32":
        learner.optimiser = torch.optim.SGD(model.parameters())
    losses, first = [], None
    for number in range(STEPS):
        batch = batch_of(slice(ranks.rank, None, ranks.world_size), number=number)
        losses.append(learner.step(batch, number=number, rate=0.01).loss)
        first = gradient(model) if first is None else first
    return {"losses": losses, "gradient": first.tolist()}


def gradient(model):
    return torch.cat([whole(parameter.grad).flatten() for parameter in model.parameters()]).double().numpy()


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def found_by_ranks(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(request.param)]
    subprocess.run([*torchrun, __file__, str(folder)], check=True, timeout=240, env=ENVIRONMENT)
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def check(found, expected, *, precision):
    loss_tolerance, gradient_tolerance = {"float64": (1e-10, 1e-10), "float32": (1e-4, 1e-5)}[precision]
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=loss_tolerance, atol=0)
    one, other = np.array(found["gradient"]), np.array(expected["gradient"])
    assert np.linalg.norm(one - other) <= gradient_tolerance * np.linalg.norm(other)
    assert expected["losses"][-1] != expected["losses"][0]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_training_on_several_ranks_is_that_on_one(found_by_ranks, precision, loss):
    expected = trained(precision=precision, dice_weight=LOSSES[loss], ranks=Ranks())
    for of_rank in found_by_ranks:
        check(of_rank[f"{precision} {loss}"], expected, precision=precision)


@pytest.mark.parametrize("micro_batch", [1, 2, 3])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_training_by_micro_batches_is_that_by_batches(precision, loss, micro_batch):
    expected = trained(precision=precision, dice_weight=LOSSES[loss], ranks=Ranks())
    found = trained(precision=precision, dice_weight=LOSSES[loss], ranks=Ranks(), micro_batch=micro_batch)
    check(found, expected, precision=precision)


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_micro_batches_draw_once_what_layers_draw(dice_weight):
    model, losses = network(norm="batch", dropout=0.5), []
    for _ in range(2):
        torch.manual_seed(7)
        loss = backward(model, batch=batch_of(slice(None)), task=Told(dice_weight=dice_weight), ranks=Ranks(), parts=2)
        losses.append(float(loss))
    assert losses[0] == losses[1]
    (counted,) = {each.num_batches_tracked.item() for each in model.modules() if hasattr(each, "num_batches_tracked")}
    assert counted == 4, "two passes of two micro-batches"


@pytest.mark.parametrize("micro_batch", [None, 1])
def test_weights_may_be_shared_out(found_by_ranks, micro_batch):
    expected = trained(precision="float64", dice_weight=1.0, ranks=Ranks())
    for of_rank in found_by_ranks:
        check(of_rank[f"shared out, {micro_batch}"], expected, precision="float64")


def save_what_this_rank_finds(folder):
    ranks = ranks_from_environment()
    with joined(ranks):
        found = {
            f"{precision} {loss}": trained(precision=precision, dice_weight=dice_weight, ranks=ranks, micro_batch=parts)
            for precision in PRECISIONS
            for loss, dice_weight in LOSSES.items()
            for parts in [1 if precision == "float64" and ranks.world_size == 2 else None]
        }
        found |= {
            f"shared out, {micro_batch}": trained(
                precision="float64", dice_weight=1.0, ranks=ranks, micro_batch=micro_batch, shard_weights=True
            )
            for micro_batch in (None, 1)
        }
    Path(folder, f"{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    save_what_this_rank_finds(sys.argv[1])
