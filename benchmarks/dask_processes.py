"""A Dask scheduler and workers as on a cluster, in processes of their own, reachable from this machine only."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from distributed import Client

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class DaskProcesses:
    """What was started.

    Attributes:
        address: What ``--scheduler`` takes.
        scheduler: Its process.
        workers: Their processes.
    """

    address: str
    scheduler: psutil.Process
    workers: tuple[psutil.Process, ...]


@contextmanager
def dask_processes(folder: Path, *, workers: int) -> Iterator[DaskProcesses]:
    """Starts a scheduler and single-threaded workers without nannies, and ends them.

    Args:
        folder: For what they log and keep.
        workers: How many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "dask.log"
    started: list[subprocess.Popen[bytes]] = []

    environment = os.environ | {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}  # as docs/clusters.md advises

    def start(*arguments: str) -> psutil.Process:
        command = [sys.executable, "-m", "dask", *arguments, "--host", LOOPBACK]
        with log.open("ab") as output:
            started.append(subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment))
        return psutil.Process(started[-1].pid)

    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    address = f"tcp://{LOOPBACK}:{port}"
    try:
        scheduler = start("scheduler", "--port", str(port), "--dashboard-address", f"{LOOPBACK}:0")
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))
        found = tuple(start("worker", address, *options) for _ in range(workers))
        try:
            with Client(address, timeout=START_TIMEOUT_S) as client:
                client.wait_for_workers(workers, timeout=START_TIMEOUT_S)
        except (OSError, TimeoutError):
            sys.exit(f"no Dask scheduler with {workers} workers came to be:\n{log.read_text()[-4000:]}")
        yield DaskProcesses(address, scheduler, found)
    finally:
        for process in started:  # at once: workers that are asked politely wait for a scheduler that may be gone
            process.kill()
        for process in started:
            process.wait()
