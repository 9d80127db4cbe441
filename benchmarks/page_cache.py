"""Files in the page cache, and out of it."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

READ_NBYTES = 8 * 2**20


def read_through(path: Path) -> None:
    """Reads a file from end to end into one buffer that is used again; then as much of it is cached as can be."""
    buffer = bytearray(READ_NBYTES)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def drop(path: Path) -> None:
    """Takes a file out of the page cache, once all of it is on the disk.

    What lies below (a hypervisor, a disk's own cache, a network file system's server) may still hold it.
    """
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached_share(path: Path) -> float | None:
    """Which share of a file is in the page cache; None where `fincore` (util-linux) is missing."""
    if shutil.which("fincore") is None:
        return None
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    resident = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(resident) / path.stat().st_size


def told(shares: Sequence[float | None]) -> str:
    """Several shares, in words."""
    known = [share for share in shares if share is not None]
    return f"{min(known):.0%} - {max(known):.0%}" if known else "unknown (no fincore)"
