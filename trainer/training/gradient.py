"""The gradient of one loss over the samples of all ranks, the same however the batch is split.

A loss is a function L of sums over samples. Ranks, and the micro-batches of a rank, each hold a part of the samples, so
a part s_k of the sums s = s_1 + s_2 + ...:

    dL/dw = dL/ds (ds_1/dw + ds_2/dw + ...)

Each part has to know dL/ds, and nothing else of the others. A whole share is one forward pass, after which the ranks
add up their sums. Micro-batches follow each other, so dL/ds has to be known before the first of them goes backward: for
a mean it follows from the targets (the sum that it is divided by); for soft Dice, say, from a forward pass of its own.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from trainer.models.arithmetic import FLOAT32, Arithmetic
from trainer.ranks import Ranks, differentiable_sum_over_ranks, sum_over_ranks
from trainer.tasks.task import Batch, Task


def backward(
    network: nn.Module, *, batch: Batch, task: Task, ranks: Ranks, arithmetic: Arithmetic = FLOAT32, parts: int = 1
) -> Tensor:
    """Leaves in the weights the gradient of the loss of all ranks' samples.

    Args:
        network: On several ranks one that averages gradients over them.
        batch: This rank's share.
        task: Says what is summed, and what the loss makes of it.
        ranks: All of them call this together.
        arithmetic: How the network is run.
        parts: Micro-batches that a share is cut into, the same number on all ranks.

    Returns:
        That loss, a scalar without gradient.
    """
    if parts == 1:
        sums = differentiable_sum_over_ranks(_sums(network, batch, task=task, arithmetic=arithmetic))
        loss = task.loss(sums)
        arithmetic.backward(_added_up(loss, ranks=ranks))
        return loss.detach()
    pieces = split(batch, parts)  # as many on all ranks: networks may exchange something in each pass
    slopes = _derivative(network, pieces, task=task, arithmetic=arithmetic)
    found = torch.zeros_like(slopes)
    for number, piece in enumerate(pieces, start=1):
        with _exchange(network, wanted=number == len(pieces)):
            sums = _sums(network, piece, task=task, arithmetic=arithmetic)
            arithmetic.backward(_added_up((slopes * sums).sum(), ranks=ranks))
        found += sums.detach()
    return task.loss(sum_over_ranks(found))


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch in parts of about as many windows each; where it has fewer windows, a part is one that weighs nothing."""
    pieces = [Batch(*piece) for piece in zip(*(tensor.tensor_split(parts) for tensor in batch), strict=True)]
    nothing = Batch(batch.input[:1], batch.target[:1], torch.zeros_like(batch.weight[:1]))
    return [piece if len(piece.input) else nothing for piece in pieces]


def _sums(network: nn.Module, batch: Batch, *, task: Task, arithmetic: Arithmetic) -> Tensor:
    return task.sums(arithmetic.run(network, batch.input), batch=batch)


def _added_up(loss: Tensor, *, ranks: Ranks) -> Tensor:
    """DDP averages gradients over the ranks; they are to be added up, as each rank holds its samples' part of them."""
    return loss * ranks.world_size


def _derivative(network: nn.Module, pieces: Sequence[Batch], *, task: Task, arithmetic: Arithmetic) -> Tensor:
    """Of the loss by the sums over all samples of all ranks, (sum,)."""
    with torch.no_grad(), _repeatable(network, device=pieces[0].input.device):
        if getattr(task, "is_mean", False):
            each = [task.sums(_zeros(task, piece, dtype=arithmetic.dtype), batch=piece) for piece in pieces]
        else:
            each = [_sums(network, piece, task=task, arithmetic=arithmetic) for piece in pieces]
    sums = sum_over_ranks(torch.stack(each).sum(dim=0)).requires_grad_()
    (derivative,) = torch.autograd.grad(task.loss(sums), sums)
    return derivative


def _zeros(task: Task, batch: Batch, *, dtype: torch.dtype) -> Tensor:
    """Stands for an output where no output matters."""
    windows, _, *extents = batch.input.shape
    return batch.input.new_zeros((windows, task.out_channels, *extents), dtype=dtype)


@contextmanager
def _repeatable(network: nn.Module, *, device: torch.device) -> Iterator[None]:
    """A forward pass inside draws what the next one will draw again, and moves no running statistics."""
    tracking = [each for each in network.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    for each in tracking:
        each.track_running_stats = False
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for each in tracking:
            each.track_running_stats = True


def _exchange(network: nn.Module, *, wanted: bool) -> AbstractContextManager[None]:
    """Whether ranks exchange the gradients of a backward pass, or gather them until one that does."""
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(wanted)
    if wanted or not isinstance(network, DistributedDataParallel):
        return nullcontext()
    return network.no_sync()
