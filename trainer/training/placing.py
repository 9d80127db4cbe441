"""A network made ready for its device, and for the processes of a run."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from data_catalog import InputError
from trainer.config import ComputeConfig
from trainer.models.arithmetic import allow_tf32
from trainer.ranks import Ranks

MIB = 2**20
BUCKETS = 4
"""Into which gradients are cut for their exchange: all but the last travel while others are still being computed."""

LEAST_BUCKET_MIB, MOST_BUCKET_MIB = 1, 25
"""Smaller ones cost more calls than they hide; 25 MiB is PyTorch's own."""


CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By the dimensions of a weight."""


def placed(model: nn.Module, *, compute: ComputeConfig, ranks: Ranks, dtype: torch.dtype) -> nn.Module:
    """The network on its device, as it shall be computed.

    Args:
        model: On the CPU.
        compute: How.
        ranks: The processes of the run.
        dtype: Of its weights.

    Raises:
        InputError: If it cannot be computed so.
    """
    normalises_batches = any(isinstance(each, _BatchNorm) for each in model.modules())
    if normalises_batches and ranks.world_size > 1 and ranks.device.type == "cpu":
        raise InputError(
            "config.model: batch normalisation over several processes needs GPUs (SyncBatchNorm); choose norm: layer, "
            "which needs no other window, or one process."
        )
    if compute.recompute_levels:
        if normalises_batches:
            raise InputError(
                "config.compute.recompute_levels: batch normalisation would count its statistics twice; choose norm: "
                "layer or group, or 0."
            )
        if not hasattr(model, "recompute_levels"):
            raise InputError(f"config.compute.recompute_levels: {type(model).__name__} has no such levels; choose 0.")
        model.recompute_levels = compute.recompute_levels  # type: ignore[assignment]
    if normalises_batches and ranks.world_size > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    allow_tf32(compute.tf32)
    model = model.to(device=ranks.device, dtype=dtype)
    for weight in model.parameters():
        order = CHANNELS_LAST.get(weight.dim()) if compute.channels_last else None
        weight.data = weight.data.contiguous(memory_format=order or torch.contiguous_format)
    return model


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
