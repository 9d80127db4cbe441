"""A network made ready for the processes of a run."""

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainer.ranks import Ranks

MIB = 2**20
BUCKETS = 4
"""Into which gradients are cut for their exchange: all but the last travel while others are still being computed."""

LEAST_BUCKET_MIB, MOST_BUCKET_MIB = 1, 25
"""Smaller ones cost more calls than they hide; 25 MiB is PyTorch's own."""


def over_ranks(model: nn.Module, *, ranks: Ranks, accumulates: bool) -> nn.Module:
    """The network as all ranks run it together; itself where there is one.

    Args:
        model: On its device.
        ranks: The processes.
        accumulates: Whether steps have several backward passes; a graph that changes so is not a static one.
    """
    if ranks.world_size == 1:
        return model
    return DistributedDataParallel(
        model,
        device_ids=[ranks.device] if ranks.device.type == "cuda" else None,
        bucket_cap_mb=bucket_mib(model),
        static_graph=not accumulates,
        gradient_as_bucket_view=True,
    )


def bucket_mib(model: nn.Module) -> float:
    """Size of the buckets that gradients travel in: a quarter of them, within bounds."""
    nbytes = sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    return min(MOST_BUCKET_MIB, max(LEAST_BUCKET_MIB, nbytes / BUCKETS / MIB))
