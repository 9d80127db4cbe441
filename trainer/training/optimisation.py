"""How weights move: AdamW, a learning rate for each step, and one step."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from trainer.config import OptimiserConfig
from trainer.ranks import Ranks, differentiable_sum_over_ranks
from trainer.tasks.task import Batch, Task


@dataclass(frozen=True)
class StepOutcome:
    """What one step came to.

    Attributes:
        loss: Over the samples of all ranks.
        gradient_norm: L2, before clipping.
    """

    loss: float
    gradient_norm: float


def make_optimiser(model: nn.Module, *, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW over all parameters."""
    return torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def learning_rate(step: int, *, steps: int, config: OptimiserConfig) -> float:
    """The rate of one step: a linear rise, then half a cosine (Loshchilov and Hutter, 2017).

    Args:
        step: Counts from 0.
        steps: Of the whole run.
        config: Highest rate, length of the rise, final fraction.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    height = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * height)


def set_learning_rate(optimiser: torch.optim.Optimizer, *, rate: float) -> None:
    """Sets the rate of all parameters."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def take_step(
    model: nn.Module,
    *,
    batch: Batch,
    task: Task,
    optimiser: torch.optim.Optimizer,
    ranks: Ranks,
    clip_norm: float | None,
) -> StepOutcome:
    """Forward, backward, and one move of the weights, all ranks together."""
    optimiser.zero_grad(set_to_none=True)
    loss = backward(model, batch=batch, task=task, ranks=ranks)
    norm = nn.utils.clip_grad_norm_(model.parameters(), math.inf if clip_norm is None else clip_norm)
    optimiser.step()
    return StepOutcome(loss=loss, gradient_norm=float(norm))


def backward(model: nn.Module, *, batch: Batch, task: Task, ranks: Ranks) -> float:
    """Leaves in the weights the gradient of the loss of all ranks' samples; returns that loss."""
    sums = differentiable_sum_over_ranks(task.sums(model(batch.input), batch=batch))
    loss = task.loss(sums)
    # DDP averages gradients over the ranks; they are to be added up, as each rank holds its samples' part of them.
    (loss * ranks.world_size).backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())
