"""Where the time of some steps goes: a trace by PyTorch's profiler, for each rank."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from trainer.ranks import Ranks

WARM_UP = 3
"""Steps that are passed over: memory is allocated, kernels are chosen or compiled."""

MOST_ROWS = 20


class Profile(Protocol):
    """Is told of each step."""

    def step(self) -> None:
        """A step is over."""


class _NoProfile:
    def step(self) -> None:
        """Does nothing."""


@contextmanager
def profiled(folder: Path, *, ranks: Ranks, steps: int) -> Iterator[Profile]:
    """Traces some steps, after `WARM_UP` others, into ``profile/rank-R.json.gz`` of a run's folder.

    Chrome's ``about:tracing`` and https://ui.perfetto.dev show such a trace; ``rank-R.txt`` beside it lists the
    operations that took longest.

    Args:
        folder: Of the run.
        ranks: Tells rank and device.
        steps: How many; 0 traces nothing.

    Yields:
        What is to be told of each step.
    """
    if not steps:
        yield _NoProfile()
        return
    place = folder / "profile"
    place.mkdir(exist_ok=True)
    on_gpu = ranks.device.type == "cuda"
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"

    def write(found: "profile") -> None:
        found.export_chrome_trace(str(place / f"rank-{ranks.rank}.json.gz"))
        table = found.key_averages().table(sort_by=order, row_limit=MOST_ROWS)
        (place / f"rank-{ranks.rank}.txt").write_text(table, encoding="utf-8")

    with profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])],
        schedule=schedule(wait=0, warmup=WARM_UP, active=steps, repeat=1),
        on_trace_ready=write,
    ) as profiler:
        yield profiler
    if torch.cuda.is_available():
        torch.cuda.synchronize()
