"""How fast examples come for a configuration, and whether a network of a given speed would have to wait for them.

The accelerator is simulated, as in MLPerf Storage: its steps take a given time, and it is idle whenever no batch is
there when it has done one. Like a GPU it is given the next step while it works on one.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from trainer.experiment import Experiment
from trainer.feed.examples import on_device
from trainer.feed.faulty_windows import FaultPolicy
from trainer.feed.feed import Feed
from trainer.plan.order import PADDING
from trainer.ranks import Ranks
from trainer.tasks.task import Batch

MB, MIB = 10**6, 2**20

ENOUGH_BUSY = 0.98

SHOWN = {
    "windows_per_s": ("speed", "windows/s, without the first batch"),
    "input_mb_per_s": ("input", "MB/s of samples as stored"),
    "step_s": ("simulated step", "s (--step-ms)"),
    "busy": ("accelerator busy", ""),
    "first_batch_s": ("first batch after", "s"),
    "readers": ("readers", ""),
    "amplification": ("each chunk was read", "times"),
    "planned_amplification": ("and will be in an epoch", "times at most"),
    "lanes": ("a batch is mixed from", "places in the order for each of its windows"),
    "groups": ("of", "groups of windows that share chunks"),
    "resident_mib": ("decoded chunks", "MiB at most"),
    "anonymous_mib": ("memory of the process", "MiB"),
    "steps": ("steps", ""),
    "windows": ("windows", "in all but the first"),
}
"""What each figure is called in the table, and its unit."""


class SimulatedAccelerator:
    """Takes a given time for each step, and has room for one more beside that which it works on."""

    def __init__(self, step_s: float) -> None:
        """Does nothing yet.

        Args:
            step_s: Seconds of a step.
        """
        self._step_s, self._free_at = step_s, 0.0

    def submit(self) -> None:
        """Gives it a step; returns when it begins that."""
        now = time.perf_counter()
        begins = max(now, self._free_at)
        self._free_at = begins + self._step_s
        time.sleep(begins - now)

    def finish(self) -> None:
        """Returns when all steps are done."""
        time.sleep(max(0.0, self._free_at - time.perf_counter()))


@dataclass(frozen=True)
class LoaderReport:
    """What the loader did; all figures are of this rank.

    Attributes:
        steps: Batches fed.
        windows: In them, the first batch aside.
        windows_per_s: Over the whole run, the first batch aside.
        input_mb_per_s: Samples of the input in them, MB/s as stored.
        amplification: Encoded bytes read over those of the distinct chunks that were touched.
        planned_amplification: Decoded bytes of a whole epoch over those of the chunks that it touches.
        step_s: Length of a simulated step.
        busy: Share of the time that the simulated accelerator worked.
        first_batch_s: From the call to the first batch, the dataset being open.
        readers: How chunks of the main dataset are read, for each variable: the reader that the self-test chose, first,
            and the others, with the time that each took for a chunk.
        lanes: Places that each window of a batch is taken from in turn.
        groups: Groups of windows in an epoch.
        resident_mib: Most memory taken for decoded chunks.
        anonymous_mib: Anonymous memory of the process at the end.
    """

    steps: int
    windows: int
    windows_per_s: float
    input_mb_per_s: float
    amplification: float
    planned_amplification: float
    step_s: float
    busy: float
    first_batch_s: float
    readers: dict[str, str]
    lanes: int
    groups: int
    resident_mib: float
    anonymous_mib: float


def bench_loader(experiment: Experiment, *, ranks: Ranks, steps: int, step_s: float) -> LoaderReport:
    """Feeds some steps as `fit` would, and throws them away.

    Args:
        experiment: Data and task; its network does nothing here.
        ranks: Which part of each batch is this process's.
        steps: How many; beyond an epoch the next one begins.
        step_s: What a network would take for a step.

    Raises:
        InputError: As `fit` would.
    """
    begun = time.perf_counter()
    readers = experiment.readers()
    examples = experiment.training_batches(readers, ranks=ranks)
    boxes, faults = readers[0].boxes, FaultPolicy(experiment.config.feed.faults, seed=0, record=None)
    counts_of_steps: list[int] = []
    accelerator = SimulatedAccelerator(step_s)
    with examples.feed(range(steps), faults=faults) as feed:
        batches = on_device(_counted(feed, into=counts_of_steps), device=ranks.device)
        next(batches)
        first_batch_s = time.perf_counter() - begun
        started = time.perf_counter()
        for _ in batches:
            accelerator.submit()
        accelerator.finish()
        elapsed = time.perf_counter() - started
    windows, counts, order = sum(counts_of_steps[1:]), boxes.counts, examples.order
    window_nbytes = int(np.prod(list(experiment.config.window.values()))) * experiment.main.stored.array.dtype.itemsize
    return LoaderReport(
        steps=steps,
        windows=windows,
        windows_per_s=windows / elapsed,
        input_mb_per_s=windows * window_nbytes / MB / elapsed,
        amplification=counts.encoded_nbytes / max(1, counts.distinct_nbytes),
        planned_amplification=examples.grouping.amplification,
        step_s=step_s,
        busy=step_s * (steps - 1) / elapsed,
        first_batch_s=first_batch_s,
        readers=readers[0].about,
        lanes=order.lanes,
        groups=len(order.groups.lengths),
        resident_mib=boxes.shelf.peak_nbytes / MIB,
        anonymous_mib=anonymous_nbytes() / MIB,
    )


def _counted(feed: Feed[Batch], *, into: list[int]) -> Iterator[Batch]:
    """Batches, and how many windows each of them holds."""
    while True:
        try:
            windows, batch = feed.next_step()
        except StopIteration:
            return
        into.append(int(np.count_nonzero(windows != PADDING)))
        yield batch


def print_report(report: LoaderReport, *, rank: int, console: Console) -> None:
    """Prints a report of one rank as a table."""
    table = Table("figure", "value", box=None, show_header=False, title=f"rank {rank}", title_justify="left")
    for name, (label, unit) in SHOWN.items():
        table.add_row(label, f"{_shown(name, report)} {unit}".strip())
    console.print(table)
    if report.step_s:
        waits = "hardly waits" if report.busy >= ENOUGH_BUSY else "waits"
        console.print(f"A network that takes {report.step_s:.3g} s for a step {waits} for batches.")


def _shown(name: str, report: LoaderReport) -> str:
    value = getattr(report, name)
    if name == "readers":
        return "\n".join(f"{part}: {about}" for part, about in value.items())
    if name == "busy":
        return f"{value:.1%}" if report.step_s else "give --step-ms"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def anonymous_nbytes() -> int:
    """Memory of this process that is no file's: what Linux calls RssAnon; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)
