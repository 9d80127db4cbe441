"""Memory of several processes together, while a command runs.

PSS (proportional set size, Linux) counts a page that several processes share once in all, so that sums make sense.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

POLL_S = 0.2
MIB = 2**20

Roles = Mapping[str, Sequence[psutil.Process]]
"""Processes by what they do."""


@dataclass
class Footprint:
    """How much memory a command and its helpers took.

    Attributes:
        seconds: How long it ran.
        peak: Greatest PSS of each role, in bytes, whenever that was.
        peak_total: Greatest PSS of all of them at one time.
    """

    seconds: float = 0.0
    peak: Counter[str] = field(default_factory=Counter)
    peak_total: int = 0

    def take(self, roles: Roles) -> None:
        """Looks at all processes once."""
        found = {role: sum(map(_pss, processes)) for role, processes in roles.items()}
        self.peak |= Counter(found)
        self.peak_total = max(self.peak_total, sum(found.values()))

    def mib(self, role: str) -> float:
        """Greatest PSS of a role in MiB."""
        return self.peak[role] / MIB

    @property
    def total_mib(self) -> float:
        """Greatest PSS of all in MiB."""
        return self.peak_total / MIB


def watch(command: list[str], roles: Callable[[psutil.Process], Roles]) -> Footprint:
    """Runs a command to its end and looks at its memory five times a second.

    Args:
        command: What to run; the program ends with what it said if it fails.
        roles: Says which processes to look at, given the command's own; asked each time, since processes come and go.
    """
    footprint = Footprint()
    with tempfile.TemporaryFile("w+") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output)
        own = psutil.Process(process.pid)
        try:
            while process.poll() is None:
                with suppress(psutil.NoSuchProcess):
                    footprint.take(roles(own))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_S)
        finally:
            process.kill()
            process.wait()
        footprint.seconds = time.perf_counter() - begun
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} failed with status {process.returncode}:\n{output.read()[-4000:]}")
    return footprint


def with_children(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started."""
    return [process, *process.children(recursive=True)]


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # it has ended meanwhile
        return 0
