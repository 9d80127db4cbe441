"""Proof of what was fed: which window each slot took at each step, written by each rank, and judged afterwards.

    RUN/audit-RANK.jsonl    {"step": 17, "epoch": 0, "slots": [1, 3], "windows": [412, 90]}

A run that was resumed does some steps again, on other ranks perhaps: they have to be the same as before.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_catalog import InputError
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
        self._path = folder / f"audit-{rank}.jsonl"

    def write(self, step: int, *, epoch: int, slots: Indices, windows: Indices) -> None:
        """Adds one step."""
        line = {"step": step, "epoch": epoch, "slots": slots.tolist(), "windows": windows.tolist()}
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@dataclass(frozen=True)
class Audit:
    """What the files of a run come to.

    Attributes:
        steps: Steps fed to all slots.
        epochs: Whole epochs among them.
        windows: Windows fed, each as often as it was, steps that were done again counted once.
        ranks: Files found.
        left_out: Places that stayed empty, or took another window, since theirs could not be read.
    """

    steps: int
    epochs: int
    windows: int
    ranks: int
    left_out: int


def audit(folder: Path, *, order: Order) -> Audit:
    """Sees that every slot was fed what the order says, and every window of a whole epoch as often as planned.

    Args:
        folder: Of the run.
        order: What it should have been fed.

    Raises:
        InputError: At the first step that is not as it should be.
    """
    fed: dict[int, Indices] = {}
    files = sorted(folder.glob("audit-*.jsonl"))
    if not files:
        raise InputError(f"{folder} holds no audit: train with --set feed.audit=true.")
    faults = set(_faults(folder))
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            row = json.loads(line)
            windows = fed.setdefault(row["step"], np.full(order.batch_size, PADDING - 1))
            slots, taken = np.array(row["slots"]), np.array(row["windows"])
            before = windows[slots]
            if ((before >= PADDING) & (before != taken)).any():
                raise InputError(f"{path}, line {number}: step {row['step']} was fed other windows the second time.")
            windows[slots] = taken
    left_out = sum(_compare(step, windows, order=order, faults=faults) for step, windows in sorted(fed.items()))
    per_epoch = order.steps_per_epoch
    epochs = [epoch for epoch in range(1 + max(fed) // per_epoch) if _is_whole(fed, epoch, per_epoch)]
    for epoch in epochs if not left_out else []:
        _check_epoch(np.concatenate([fed[epoch * per_epoch + at] for at in range(per_epoch)]), epoch, order=order)
    windows_fed = sum(int(np.count_nonzero(windows >= 0)) for windows in fed.values())
    return Audit(len(fed), len(epochs), windows_fed, len(files), left_out)


def _faults(folder: Path) -> Iterator[tuple[int, int]]:
    for path in folder.glob("faults-*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
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


def _is_whole(fed: dict[int, Indices], epoch: int, per_epoch: int) -> bool:
    return all(epoch * per_epoch + place in fed for place in range(per_epoch))


def _check_epoch(windows: Indices, epoch: int, *, order: Order) -> None:
    times = np.bincount(windows[windows != PADDING], minlength=order.groups.window_count)
    wrong = np.flatnonzero(times != order.groups.times)
    if len(wrong):
        raise InputError(f"epoch {epoch}: window {wrong[0]} was fed {times[wrong[0]]} times.")
