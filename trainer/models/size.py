"""What a network takes: parameters, operations, and the memory that its backward pass needs; known before it is run.

Two small inputs are followed forward; a network of convolutions takes so much for each sample, and something besides.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from trainer.models.network import size_multiple, trial_extents

PASSES = 3
"""Forward, and backward once to the input and once to the weights: as many operations each."""

COPIES = 4
"""Of each weight: itself, its gradient, and AdamW's two moments; one more where an average is kept."""


@dataclass(frozen=True)
class NetworkSize:
    """What one window takes.

    Attributes:
        parameters: Numbers that are learned.
        weight_nbytes: Their bytes.
        flops: Of a forward and a backward pass.
        activation_nbytes: Kept from the forward pass for the backward pass.
    """

    parameters: int
    weight_nbytes: int
    flops: int
    activation_nbytes: int

    def training_nbytes(self, windows: int, *, averaged: bool = False, ranks: int = 1) -> int:
        """Memory of a step of so many windows at once: weights, gradients, moments and activations.

        Args:
            windows: Of a backward pass.
            averaged: Whether an average of the weights is kept.
            ranks: That share all but the activations.
        """
        return (COPIES + averaged) * self.weight_nbytes // ranks + windows * self.activation_nbytes


def measure(
    model: nn.Module, *, in_channels: int, extents: Sequence[int], autocast: torch.dtype | None = None
) -> NetworkSize:
    """Learns what one window takes.

    Args:
        model: Anywhere.
        in_channels: Of its input.
        extents: Of the window.
        autocast: The precision of convolutions, where it is not that of the weights.

    Raises:
        RuntimeError: If the network cannot be tried on the CPU, or on small inputs.
    """
    model = copy.deepcopy(model).cpu()
    least = 2 * size_multiple(model)  # batch normalisation needs more than one sample where there are fewest
    small = tuple(max(least, extent) for extent in trial_extents(extents, model=model))
    larger = (*small[:-1], 2 * small[-1])
    with torch.random.fork_rng(devices=[]):
        of_small = _followed(model, in_channels=in_channels, extents=small, autocast=autocast)
        of_larger = _followed(model, in_channels=in_channels, extents=larger, autocast=autocast)
    more = (prod(extents) - prod(small)) / (prod(larger) - prod(small))
    flops, nbytes = (round(a + more * (b - a)) for a, b in zip(of_small, of_larger, strict=True))
    weights = list(model.parameters())
    return NetworkSize(
        parameters=sum(each.numel() for each in weights),
        weight_nbytes=sum(each.numel() * each.element_size() for each in weights),
        flops=flops,
        activation_nbytes=nbytes,
    )


def _followed(
    model: nn.Module, *, in_channels: int, extents: Sequence[int], autocast: torch.dtype | None
) -> tuple[int, int]:
    """Operations of a step, and bytes kept for the backward pass."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # by address: while they are held, no two have the same one

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    counter = FlopCounterMode(display=False)
    samples = torch.zeros(1, in_channels, *extents, dtype=next(model.parameters()).dtype)
    with (
        counter,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=autocast, enabled=autocast is not None),
    ):
        model(samples)
    return PASSES * counter.get_total_flops(), sum(storage.nbytes() for storage in kept.values())
