"""Runs side by side: the best score of each, and what they are on average, as for the folds of a cross-validation."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from data_catalog import InputError
from trainer.report.run_files import read_run


def compared(folders: Sequence[Path]) -> Table:
    """A table of the metrics of whole splits at each run's best step; of several runs also mean and deviation.

    Args:
        folders: Of the runs.

    Raises:
        InputError: If one is no run's, or was never scored.
    """
    rows = {}
    for folder in folders:
        run = read_run(folder)
        metrics = {name: value for name, value in run.metrics(run.best_step).items() if "/" not in name}
        if not metrics:
            raise InputError(f"{folder} has no score of a validation split yet.")
        rows[folder, run.best_step] = metrics
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    table = Table("run", "step", *names, box=None, pad_edge=False)
    for (folder, step), metrics in rows.items():
        table.add_row(str(folder), str(step), *(_shown(metrics.get(name)) for name in names))
    if len(rows) > 1:
        table.add_section()
        table.add_row("mean ± standard deviation", "", *(_average(list(rows.values()), name) for name in names))
    return table


def _average(rows: Sequence[dict[str, float | None]], name: str) -> str:
    values = [value for row in rows if (value := row.get(name)) is not None]
    if len(values) < 2:
        return "–"
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
