"""What the files of a run tell, be it at work, ended or killed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_catalog import InputError
from trainer.checkpoint import checkpoints, read_state
from trainer.config import Config
from trainer.config_file import read_config
from trainer.json_lines import read_lines

METRICS_FILE, STARTS_FILE, PICTURE_FILE = "metrics.jsonl", "starts.jsonl", "validation.png"

Row = dict[str, Any]
"""A line of ``metrics.jsonl``."""

NOT_METRICS = frozenset({"step", "split", "views"})
"""Keys of a row of scores that are no metrics."""


@dataclass(frozen=True)
class RunFiles:
    """What is known of a run.

    Attributes:
        folder: Its folder.
        config: What it was told.
        steps: What each step came to, by its number.
        scores: What each validation came to, by the step.
        starts: With what each part of it was started.
        best_step: Whose checkpoint has the best score; None where none was scored.
        left_out: Windows that could not be read.
        picture: PNG of the last validation; None where there is none.
    """

    folder: Path
    config: Config
    steps: dict[int, Row]
    scores: dict[int, Row]
    starts: list[Row]
    best_step: int | None
    left_out: int
    picture: bytes | None

    def metrics(self, step: int | None) -> dict[str, float | None]:
        """Metrics of a validation by name; None where one is not defined."""
        row = {} if step is None else self.scores.get(step, {})
        return {name: value for name, value in row.items() if name not in NOT_METRICS}


def read_run(folder: Path) -> RunFiles:
    """Reads them.

    Args:
        folder: That `fit` has written.

    Raises:
        InputError: If it is no run's.
    """
    if not (folder / "config.yaml").exists():
        raise InputError(f"{folder} holds no run: give the folder that `fit` wrote, its `out`.")
    rows = read_lines(folder / METRICS_FILE)
    last = next(iter(checkpoints(folder / "checkpoints")), None)
    picture = folder / PICTURE_FILE
    return RunFiles(
        folder=folder,
        config=read_config(folder / "config.yaml"),
        steps={row["step"]: row for row in rows if "loss" in row},
        scores={row["step"]: row for row in rows if "split" in row},
        starts=read_lines(folder / STARTS_FILE),
        best_step=None if last is None else read_state(last).best_step,
        left_out=sum(len(read_lines(path)) for path in folder.glob("faults-*.jsonl")),
        picture=picture.read_bytes() if picture.exists() else None,
    )
