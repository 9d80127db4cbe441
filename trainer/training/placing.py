"""A network made ready for its device, and for the processes of a run."""

import warnings

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
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
    if normalises_batches:
        _check_batch_norm(compute, ranks=ranks)
    if normalises_batches and ranks.world_size > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    allow_tf32(compute.tf32)
    model = model.to(device=ranks.device, dtype=dtype)
    channels_last = compute.channels_last and not (compute.shard_weights and ranks.world_size > 1)
    for weight in model.parameters():
        order = CHANNELS_LAST.get(weight.dim()) if channels_last else None
        weight.data = weight.data.contiguous(memory_format=order or torch.contiguous_format)
    return model


def recompute(model: nn.Module, *, levels: int) -> None:
    """Has some levels of a network computed again in the backward pass.

    Raises:
        InputError: If it has no such levels.
    """
    if levels and not hasattr(model, "recompute_levels"):
        raise InputError(f"config.compute.recompute_levels: {type(model).__name__} has no such levels; choose 0.")
    if levels:
        model.recompute_levels = levels  # type: ignore[assignment]


def _check_batch_norm(compute: ComputeConfig, *, ranks: Ranks) -> None:
    if ranks.world_size > 1 and ranks.device.type == "cpu":
        raise InputError(
            "config.model: batch normalisation over several processes needs GPUs (SyncBatchNorm); choose norm: layer, "
            "which needs no other window, or one process."
        )
    if ranks.world_size > 1 and compute.micro_batch:
        raise InputError(
            "config.compute.micro_batch: batch normalisation over several processes takes the windows of all of them "
            "at once; choose norm: layer or group, or null."
        )
    if compute.recompute_levels:
        raise InputError(
            "config.compute.recompute_levels: batch normalisation would count its statistics twice; choose norm: "
            "layer or group, or 0."
        )


def over_ranks(model: nn.Module, *, compute: ComputeConfig, ranks: Ranks, accumulates: bool) -> nn.Module:
    """The network as all ranks run it together; itself where there is one.

    Args:
        model: On its device.
        compute: How it is computed.
        ranks: The processes.
        accumulates: Whether steps have several backward passes; a graph that changes so is not a static one.
    """
    if compute.compile:
        model.compile()
    if ranks.world_size == 1 or compute.shard_weights:
        return model
    is_static = bool(getattr(model, "has_static_graph", False))
    return DistributedDataParallel(
        model,
        device_ids=[ranks.device] if ranks.device.type == "cuda" else None,
        bucket_cap_mb=bucket_mib(model),
        static_graph=is_static and not accumulates,
        find_unused_parameters=not is_static,
        gradient_as_bucket_view=True,
    )


def share_out(model: nn.Module, *, ranks: Ranks) -> None:
    """Leaves each rank its part of the weights; what a forward or backward pass needs is gathered, block by block.

    Args:
        model: With the same weights on all ranks, which have joined.
        ranks: The processes.
    """
    # Nothing here changes what a block returns in place, of which PyTorch warns.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(ranks.device.type, (ranks.world_size,))
    for blocks in [each for each in model.modules() if isinstance(each, nn.ModuleList)]:
        for block in blocks:
            fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def bucket_mib(model: nn.Module) -> float:
    """Size of the buckets that gradients travel in: a quarter of them, within bounds."""
    nbytes = sum(each.numel() * each.element_size() for each in model.parameters() if each.requires_grad)
    return min(MOST_BUCKET_MIB, max(LEAST_BUCKET_MIB, nbytes / BUCKETS / MIB))
