"""The page: one file that needs no network, made with Jinja2 and matplotlib."""

import base64
import io
import math
import statistics
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import yaml
from jinja2 import Environment, FileSystemLoader

from data_catalog.storage import write_atomically
from trainer.report.run_files import RunFiles, read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REPORT_FILE = "report.html"

MOST_POINTS = 1000
"""Of a curve: of more, neighbours are averaged."""

SMOOTH = 50
"""The thick line of a loss is a mean over this part of the curve, backwards."""

INK, LINE, MARK = "#7d8590", "#3b82c4", "#d97a28"
"""Colours that can be read on white and on black."""

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Steps, and what there was at each."""


def write_report(folder: Path) -> Path:
    """Writes ``report.html`` into a run's folder.

    Args:
        folder: That `fit` has written.

    Returns:
        The file.

    Raises:
        InputError: If it is no run's.
    """
    run = read_run(folder)
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    environment.filters |= {"figure": _figure_text, "moment": _moment}
    text = environment.get_template("page.html.j2").render(
        run=run,
        title=folder.resolve().name,
        about=_about(run),
        curves=[_svg(draw, run) for draw in (_draw_loss, _draw_scores) if draw is not _draw_scores or run.scores],
        overall=_overall(run),
        classes=_by_class(run),
        picture=None if run.picture is None else base64.b64encode(run.picture).decode(),
        last_scored=max(run.scores, default=None),
        settings=yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False),
    )
    path = folder / REPORT_FILE
    write_atomically(path, text)
    return path


def _about(run: RunFiles) -> dict[str, str]:
    """What stands at the top, by its name."""
    config, done = run.config, max(run.steps, default=0)
    rates = [row["windows_per_s"] for row in run.steps.values()]
    planned = f"{config.steps} steps" if config.steps else f"{config.epochs} epochs"
    about = {
        "dataset": ", ".join(each.name for each in (config.dataset, *config.more_datasets)),
        "learned": f"{config.task.name} by {config.model.name}",
        "steps": f"{done}, planned {planned}, of {config.batch_size} windows",
    }
    if run.starts:
        last = run.starts[-1]
        times = "once" if len(run.starts) == 1 else f"{len(run.starts)} times"
        about["machine"] = f"{last['ranks']} × {last['device']}, started {times}"
    if rates:
        waits = statistics.median(row["wait"] for row in run.steps.values())
        memory = max(row["memory_gib"] for row in run.steps.values())
        about["speed"] = f"{_figure_text(statistics.median(rates))} windows/s, of which {waits:.1%} waiting for batches"
        about["memory"] = f"{memory:.2f} GiB at most"
    if skipped := sum("skipped" in row for row in run.steps.values()):
        about["skipped"] = f"{skipped} steps without a finite gradient"
    if run.left_out:
        about["left out"] = f"{run.left_out} windows that could not be read"
    return about


def _overall(run: RunFiles) -> list[tuple[str, float | None, float | None]]:
    """Name, best and last of each metric of a whole split."""
    best, last = run.metrics(run.best_step), run.metrics(max(run.scores, default=None))
    return [(name, best.get(name), value) for name, value in last.items() if "/" not in name]


def _by_class(run: RunFiles) -> dict[str, dict[str, float | None]]:
    """Metrics of each class at the best step, or at the last one, by their names."""
    found: dict[str, dict[str, float | None]] = {}
    for path, value in (run.metrics(run.best_step) or run.metrics(max(run.scores, default=None))).items():
        metric, slash, name = path.partition("/")
        if slash:
            found.setdefault(name, {})[metric] = value
    return found


def _svg(draw: Callable[["Axes", RunFiles], None], run: RunFiles) -> str:
    from matplotlib import rc_context  # here: a run shall not wait for it at its start
    from matplotlib.figure import Figure

    with rc_context(
        {
            "svg.fonttype": "none",
            "font.size": 10,
            "font.family": "sans-serif",
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    ):
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        axes = figure.subplots()
        draw(axes, run)
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True)
    return text.getvalue().partition("?>")[2].partition(">")[2]  # without XML's own first lines


def _draw_loss(axes: "Axes", run: RunFiles) -> None:
    steps, losses = _averaged([(step, row["loss"]) for step, row in sorted(run.steps.items())])
    axes.set_ylabel("loss")
    if not len(steps):
        return
    axes.plot(steps, losses, color=LINE, linewidth=0.7, alpha=0.45)
    axes.plot(*_smoothed(steps, losses), color=LINE, linewidth=1.8)
    if losses.min() > 0 and losses.max() > 10 * losses.min():
        axes.set_yscale("log")
    rates = axes.twinx()
    rates.plot(
        *_averaged([(step, row["learning_rate"]) for step, row in sorted(run.steps.items())]),
        color=INK,
        linewidth=1,
        linestyle=":",
    )
    rates.set_ylabel("learning rate (dotted)")
    rates.set_ylim(bottom=0)
    rates.spines[["top"]].set_visible(False)


def _draw_scores(axes: "Axes", run: RunFiles) -> None:
    last = run.metrics(max(run.scores))
    steps = sorted(run.scores)
    for name in [name for name in last if "/" not in name]:
        values = [run.scores[step].get(name) for step in steps]
        axes.plot(steps, [math.nan if value is None else value for value in values], marker=".", label=name)
    if run.best_step is not None:
        axes.axvline(run.best_step, color=MARK, linewidth=1, linestyle="--", label="best")
    axes.set_ylabel(f"{run.scores[steps[-1]]['split']}")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def _averaged(points: Sequence[tuple[int, float | None]]) -> Curve:
    """A curve of at most `MOST_POINTS`, without what is not finite."""
    known = np.array([point for point in points if point[1] is not None], dtype=np.float64).reshape(-1, 2)
    parts = np.array_split(known, min(len(known), MOST_POINTS)) if len(known) else []
    means = np.array([part.mean(axis=0) for part in parts]).reshape(-1, 2)
    return means[:, 0], means[:, 1]


def _smoothed(steps: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Curve:
    width = max(1, len(values) // SMOOTH)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return steps, (sums[ends] - sums[starts]) / (ends - starts)


def _figure_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M %Z}"
