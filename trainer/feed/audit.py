"""Proof of what was fed: which window each slot took at each step, written by each rank, and judged afterwards.

    RUN/audit-RANK.jsonl    {"step": 17, "epoch": 0, "slots": [1, 3], "windows": [412, 90]}

A run that was resumed does some steps again, on other ranks perhaps: they have to be the same as before.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from data_catalog import InputError
from trainer.json_lines import JsonLines, read_lines
from trainer.plan.order import PADDING, Order
from trainer.plan.windows import Indices


class AuditFile:
    """Takes down what a rank is fed."""

    def __init__(self, folder: Path, *, rank: int) -> None:
        """Goes on with the file of that rank.

        Args:
            folder: Of the run.
            rank: Whose file.
        """
        self._lines = JsonLines(folder / f"audit-{rank}.jsonl")

    def write(self, step: int, *, epoch: int, slots: Indices, windows: Indices) -> None:
        """Adds one step."""
        self._lines.write({"step": step, "epoch": epoch, "slots": slots.tolist(), "windows": windows.tolist()})


class _Row(BaseModel):
    """One line of such a file."""

    step: int
    slots: list[int]
    windows: list[int]


@dataclass(frozen=True)
class Audit:
    """What the files of a run come to.

    Attributes:
        first_step: Where the files begin.
        steps: Steps fed to all slots, one after the other.
        epochs: Epochs all of whose windows were fed as often as planned.
        windows: Windows fed, each as often as it was, steps that were done again counted once.
        ranks: Files found.
        left_out: Places that stayed empty, or took another window, since theirs could not be read.
    """

    first_step: int
    steps: int
    epochs: int
    windows: int
    ranks: int
    left_out: int


def audit(folder: Path, *, order: Order, steps: int) -> Audit:
    """Sees that every slot was fed what the order says, and every window of a whole epoch as often as planned.

    Args:
        folder: Of the run.
        order: What it should have been fed.
        steps: That the run has done, as its checkpoint says.

    Raises:
        InputError: At the first step that is not as it should be.
    """
    files = sorted(folder.glob("audit-*.jsonl"))
    if not files:
        raise InputError(f"{folder} holds no audit: train with --set feed.audit=true.")
    fed, faults = _fed(files, batch_size=order.batch_size), set(_faults(folder))
    first = min(fed)
    if missing := sorted(set(range(first, max(max(fed) + 1, steps))) - fed.keys()):
        raise InputError(f"{folder}: no rank says what it was fed at step {missing[0]}.")
    left_out = {step: _compare(step, windows, order=order, faults=faults) for step, windows in fed.items()}
    per_epoch = order.steps_per_epoch
    epochs = [
        range(epoch * per_epoch, (epoch + 1) * per_epoch)
        for epoch in range(math.ceil(first / per_epoch), (max(fed) + 1) // per_epoch)
    ]
    complete = [epoch for epoch in epochs if not any(left_out[step] for step in epoch)]
    for epoch in complete:
        _check_epoch(np.concatenate([fed[step] for step in epoch]), epoch.start // per_epoch, order=order)
    windows_fed = sum(int(np.count_nonzero(windows >= 0)) for windows in fed.values())
    return Audit(first, len(fed), len(complete), windows_fed, len(files), sum(left_out.values()))


def _fed(files: Sequence[Path], *, batch_size: int) -> dict[int, Indices]:
    """The windows of all slots at each step; less than `PADDING` where no file tells."""
    fed: dict[int, Indices] = {}
    for path in files:
        for line in read_lines(path):  # what was cut short where the process ended counts as not told
            row = _Row.model_validate(line)
            windows = fed.setdefault(row.step, np.full(batch_size, PADDING - 1))
            slots, taken = np.array(row.slots), np.array(row.windows)
            before = windows[slots]
            if ((before >= PADDING) & (before != taken)).any():
                raise InputError(f"{path}: step {row.step} was fed other windows the second time.")
            windows[slots] = taken
    if not fed:
        raise InputError(f"{files[0].parent} holds an audit that says nothing.")
    return fed


def _faults(folder: Path) -> Iterator[tuple[int, int]]:
    for path in folder.glob("faults-*.jsonl"):
        for row in read_lines(path):
            if row["split"] is None:
                yield row["step"], row["window"]


def _compare(step: int, windows: Indices, *, order: Order, faults: set[tuple[int, int]]) -> int:
    """Places that do not hold their window because of a fault."""
    _, planned = order.batch(step)
    if missing := np.flatnonzero(windows < PADDING).tolist():
        raise InputError(f"step {step}: no rank was fed slot {missing[0]}.")
    other = np.flatnonzero(windows != planned).tolist()
    for slot in other:
        if (step, int(planned[slot])) not in faults:
            raise InputError(f"step {step}, slot {slot} was fed window {windows[slot]}, expected {planned[slot]}.")
    return len(other)


def _check_epoch(windows: Indices, epoch: int, *, order: Order) -> None:
    times = np.bincount(windows[windows != PADDING], minlength=order.groups.window_count)
    wrong = np.flatnonzero(times != order.groups.times)
    if len(wrong):
        raise InputError(f"epoch {epoch}: window {wrong[0]} was fed {times[wrong[0]]} times.")
