"""Which process this is, and whether another one still runs: what tells a killed writer from a working one."""

import getpass
import os
import socket
from pathlib import Path

STATE_FIELD, START_TIME_FIELD = 3, 22
"""Places in ``/proc/PID/stat``, counted from 1 (proc_pid_stat(5))."""

ENDED_STATES = {"Z", "X"}
"""Zombie and dead: the process runs no more, its parent has not asked yet how it ended."""


def machine() -> str:
    """What process numbers are unique in: one boot of one kernel, and one namespace of process numbers in it.

    Machines that share a name differ in it, and so do containers that share a machine. Where there is no ``/proc`` it
    is the host's name.
    """
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot_id} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def user() -> str:
    """Name of the user, or the number where it has no name, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def start_time_ticks(pid: int) -> int | None:
    """When a process of this machine started, in clock ticks since boot; None where that cannot be known."""
    fields = _stat_fields(pid)
    return int(fields[START_TIME_FIELD - STATE_FIELD]) if fields else None


def is_running(pid: int, *, start_time: int | None) -> bool | None:
    """Whether a process of this machine still runs.

    Args:
        pid: Its number.
        start_time: Its start, in clock ticks since boot: a number that was given to another process has another one.

    Returns:
        None where this machine cannot tell.
    """
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process: it exists
    fields = _stat_fields(pid)
    if fields is None or start_time is None:
        return None
    return fields[0] not in ENDED_STATES and start_time_ticks(pid) == start_time


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of ``/proc/PID/stat`` from the state on; the command's name before them may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
