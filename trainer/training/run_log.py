"""What a run says of itself: ``metrics.jsonl``, TensorBoard, and a line on the terminal. One rank keeps it."""

import json
import math
import resource
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from trainer.training.learner import StepOutcome
from trainer.training.scoring import Scores

SECONDS_BETWEEN_LINES = 10.0
GIB = 2**30


class RunLog:
    """Writes as the run goes; use it in a ``with``."""

    def __init__(self, folder: Path, *, first_step: int, steps: int, batch_size: int) -> None:
        """Begins or goes on.

        Args:
            folder: Of the run.
            first_step: Where this part of the run begins.
            steps: Of the whole run.
            batch_size: Windows of a step.
        """
        self._steps, self._batch_size = steps, batch_size
        self._first_step, self._waited_s = first_step, 0.0
        self._begun_s = self._since_s = time.perf_counter()
        self._lines = open(folder / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 (closed in __exit__)
        self._board = SummaryWriter(folder / "tensorboard", purge_step=first_step)
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
        self._board.close()
        self._lines.close()

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
            "memory_gib": _peak_nbytes() / GIB,
        }
        self._since_s, self._waited_s = now_s, waited_s
        self._write({"step": step, **values, **({"skipped": True} if outcome.skipped else {})})
        for name, value in values.items():
            self._board.add_scalar(f"step/{name}", value, step)
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
        metrics, picture = scores.metrics, scores.picture
        self._write({"step": step, "split": split, **metrics})
        for name, value in metrics.items():
            self._board.add_scalar(f"{split}/{name}", value, step)
        self._board.add_image(f"{split}: {', '.join(picture)}", side_by_side(picture), step, dataformats="HW")
        overall = {name: value for name, value in metrics.items() if "/" not in name}  # those of classes are written
        print(f"step {step}  {split}: {described(overall)}", flush=True)
        self._since_s = time.perf_counter()

    def _write(self, values: dict[str, Any]) -> None:
        json_values = {key: None if value != value else value for key, value in values.items()}  # JSON has no NaN
        self._lines.write(json.dumps(json_values) + "\n")
        self._lines.flush()


def _peak_nbytes() -> int:
    """Most memory so far: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib if sys.platform == "darwin" else 1024 * kib


def described(metrics: dict[str, float]) -> str:
    """Metrics on one line."""
    return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def side_by_side(views: dict[str, Tensor]) -> Tensor:
    """Grey views next to each other, (row, column) in 0 to 1, samples down; of a volume its middle section."""
    return torch.cat([_grey(view) for view in views.values()], dim=1)


def _grey(view: Tensor) -> Tensor:
    while view.dim() > 2:
        view = view[len(view) // 2]
    view = view.float().cpu().T
    low, high = view.min(), view.max()
    return (view - low) / (high - low) if high > low else torch.zeros_like(view)


def _progress() -> Progress | None:
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        return None
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    return Progress(*columns, console=console)
