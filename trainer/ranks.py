"""The processes of a run: one alone, or those that torchrun started."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor

from data_catalog import InputError

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    Attributes:
        rank: Its number.
        world_size: How many there are.
        local_rank: Its number on this machine.
        device: Where it computes.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    device: torch.device = CPU

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0


def ranks_from_environment() -> Ranks:
    """What torchrun says of this process; a run of one where there is no torchrun.

    Raises:
        InputError: If there are GPUs, but fewer than processes on this machine; on each of them.
    """
    ranks = ranks_of_environment()
    return replace(ranks, device=_device(ranks.local_rank))


def ranks_of_environment() -> Ranks:
    """The same, whatever devices there are."""
    local_rank, world_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return Ranks(rank=_rank(), world_size=world_size, local_rank=local_rank)


def is_first_process() -> bool:
    """Whether this process speaks for all, known before anything is judged."""
    return _rank() == 0


class OneRankError(InputError):
    """Wrong input that one rank has met on the way, so that it must speak for itself."""


@contextmanager
def joined(ranks: Ranks) -> Iterator[None]:
    """Joins the processes for as long as the block lasts: NCCL on GPUs, Gloo on CPUs; nothing for a run of one."""
    _share_cores()
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if ranks.world_size == 1:
        yield
        return
    dist.init_process_group("nccl" if ranks.device.type == "cuda" else "gloo")
    try:
        yield
    except InputError as error:
        raise OneRankError(f"rank {ranks.rank}: {error}") from error
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        sys.exit(f"error: rank {ranks.rank} has lost another rank, whose own message says why.")
    finally:
        dist.destroy_process_group()


def wait_for_all() -> None:
    """Returns when all ranks have come this far."""
    if dist.is_initialized():
        dist.barrier()


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum over all ranks, the same on each of them; no gradient."""
    total = tensor.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(total)
    return total


def differentiable_sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum over all ranks, whose gradient is that of this rank's own part.

    A loss made of such sums is the same number everywhere; the gradients of its weights, each rank's from its own
    samples, add up to the gradient of the loss of all samples together.
    """
    return _SumOverRanks.apply(tensor)  # type: ignore[no-any-return, no-untyped-call]


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        return sum_over_ranks(tensor)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return gradients[0]


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def local_world_size() -> int:
    """Processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return CPU
    gpus = torch.cuda.device_count()
    if local_world_size() > gpus:
        raise InputError(
            f"{local_world_size()} processes on this machine cannot share its GPUs, {gpus} found: one process takes "
            f"one. Start torchrun with --nproc-per-node {gpus}."
        )
    return torch.device("cuda", local_rank)


def _share_cores() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // local_world_size()))
