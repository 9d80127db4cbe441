"""A conversion to be timed: as the command that a user types, into a folder that is emptied before the next one."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "bench"


@dataclass(frozen=True)
class Target:
    """Where conversions go, one at a time.

    Attributes:
        folder: For the store, the catalog and telemetry, and nothing else.
    """

    folder: Path

    @property
    def store(self) -> Path:
        """The Zarr store."""
        return self.folder / f"{NAME}.zarr"

    @property
    def catalog(self) -> Path:
        """The folder of entries."""
        return self.folder / "catalog"

    @property
    def telemetry(self) -> Path:
        """JSON lines, where a command was told to write them."""
        return self.folder / "telemetry.jsonl"

    def arguments(self, source: Path | str, *options: str) -> list[str]:
        """What `python -m pipeline` is called with to convert a source."""
        place = ["--name", NAME, "--out", str(self.store), "--catalog", str(self.catalog)]
        return ["convert", str(source), *place, *options]

    def command(self, source: Path | str, *options: str) -> list[str]:
        """The whole command that converts a source."""
        return [sys.executable, "-m", "pipeline", *self.arguments(source, *options)]

    def clear(self) -> None:
        """Removes what the last conversion made."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def stored_nbytes(self) -> int:
        """Size of the store."""
        return sum(path.stat().st_size for path in self.store.rglob("*") if path.is_file())

    def closing_line(self) -> dict[str, Any]:
        """Totals of the last conversion, from the telemetry that it was told to write."""
        found: dict[str, Any] = json.loads(self.telemetry.read_text().splitlines()[-1])
        return found


def run(command: list[str], **settings: Any) -> None:
    """Runs a command; ends the program with what the command said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **settings)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stderr[-4000:]}")
