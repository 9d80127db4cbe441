"""Dress rehearsal: surveys of growing size through the whole conversion, with a scheduler and workers of their own.

Sources are computed as they are read (`rehearsal://`) and their samples compress to almost nothing, so that a survey of
any size fits any disk: `--size 750` is the full one. For each size: the plan, the conversion, its memory and its tasks;
then whether time grows as size does, and memory not at all. No step is left out: all headers are read into an index and
placed on the grid before any sample is (`--full-scan`), which a survey in such good order would do without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil
from call import CONSOLE, GB, parse_call
from conversion import Target, run
from dask_processes import dask_processes
from footprint import Footprint, Roles, watch, with_children
from rich.table import Table
from surveys import survey_of, url_of

from pipeline.work.cluster import THREADS

SAMPLES = 4096
"""Traces of 16.6 KB."""

WORKERS = 2
ROLES = ("scheduler", "client", "workers")


@dataclass(frozen=True)
class Rehearsal:
    """One survey's way.

    Attributes:
        nbytes: Size of its file.
        trace_count: Traces in it.
        plan_s: Seconds of the command that only plans.
        footprint: Seconds and memory of the conversion.
        shard_count: Shards written, each by one task.
        stored_nbytes: Size of the store.
    """

    nbytes: int
    trace_count: int
    plan_s: float
    footprint: Footprint
    shard_count: int
    stored_nbytes: int

    @property
    def size_gb(self) -> float:
        """GB of 10^9 bytes."""
        return self.nbytes / GB


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(5.0, 10.0, 20.0, 80.0))
    with call.place(room_nbytes=max(call.sizes) // 50) as place:
        rehearsals = [_rehearse(size, place.scratch / f"{number}") for number, size in enumerate(sorted(call.sizes))]
    _print_each(rehearsals)
    if len(rehearsals) > 1:
        _print_growth(rehearsals)


def _rehearse(nbytes: int, folder: Path) -> Rehearsal:
    survey = survey_of(nbytes, samples=SAMPLES)
    source = url_of(survey)
    target = Target(folder / "target")
    target.clear()
    with dask_processes(folder / "dask", workers=WORKERS) as dask:

        def roles(command: psutil.Process) -> Roles:
            workers = [process for worker in dask.workers for process in with_children(worker)]
            return {"client": with_children(command), "scheduler": with_children(dask.scheduler), "workers": workers}

        begun = perf_counter()
        run(target.command(source, "--plan", "--scheduler", THREADS))
        plan_s = perf_counter() - begun
        options = ("--scheduler", dask.address, "--full-scan", "--telemetry", str(target.telemetry))
        footprint = watch(target.command(source, *options), roles)
    shards, stored_nbytes = target.closing_line()["shards"], target.stored_nbytes()
    target.clear()
    return Rehearsal(survey.nbytes, survey.trace_count, plan_s, footprint, shards, stored_nbytes)


def _print_each(rehearsals: Sequence[Rehearsal]) -> None:
    table = Table(
        "GB",
        "traces",
        "shards = tasks",
        "plan, s",
        "convert, s",
        "GB a second",
        *(f"{role}, MiB" for role in ROLES),
        "store / source",
        title=f"dress rehearsal: traces of {SAMPLES} samples, scheduler, client and {WORKERS} workers in own processes",
        caption="whole commands; memory: greatest PSS of each role",
    )
    for each in rehearsals:
        table.add_row(
            f"{each.size_gb:.3g}",
            f"{each.trace_count:,}",
            f"{each.shard_count:,}",
            f"{each.plan_s:.1f}",
            f"{each.footprint.seconds:.1f}",
            f"{each.size_gb / each.footprint.seconds:.2f}",
            *(f"{each.footprint.mib(role):.0f}" for role in ROLES),
            f"{each.stored_nbytes / each.nbytes:.4f}",
        )
    CONSOLE.print(table)


def _print_growth(rehearsals: Sequence[Rehearsal]) -> None:
    sizes = np.array([each.size_gb for each in rehearsals])
    seconds = np.array([each.footprint.seconds for each in rehearsals])
    slope, intercept = np.polyfit(sizes, seconds, 1)
    worst = np.abs((slope * sizes + intercept) / seconds - 1).max()
    factor = sizes[-1] / sizes[0]
    table = Table("what", "found", title=f"growth over sizes {factor:.0f} times apart")
    table.add_row("straight line through the times", f"{slope:.2f} s a GB and {intercept:.1f} s")
    table.add_row("worst time against the line", f"{worst:.1%} off")
    table.add_row("time of the largest / of the smallest", f"{seconds[-1] / seconds[0]:.1f}")
    for role in ROLES:
        first, last = (each.footprint.mib(role) for each in (rehearsals[0], rehearsals[-1]))
        table.add_row(
            f"{role}: memory of the largest / of the smallest", f"{last / first:.2f} ({last - first:+.0f} MiB)"
        )
    CONSOLE.print(table)


if __name__ == "__main__":
    main()
