"""Runs the project's own commands as a user would, and notes how long each took and how much memory it held."""

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One command that was run.

    Attributes:
        title: What it did.
        wall_s: Seconds from start to end.
        peak_mib: Largest resident memory of any one of its processes.
    """

    title: str
    wall_s: float
    peak_mib: float


@dataclass
class Commands:
    """Runs commands in order and remembers them.

    Attributes:
        catalog: Folder of the demo's own catalog.
        steps: What was run so far.
    """

    catalog: Path
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        print(f"$ export TRACEMILL_CATALOG={shlex.quote(str(self.catalog))}", flush=True)

    def run(self, title: str, *arguments: object, ranks: int = 0) -> float:
        """Runs ``python -m ARGUMENTS``, or the same under torchrun; ends the demo if the command fails.

        Args:
            title: What the command does, for the table.
            arguments: The module and its arguments.
            ranks: Number of torchrun's processes; 0 runs the module alone.

        Returns:
            Wall-clock seconds.
        """
        launcher = ["torch.distributed.run", "--nproc-per-node", str(ranks), "-m"] if ranks else []
        words = [*launcher, *map(str, arguments)]
        print(f"\n$ {'torchrun ' + shlex.join(words[1:]) if ranks else 'python -m ' + shlex.join(words)}", flush=True)
        begun = time.perf_counter()
        environment = os.environ | {"TRACEMILL_CATALOG": str(self.catalog)}
        if ranks:  # else torchrun says at length that it sets this itself
            environment |= {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // ranks))}
        process = subprocess.Popen([sys.executable, "-m", *words], env=environment)
        # The kernel's account of a process includes the children it waited for; its peak is that of the largest one.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(process.returncode)
        self.steps.append(Step(title, time.perf_counter() - begun, usage.ru_maxrss / 1024))
        return self.steps[-1].wall_s
