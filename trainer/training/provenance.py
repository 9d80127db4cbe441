"""What each part of a run was started with, so that it can be told later: ``starts.jsonl`` in its folder.

{"step": 0, "at": "2026-01-31T08:00:00+00:00", "command": [...], "ranks": 8, "device": "NVIDIA H100", "plan": "5e…",
 "git": "0a1b2c…, changed", "packages": {"torch": "2.13.0", ...}}
"""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from trainer.json_lines import JsonLines
from trainer.training.beginning import Run

PACKAGES = ("tracemill", "torch", "zarr", "numcodecs", "numpy")


def note_start(run: Run) -> None:
    """Adds a line about this start."""
    device = run.ranks.device
    line = {
        "step": run.state.step,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "ranks": run.ranks.world_size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU",
        "plan": run.training.order.digest,
        "git": git_revision(Path(__file__).parents[1]),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
    }
    JsonLines(run.experiment.config.out / "starts.jsonl").write(line)


def git_revision(folder: Path) -> str | None:
    """Of the sources in a folder, and whether they have changed since; None where they are under no version control."""
    try:
        _git("ls-files", "--error-unmatch", "__init__.py", folder=folder)  # else it only lies inside another's tree
        revision = _git("rev-parse", "HEAD", folder=folder)
        return f"{revision}, changed" if _git("status", "--porcelain", "--", ".", folder=folder) else revision
    except (OSError, subprocess.CalledProcessError):
        return None


def package_version(name: str) -> str | None:
    """Of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
