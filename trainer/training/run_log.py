"""What a run says of itself: ``metrics.jsonl``, its trackers, and a line on the terminal. One rank keeps it."""

import json
import math
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from data_catalog.storage import write_atomically
from trainer.json_lines import JsonLines, read_lines
from trainer.report.run_files import METRICS_FILE, PICTURE_FILE
from trainer.training.learner import StepOutcome
from trainer.training.prospects import peak_nbytes
from trainer.training.scoring import Scores
from trainer.training.trackers import Picture, Trackers

SECONDS_BETWEEN_LINES = 10.0
GIB = 2**30


class RunLog:
    """Writes as the run goes; use it in a ``with``."""

    def __init__(self, folder: Path, *, trackers: Trackers, first_step: int, steps: int, batch_size: int) -> None:
        """Begins or goes on.

        Args:
            folder: Of the run.
            trackers: Are told as well.
            first_step: After which this part of the run begins; what an earlier part said of later ones goes.
            steps: Of the whole run.
            batch_size: Windows of a step.
        """
        self._folder, self._trackers = folder, trackers
        self._steps, self._batch_size = steps, batch_size
        self._first_step, self._waited_s = first_step, 0.0
        self._begun_s = self._since_s = time.perf_counter()
        _cut_back(folder / METRICS_FILE, step=first_step)
        self._lines = JsonLines(folder / METRICS_FILE)
        self._last_line_s = -math.inf
        self._progress = _progress()
        if self._progress is not None:
            self._progress.start()
            self._bar = self._progress.add_task("", total=steps, completed=first_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._trackers.close()

    def step(self, step: int, outcome: StepOutcome, *, learning_rate: float, waited_s: float) -> None:
        """Notes one step.

        Args:
            step: Counted from 1 when done.
            outcome: What it came to.
            learning_rate: That it was taken with.
            waited_s: Seconds that the run has waited for batches so far.
        """
        now_s = time.perf_counter()
        step_s = now_s - self._since_s
        values = {
            "loss": outcome.loss,
            "gradient_norm": outcome.gradient_norm,
            "learning_rate": learning_rate,
            "windows_per_s": self._batch_size / step_s,
            "wait": (waited_s - self._waited_s) / step_s,
            "memory_gib": peak_nbytes() / GIB,
        }
        self._since_s, self._waited_s = now_s, waited_s
        self._lines.write({"step": step, **values, **({"skipped": True} if outcome.skipped else {})})
        self._trackers.numbers(step, {f"step/{name}": value for name, value in values.items()})
        about = (
            f"loss {values['loss']:.4f}  {values['windows_per_s']:.1f} windows/s  waits {values['wait']:.0%}  "
            f"{values['memory_gib']:.1f} GiB"
        )
        if self._progress is not None:
            self._progress.update(self._bar, completed=step, description=about)
        elif time.monotonic() - self._last_line_s > SECONDS_BETWEEN_LINES or step == self._steps:
            self._last_line_s = time.monotonic()
            left = timedelta(seconds=round((self._steps - step) * (now_s - self._begun_s) / (step - self._first_step)))
            print(f"step {step}/{self._steps}  {about}  {left} left", flush=True)

    def scores(self, step: int, *, split: str, scores: Scores) -> None:
        """Notes the metrics of a split, and shows the picture's views side by side."""
        from matplotlib.image import imsave  # here: a run shall not wait for it at its start

        metrics, views = scores.metrics, list(scores.picture)
        picture = side_by_side(scores.picture)
        self._lines.write({"step": step, "split": split, "views": views, **metrics})
        imsave(self._folder / PICTURE_FILE, picture, cmap="gray", vmin=0, vmax=1)
        self._trackers.numbers(step, {f"{split}/{name}": value for name, value in metrics.items()})
        self._trackers.picture(step, f"{split}: {', '.join(views)}", picture)
        overall = {name: value for name, value in metrics.items() if "/" not in name}  # those of classes are written
        print(f"step {step}  {split}: {described(overall)}", flush=True)
        self._since_s = time.perf_counter()


def described(metrics: dict[str, float]) -> str:
    """Metrics on one line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def side_by_side(views: dict[str, Tensor]) -> Picture:
    """Grey views next to each other, samples down; of a volume its middle section. Classes have one scale for all."""
    classes = [int(view.max()) for view in views.values() if not view.is_floating_point()]
    most = max(1, *classes) if classes else 1
    return np.concatenate([_grey(view, most_class=most) for view in views.values()], axis=1)


def _cut_back(metrics: Path, *, step: int) -> None:
    lines = read_lines(metrics)
    kept = [line for line in lines if line["step"] <= step]
    if len(kept) < len(lines):
        write_atomically(metrics, "".join(json.dumps(line) + "\n" for line in kept))


def _grey(view: Tensor, *, most_class: int) -> Picture:
    while view.dim() > 2:
        view = view[len(view) // 2]
    grey = view.float().cpu().numpy().T
    if not view.is_floating_point():
        return np.asarray(grey / most_class, dtype=np.float32)
    low, high = grey.min(), grey.max()
    return (grey - low) / (high - low) if high > low else np.zeros_like(grey)


def _progress() -> Progress | None:
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        return None
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    return Progress(*columns, console=console)
