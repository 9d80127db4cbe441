"""The processes of a run: one alone, or those that torchrun or srun started."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed.rendezvous import rendezvous

from data_catalog import InputError

CPU = torch.device("cpu")

EXIT_REQUEUE = 75
"""Exit status of work that was saved and may go on: EX_TEMPFAIL of sysexits.h, "try again later"."""

JOIN_TIMEOUT = timedelta(minutes=5)
"""How long ranks wait for each other at the start: imports from a busy file system take minutes."""


CONNECT_TIMEOUT = timedelta(seconds=5)
"""How long the first rank is tried where it was met before."""

MEETING_PLACE = "tracemill/meeting-place"

EXCHANGE_TIMEOUT = timedelta(days=1)
"""How long an exchange may wait for a rank: `fit` watches for late ones itself, and shares of a prediction differ."""


@dataclass(frozen=True)
class _Launcher:
    """Where a launcher says what it has started: names of variables in the environment."""

    rank: str
    world_size: str
    local_rank: str
    local_world_size: str


_LAUNCHERS = (
    _Launcher("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),  # torchrun; the first one that is there counts
    _Launcher("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),  # srun
)


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
    """What torchrun or srun says of this process; a run of one where there is neither.

    Raises:
        InputError: If there are GPUs, but fewer than processes on this machine; on each of them.
    """
    ranks = ranks_of_environment()
    return replace(ranks, device=_device(ranks.local_rank))


def ranks_of_environment() -> Ranks:
    """The same, whatever devices there are."""
    launcher = _launcher()
    if launcher is None:
        return Ranks()
    return Ranks(
        rank=int(os.environ[launcher.rank]),
        world_size=int(os.environ[launcher.world_size]),
        local_rank=int(os.environ.get(launcher.local_rank, "0")),
    )


def local_world_size() -> int:
    """Processes of the run on this machine."""
    launcher = _launcher()
    said = "" if launcher is None else os.environ.get(launcher.local_world_size, "")
    count = re.match(r"\d+", said)  # srun says 4(x2) of two machines with four each
    return int(count[0]) if count else 1


def is_first_process() -> bool:
    """Whether this process speaks for all, known before anything is judged."""
    return ranks_of_environment().is_first


class OneRankError(InputError):
    """Wrong input that one rank has met on the way, so that it must speak for itself."""


@contextmanager
def joined(ranks: Ranks) -> Iterator[Store | None]:
    """Joins the processes for as long as the block lasts: NCCL on GPUs, Gloo on CPUs; nothing for a run of one.

    Yields:
        A store that all of them reach; None for a run of one.
    """
    _share_cores()
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if ranks.world_size == 1:
        yield None
        return
    store = _join(ranks)
    try:
        yield store
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


def is_same_on_all_ranks(number: int, *, device: torch.device) -> bool:
    """Whether all ranks have the same number; all of them call this together."""
    bounds = torch.tensor([number, -number], dtype=torch.int64, device=device)
    if dist.is_initialized():
        dist.all_reduce(bounds, op=dist.ReduceOp.MAX)
    return bool(bounds[0] == -bounds[1])


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


def _launcher() -> _Launcher | None:
    found = (each for each in _LAUNCHERS if {each.rank, each.world_size} <= os.environ.keys())
    return next(found, None)


def _join(ranks: Ranks) -> Store:
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise InputError(
            f"{ranks.world_size} processes were started, and {' and '.join(missing)} does not say where they meet: set "
            "it to the machine of the first one, and to any free port, as docs/slurm.md does."
        )
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, *_ = next(rendezvous("env://", ranks.rank, ranks.world_size, timeout=JOIN_TIMEOUT))
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            store = _store_of_this_attempt(ranks, store)
        backend = "nccl" if ranks.device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=store, rank=ranks.rank, world_size=ranks.world_size, timeout=EXCHANGE_TIMEOUT
        )
        return PrefixStore("tracemill", store)
    except dist.DistError as error:
        raise OneRankError(
            f"rank {ranks.rank} of {ranks.world_size} does not meet the others at {where} (MASTER_ADDR:MASTER_PORT) "
            f"within {JOIN_TIMEOUT.total_seconds():.0f} s: see whether all were started, and whether that machine can "
            "be reached."
        ) from error


def _store_of_this_attempt(ranks: Ranks, launchers: Store) -> Store:
    """A store that the first rank keeps. torchrun's own outlives restarts, with the addresses of ranks that are gone.

    Args:
        ranks: The processes of the run.
        launchers: torchrun's; in it lies where the first rank is met, or was in an earlier attempt.
    """
    host, deadline_s = os.environ["MASTER_ADDR"], time.monotonic() + JOIN_TIMEOUT.total_seconds()
    if ranks.is_first:
        store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=JOIN_TIMEOUT)
        launchers.set(MEETING_PLACE, str(store.port))
        return store
    while True:
        port = int(launchers.get(MEETING_PLACE))
        try:
            store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=CONNECT_TIMEOUT)
        except dist.DistError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)
        else:
            store.set_timeout(JOIN_TIMEOUT)
            return store


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return CPU
    gpus, processes = torch.cuda.device_count(), local_world_size()
    if processes > gpus == 1 and _launcher() is _LAUNCHERS[1]:
        return torch.device("cuda", 0)  # srun lets each process see its own GPU alone
    if processes > gpus:
        raise InputError(
            f"{processes} processes on this machine cannot share its GPUs, {gpus} found: one process takes one. Start "
            f"torchrun with --nproc-per-node {gpus}."
        )
    return torch.device("cuda", local_rank)


def _share_cores() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // local_world_size()))
