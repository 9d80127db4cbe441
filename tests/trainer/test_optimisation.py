"""The gradient does not depend on how many ranks share a batch: real processes, Gloo, float64."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from trainer.config import OptimiserConfig
from trainer.models.unet import UNet
from trainer.ranks import Ranks, joined, ranks_from_environment
from trainer.tasks.segmentation import Segmentation
from trainer.tasks.task import Batch
from trainer.training.optimisation import backward, learning_rate

DICE_WEIGHTS = (0.0, 1.0)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


def network():
    torch.manual_seed(0)
    return UNet(dims=2, in_channels=1, out_channels=2, levels=2, start_filters=2).double()


def batch_of(windows):
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(4, 1, 8, 8, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 2, (4, 8, 8), generator=generator, dtype=torch.uint8)
    weight = (torch.rand(4, 8, 8, generator=generator) > torch.tensor([0.1, 0.2, 0.9, 2.0])[:, None, None]).float()
    return Batch(samples[windows], target[windows], weight[windows])  # the last window weighs nothing


class Told(Segmentation):
    """Segmentation of two classes, told so without a dataset."""

    def __init__(self, *, dice_weight):
        self.out_channels = 2
        self._class_weights = torch.tensor([1.0, 3.0])
        self._dice_weight = dice_weight


def gradient(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).numpy()


@pytest.mark.parametrize("dice_weight", DICE_WEIGHTS)
def test_gradient_of_two_ranks_is_that_of_one(gradients_of_two_ranks, dice_weight):
    model = network()
    loss = backward(model, batch=batch_of(slice(None)), task=Told(dice_weight=dice_weight), ranks=Ranks())
    expected = np.append(gradient(model), loss)
    for rank in (0, 1):
        found = np.load(gradients_of_two_ranks / f"{rank}-{dice_weight}.npy")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def gradients_of_two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradients")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__, folder]
    subprocess.run(list(map(str, command)), check=True, timeout=240, env=ENVIRONMENT)
    return folder


def save_gradients_of_this_rank(folder):
    ranks = ranks_from_environment()
    with joined(ranks):
        for dice_weight in DICE_WEIGHTS:
            model = DistributedDataParallel(network())
            batch = batch_of(slice(2 * ranks.rank, 2 * ranks.rank + 2))
            loss = backward(model, batch=batch, task=Told(dice_weight=dice_weight), ranks=ranks)
            np.save(f"{folder}/{ranks.rank}-{dice_weight}.npy", np.append(gradient(model), loss))


def test_learning_rate_rises_and_falls():
    config = OptimiserConfig(learning_rate=1.0, warmup_steps=10, final_fraction=0.1)
    rates = [learning_rate(step, steps=110, config=config) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


if __name__ == "__main__":
    save_gradients_of_this_rank(sys.argv[1])
