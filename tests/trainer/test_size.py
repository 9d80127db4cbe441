"""What networks take, against what they really keep, and against figures known by hand."""

import pytest
import torch

from trainer.models.size import measure
from trainer.models.unet import UNet


def unet(*, dims=2, levels=7, start_filters=8, norm="none"):
    return UNet(dims=dims, in_channels=1, out_channels=1, levels=levels, start_filters=start_filters, norm=norm)


def really_kept(model, *extents):
    kept, weights = {}, {each.untyped_storage().data_ptr() for each in model.parameters()}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros(1, 1, *extents))
    return sum(storage.nbytes() for address, storage in kept.items() if address not in weights)


@pytest.mark.parametrize("norm", ["layer", "batch", "group", "none"])
@pytest.mark.parametrize("extents", [(96, 128), (32, 48, 40)])
def test_what_is_kept_is_what_was_said(norm, extents):
    model = unet(dims=len(extents), levels=3, start_filters=4, norm=norm)
    assert measure(model, in_channels=1, extents=extents).activation_nbytes == really_kept(model, *extents)


def test_the_network_of_the_microseismic_case():
    size = measure(unet(), in_channels=1, extents=(4096, 4096))
    assert size.parameters == 7_779_241, "7 levels, 8 filters, two 3 x 3 convolutions each, 2 x 2 up (7.8 M)"
    assert size.weight_nbytes == 4 * 7_779_241
    assert size.flops == pytest.approx(3 * 2 * 285e9, rel=0.01), "285 GMAC forward"
    assert size.training_nbytes(2) == 16 * 7_779_241 + 2 * size.activation_nbytes
    assert size.training_nbytes(2, averaged=True, ranks=4) == 5 * 7_779_241 + 2 * size.activation_nbytes


def test_operations_of_a_convolution():
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1)
    assert measure(convolution, in_channels=3, extents=(64, 32)).flops == 3 * 2 * 9 * 3 * 5 * 64 * 32


def test_sixteen_bits_keep_about_half():
    model = unet(levels=3)
    whole, half = (
        measure(model, in_channels=1, extents=(256, 256), autocast=dtype).activation_nbytes
        for dtype in (None, torch.bfloat16)
    )
    assert 0.45 * whole < half < 0.6 * whole


def test_a_network_that_needs_some_samples_is_measured():
    pads = torch.nn.Conv2d(1, 1, 7, padding=3, padding_mode="reflect")
    assert measure(pads, in_channels=1, extents=(64, 64)).flops == 3 * 2 * 49 * 64 * 64


def test_the_network_stays_as_it_was():
    model = unet(levels=3, norm="batch")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    measure(model, in_channels=1, extents=(64, 64))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
