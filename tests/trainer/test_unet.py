import pytest
import torch

from trainer.models.unet import UNet, receptive_field

PARAMETERS = {"none": 7_779_241, "layer": 7_785_321, "batch": 7_785_321, "group": 7_785_321}


@pytest.mark.parametrize("norm", PARAMETERS)
def test_parameters_of_the_seven_level_network(norm):
    network = UNet(dims=2, in_channels=1, out_channels=1, levels=7, start_filters=8, norm=norm)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[norm]


@pytest.mark.parametrize("norm", ["layer", "batch", "group", "none"])
@pytest.mark.parametrize(("dims", "size"), [(2, (16, 24)), (3, (8, 16, 8))])
def test_sizes_are_kept(dims, size, norm):
    network = UNet(dims=dims, in_channels=2, out_channels=3, levels=3, start_filters=4, norm=norm)
    assert network(torch.randn(2, 2, *size)).shape == (2, 3, *size)


def test_layer_norm_is_that_of_each_sample():
    network = UNet(dims=2, in_channels=4, out_channels=1, levels=1, start_filters=4).double()
    norm = next(module for module in network.modules() if type(module).__name__ == "ChannelNorm")
    samples = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, variance = samples.mean(1, keepdim=True), samples.var(1, keepdim=True, correction=0)
    torch.testing.assert_close(norm(samples), (samples - mean) / (variance + 1e-5).sqrt())


@pytest.mark.parametrize(("levels", "samples"), [(1, 2), (2, 9), (3, 23), (7, 443)])
def test_receptive_field(levels, samples):
    assert receptive_field(levels) == samples


@pytest.mark.parametrize(("levels", "kernel"), [(1, 3), (2, 3), (3, 3), (1, 1), (2, 1), (2, 5), (3, 5)])
def test_receptive_field_is_what_gradients_reach(levels, kernel):
    torch.manual_seed(0)
    shape = {"levels": levels, "start_filters": 2, "norm": "none", "kernel": kernel}
    network = UNet(dims=2, in_channels=1, out_channels=1, **shape).double()
    for parameter in network.parameters():
        parameter.data.abs_().add_(0.01)  # no path cancels another
    size = 8 * network.size_multiple + 2 * network.receptive_field // 4 * 4
    reach = 0
    for place in range(size // 2, size // 2 + network.size_multiple):
        for _ in range(8):  # maxima pass one of a pair: several draws find all paths
            samples = torch.rand(1, 1, size, size, dtype=torch.double, requires_grad=True)
            (gradient,) = torch.autograd.grad(network(samples)[0, 0, place, place], samples)
            reached = gradient.nonzero()[:, 2:]
            reach = max(reach, place - int(reached.min()), int(reached.max()) - place)
    assert reach == network.receptive_field
