"""However a network is computed, its gradient stays the same."""

import json
import shutil

import pytest
import torch

from data_catalog import InputError
from trainer.config import ComputeConfig
from trainer.models.unet import UNet
from trainer.ranks import Ranks
from trainer.training.placing import bucket_mib, placed

PRECISE = torch.float64


def unet(**settings):
    torch.manual_seed(0)
    return UNet(dims=settings.pop("dims", 2), in_channels=1, out_channels=2, levels=3, start_filters=4, **settings)


def gradient(model, *, extents):
    samples = torch.randn(2, 1, *extents, generator=torch.Generator().manual_seed(1), dtype=PRECISE)
    model(samples).square().mean().backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def place(model, *, ranks=Ranks(), **compute):  # noqa: B008 (frozen)
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
        (lambda: torch.nn.Conv2d(1, 2, 3), {"recompute_levels": 1}, "Conv2d has no such levels"),
    ],
)
def test_what_cannot_be_computed_so_is_refused(model, compute, sentence):
    with pytest.raises(InputError, match=sentence):
        place(model(), **compute)


def test_gradients_travel_in_a_few_buckets():
    assert bucket_mib(UNet(dims=2, in_channels=1, out_channels=1, levels=7, start_filters=8)) == pytest.approx(
        7.4, abs=0.1
    )
    assert bucket_mib(torch.nn.Linear(2, 2)) == 1
