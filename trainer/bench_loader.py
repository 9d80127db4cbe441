"""How fast examples come for a configuration, and whether a network of a given speed would have to wait for them.

The accelerator is simulated, as in MLPerf Storage: its steps take a given time, and it is idle whenever no batch is
there when it has done one. Like a GPU it is given the next step while it works on one.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from trainer.experiment import Experiment
from trainer.feed.examples import on_device
from trainer.feed.faulty_windows import FaultPolicy
from trainer.ranks import Ranks

MB, MIB = 10**6, 2**20

UNITS = {
    "windows_per_s": "windows/s",
    "input_mb_per_s": "MB/s",
    "busy": "%",
    "step_s": "s",
    "first_batch_s": "s",
    "readers": "",
    "amplification": "times the chunks that were touched",
    "planned_amplification": "times, over a whole epoch",
    "lanes": "for each window of a batch",
    "groups": "of windows",
    "resident_mib": "MiB of decoded chunks at most",
    "anonymous_mib": "MiB of the process in all",
    "steps": "",
    "windows": "",
}
LABELS = {
    "windows_per_s": "speed",
    "input_mb_per_s": "input",
    "busy": "accelerator busy",
    "step_s": "simulated step",
    "first_batch_s": "first batch after",
    "readers": "readers, time for a chunk",
    "amplification": "read",
    "planned_amplification": "planned to read",
    "resident_mib": "resident",
    "anonymous_mib": "anonymous memory",
}


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
    windows, accelerator = 0, SimulatedAccelerator(step_s)
    with examples.feed(range(steps), faults=faults) as feed:
        batches = on_device(feed, device=ranks.device)
        next(batches)
        first_batch_s = time.perf_counter() - begun
        started = time.perf_counter()
        for batch in batches:
            windows += len(batch.input)
            accelerator.submit()
        accelerator.finish()
        elapsed = time.perf_counter() - started
    counts, order = boxes.counts, examples.order
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


def print_report(report: LoaderReport, *, console: Console) -> None:
    """Prints a report as a table."""
    table = Table("figure", "value", box=None, show_header=False)
    for name, unit in UNITS.items():
        table.add_row(LABELS.get(name, name), _shown(getattr(report, name), unit))
    console.print(table)


def _shown(value: float | dict[str, str], unit: str) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}: {about}" for name, about in value.items())
    if unit == "%":
        return f"{value:.0%}"
    return (f"{value} {unit}" if isinstance(value, int) else f"{value:.4g} {unit}").strip()


def anonymous_nbytes() -> int:
    """Memory of this process that is no file's: what Linux calls RssAnon; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)
