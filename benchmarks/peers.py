"""Environments of their own for libraries that are measured against."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from call import CONSOLE


def install(folder: Path, requirements: Sequence[str]) -> Path | None:
    """Makes an environment, or uses it again.

    Args:
        folder: Where.
        requirements: What goes into it, as pip reads it.

    Returns:
        Its Python; None where something cannot be installed, which is said.
    """
    python = folder / "bin" / "python"
    make = [sys.executable, "-m", "venv", str(folder)]
    fill = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    for command in [fill] if python.exists() else [make, fill]:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-1000:]
            CONSOLE.print(f"{' '.join(requirements)}: not installed, nothing is compared: {said}", highlight=False)
            return None
    return python
