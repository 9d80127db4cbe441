"""Bytes out of a file on any fsspec file system, traces as one matrix."""

from collections.abc import Iterator
from itertools import pairwise
from typing import cast

import fsspec
import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError


def file_nbytes(url: str) -> int:
    """Size of a file.

    Raises:
        InputError: If there is no such file.
    """
    try:
        filesystem, path = fsspec.url_to_fs(url)
        info = filesystem.info(path)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{url} cannot be opened ({_reason(error)}): check the path.") from None
    if info["type"] != "file":
        raise InputError(f"{url} is a folder; name the SEG-Y files in it.")
    return int(info["size"])


def read_bytes(url: str, start: int, nbytes: int) -> bytes:
    """At most ``nbytes`` from byte ``start`` on.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        with fsspec.open(url, "rb") as file:
            file.seek(start)
            return cast(bytes, file.read(nbytes))
    except OSError as error:
        raise InputError(f"{url} cannot be read ({_reason(error)}).") from None


def read_traces(
    url: str, trace_numbers: NDArray[np.int64], *, header_nbytes: int, trace_nbytes: int
) -> NDArray[np.uint8]:
    """Whole traces, each run of successive numbers in one read.

    Args:
        url: Path or fsspec URL.
        trace_numbers: int64, ascending, counted from 0 in this file.
        header_nbytes: Bytes before the first trace.
        trace_nbytes: Bytes from one trace to the next.

    Returns:
        uint8 (trace, byte), in the order asked for.

    Raises:
        InputError: If the file ends early or cannot be read.
    """
    traces = np.empty((trace_numbers.size, trace_nbytes), np.uint8)
    try:
        with fsspec.open(url, "rb") as file:
            for start, stop in _runs(trace_numbers):
                file.seek(header_nbytes + int(trace_numbers[start]) * trace_nbytes)
                target = traces[start:stop].reshape(-1).data
                if file.readinto(target) != target.nbytes:
                    raise InputError(
                        f"{url} ended in the middle of trace {int(trace_numbers[start])} or soon after: "
                        "it became shorter since it was opened."
                    )
    except OSError as error:
        raise InputError(
            f"{url} cannot be read ({_reason(error)}): it must be reachable from where the work is done."
        ) from None
    return traces


def _runs(numbers: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Half-open index ranges over which the numbers rise by one."""
    if numbers.size == 0:
        return
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    edges = [0, *breaks.tolist(), numbers.size]
    yield from pairwise(edges)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
