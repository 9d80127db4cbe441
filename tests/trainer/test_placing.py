"""However a network is computed, its gradient stays the same."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from data_catalog import InputError
from trainer.config import ComputeConfig
from trainer.models.unet import UNet
from trainer.ranks import Ranks
from trainer.training.placing import bucket_mib, placed, recompute

PRECISE = torch.float64
TWO_GPUS = Ranks(world_size=2, device=torch.device("cuda"))

SPARE_WEIGHT = """
import torch
from torch import nn

class Spare(nn.Module):
    def __init__(self, *, dims, in_channels, out_channels):
        super().__init__()
        self.used, self.spare = nn.Conv2d(in_channels, out_channels, 1), nn.Conv2d(1, 1, 1)

    def forward(self, samples):
        return self.used(samples)
"""


def unet(**settings):
    torch.manual_seed(0)
    return UNet(dims=settings.pop("dims", 2), in_channels=1, out_channels=2, levels=3, start_filters=4, **settings)


def gradient(model, *, extents):
    samples = torch.randn(2, 1, *extents, generator=torch.Generator().manual_seed(1), dtype=PRECISE)
    model(samples).square().mean().backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def place(model, *, ranks=Ranks(), **compute):  # noqa: B008 (frozen)
    recompute(model, levels=compute.get("recompute_levels", 0))
    return placed(model, compute=ComputeConfig(**compute), ranks=ranks, dtype=PRECISE)


@pytest.mark.parametrize("extents", [(16, 32), (16, 8, 8)])
@pytest.mark.parametrize(
    "compute", [{"recompute_levels": 1}, {"recompute_levels": 3}, {"recompute_levels": 9}, {"channels_last": False}]
)
def test_a_gradient_is_the_same(extents, compute):
    dims = len(extents)
    expected = gradient(place(unet(dims=dims)), extents=extents)
    found = gradient(place(unet(dims=dims), **compute), extents=extents)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default::DeprecationWarning")  # PyTorch's compiler uses what PyTorch deprecates
def test_a_compiled_run_is_the_same(call, salt_stack, write_recipe, tmp_path):
    short = {"steps": 5, "splits": {"validation": None}}
    for name, compute in {"eager": False, "compiled": True}.items():
        recipe = write_recipe(**short, compute={"compile": compute, "precision": "float64"})
        assert call("fit", recipe, "--out", tmp_path / name) == 0
    eager, compiled = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("eager", "compiled")
    )
    assert compiled == pytest.approx(eager, rel=1e-9)


def test_less_is_kept_where_levels_are_computed_again():
    def kept(model):
        storages = {}

        def keep(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(torch.zeros(1, 1, 64, 64, dtype=PRECISE))
        return sum(storage.nbytes() for storage in storages.values())

    assert kept(place(unet(), recompute_levels=2)) < 0.4 * kept(place(unet()))


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_and_samples_lie_as_wanted(channels_last):
    model = place(unet(), channels_last=channels_last)
    assert model.down[1][0].weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    convolved = model.down[1][0](torch.zeros(2, 4, 16, 16, dtype=PRECISE))
    assert convolved.is_contiguous(memory_format=torch.channels_last) == channels_last


@pytest.mark.parametrize(
    ("model", "compute", "sentence"),
    [
        (lambda: unet(norm="batch"), {"ranks": Ranks(world_size=2)}, "needs GPUs"),
        (lambda: unet(norm="batch"), {"recompute_levels": 1}, "count its statistics twice"),
        (lambda: unet(norm="batch"), {"ranks": TWO_GPUS, "micro_batch": 1}, "takes the windows of all of them at once"),
    ],
)
def test_what_cannot_be_computed_so_is_refused(model, compute, sentence):
    with pytest.raises(InputError, match=sentence):
        place(model(), **compute)


def test_levels_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="Conv2d has no such levels"):
        recompute(torch.nn.Conv2d(1, 2, 3), levels=1)


@pytest.mark.slow
def test_a_run_whose_weights_are_shared_out(stores, salt_stack, write_recipe, tmp_path):
    """Steps, average, scores and what is saved are those of one process; also when it goes on."""
    changes = {"optimiser": {"average_decay": 0.9}, "steps": 6, "checkpoint_every_steps": 2, "keep_checkpoints": 9}
    alone = write_recipe(**changes, compute={"precision": "float64"})
    assert stores.run("fit", alone, "--out", tmp_path / "alone").returncode == 0
    shared = write_recipe(**changes, compute={"precision": "float64", "shard_weights": True})
    done = stores.run("fit", shared, processes=2)
    assert done.returncode == 0, done.stderr
    assert "view tensor" not in done.stderr
    for step in (4, 6):
        shutil.rmtree(tmp_path / f"run/checkpoints/step-{step:08d}")
    done = stores.run("fit", shared, "--resume", "auto", processes=2)
    assert done.returncode == 0, done.stderr
    for part in ("model", "average", "optimiser"):
        found, expected = (
            load_file(tmp_path / name / f"checkpoints/step-00000006/{part}.safetensors") for name in ("run", "alone")
        )
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-9, atol=1e-12)
    assert stores.run("predict", tmp_path / "run").returncode == 0
    longer = ("--resume", "auto", "--set", "steps=8")
    assert stores.run("fit", alone, "--out", tmp_path / "run", *longer).returncode == 0, "one process goes on"


@pytest.mark.slow
def test_parameters_without_gradient_are_no_hindrance(stores, salt_stack, write_recipe, tmp_path):
    (tmp_path / "spare_nets.py").write_text(SPARE_WEIGHT)
    for micro_batch in (None, 1):
        compute = {"precision": "float64", "micro_batch": micro_batch}
        recipe = write_recipe(model={"name": "spare_nets:Spare"}, compute=compute, steps=3)
        done = stores.run("fit", recipe, "--out", tmp_path / f"{micro_batch}", processes=2)
        assert done.returncode == 0, done.stderr


def test_gradients_travel_in_a_few_buckets():
    assert bucket_mib(UNet(dims=2, in_channels=1, out_channels=1, levels=7, start_filters=8)) == pytest.approx(
        7.4, abs=0.1
    )
    assert bucket_mib(torch.nn.Linear(2, 2)) == 1
