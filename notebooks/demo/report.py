"""The demo's closing table."""

from collections.abc import Sequence

from commands import Step
from rich.console import Console
from rich.table import Table


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
