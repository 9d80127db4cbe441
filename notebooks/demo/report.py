"""The demo's closing table."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from commands import Step
from rich.console import Console
from rich.table import Table


def training_rates(run: Path) -> dict[str, str]:
    """Median rate of a run, and the share of its time in which it waited for data, from its ``metrics.jsonl``."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "windows_per_s" in line]
    rate, wait = (statistics.median(line[key] for line in steps) for key in ("windows_per_s", "wait"))
    return {"training": f"{rate:.0f} windows/s, of which waiting for data {wait:.1%} of the time"}


def print_report(results: dict[str, str], *, steps: Sequence[Step]) -> None:
    """Prints what was reached, and what each step took."""
    console = Console(highlight=False)
    taken = Table("step", "seconds", "largest process, MiB", title="what it took")
    for step in steps:
        taken.add_row(step.title, f"{step.wall_s:.0f}", f"{step.peak_mib:.0f}")
    taken.add_row("all", f"{sum(step.wall_s for step in steps):.0f}", f"{max(step.peak_mib for step in steps):.0f}")
    console.print(taken)
    reached = Table("figure", "value", title="what was reached")
    for name, value in results.items():
        reached.add_row(name, value)
    console.print(reached)
