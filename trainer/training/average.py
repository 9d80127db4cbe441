"""An exponential moving average of a network's weights: it wanders less, and often scores better."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

WARM_UP = 10
"""The average of n steps keeps at most (1 + n) / (10 + n) of what it was, as TensorFlow's ExponentialMovingAverage does
with `num_updates`: it forgets the weights of the start."""


def running_average(model: nn.Module, *, decay: float) -> AveragedModel:
    """A copy of a network that follows it; ``update_parameters`` takes the weights of one more step.

    Args:
        model: The network.
        decay: What the average keeps of itself at each step, once it has seen many.
    """

    def follow(averaged: Sequence[Tensor], present: Sequence[Tensor], count: Tensor | int) -> None:
        kept = min(decay, (1 + int(count)) / (WARM_UP + int(count)))
        torch._foreach_lerp_(list(averaged), list(present), 1 - kept)

    return AveragedModel(model, multi_avg_fn=torch.no_grad()(follow))
