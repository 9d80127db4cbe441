"""Trace headers out of files that are mostly samples: mapped, streamed, or asked for one by one.

What the page cache holds of a local file is mapped, so that samples are not touched. What it does not hold is streamed:
a disk hands out all of it either way, and the kernel caches what is read in large pieces, which costs whoever reads it
next much less than the single pages that faults bring in.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from functools import partial

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from pipeline.segy.byte_order import swap_pairs
from pipeline.segy.fields import TRACE_HEADER_NBYTES
from pipeline.segy.file import SegyFile
from pipeline.segy.read import fill, read_into, shorter, source_errors

WINDOW_NBYTES = 32 * 2**20
"""Mapped or streamed at a time: what is mapped counts as memory of the process until it is let go."""

NEAR_NBYTES = 2**20
"""Streamed at a time from a local file: the processor's cache holds it until its headers are taken."""

LONG_TRACE_NBYTES = 2**20
"""From here on a request for each header costs less than the samples between them."""

HEADERS_PER_REQUEST = 256
"""Single headers that are asked for side by side."""

Headers = NDArray[np.uint8]

Read = Callable[[int, list[memoryview]], None]
"""Fills buffers with the bytes of a file from an offset on."""


def read_headers(file: SegyFile, start: int, stop: int) -> Iterator[Headers]:
    """Reads the headers of a range of traces.

    Args:
        file: Where they are.
        start: Number of the first trace in the file.
        stop: The one after the last.

    Yields:
        uint8 (trace, header byte), traces in the order of the file, and of each header the standard's 240 bytes without
        extensions. The array may be used again for what comes next.

    Raises:
        InputError: If the file ends early.
        SourceError: If it cannot be read.
    """
    for headers in _as_stored(file, start, stop):
        if file.is_pair_swapped:
            swap_pairs(headers, header_nbytes=TRACE_HEADER_NBYTES)
        yield headers


def _as_stored(file: SegyFile, start: int, stop: int) -> Iterator[Headers]:
    filesystem, _ = fsspec.url_to_fs(file.url)
    if isinstance(filesystem, LocalFileSystem):
        yield from _read_local(file, start, stop)
    elif file.trace_nbytes > LONG_TRACE_NBYTES:
        yield from _request_each(file, start, stop)
    else:
        yield from _stream(file, start, stop, partial(read_into, file.url), WINDOW_NBYTES)


def _read_local(file: SegyFile, start: int, stop: int) -> Iterator[Headers]:
    per_window = max(1, WINDOW_NBYTES // file.trace_nbytes)
    with source_errors(file.url), open(LocalFileSystem._strip_protocol(file.url), "rb") as opened:
        descriptor = opened.fileno()
        for begin, end in _ranges(start, stop, per_window):
            if (nbytes := os.fstat(descriptor).st_size) < min(_offset(file, end), file.nbytes):
                raise shorter(file.url, nbytes)
            if file.trace_nbytes > LONG_TRACE_NBYTES or _is_cached(descriptor, _offset(file, end - 1)):
                yield _mapped(file, descriptor, begin, end)
            else:
                yield from _stream(file, begin, end, partial(_fill, file, descriptor), NEAR_NBYTES)


def _is_cached(descriptor: int, offset: int) -> bool:
    """Whether the page cache holds a byte of a file; where the system does not tell, it is taken for no."""
    try:
        return os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except (AttributeError, OSError):  # macOS has no such flag, some file systems refuse it
        return False


def _mapped(file: SegyFile, descriptor: int, begin: int, end: int) -> Headers:
    headers = np.empty((end - begin, TRACE_HEADER_NBYTES), np.uint8)
    first = _offset(file, begin)
    before = first % mmap.ALLOCATIONGRANULARITY
    length = _offset(file, end - 1) + TRACE_HEADER_NBYTES - first + before  # the last trace may be cut off
    with mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=first - before) as memory:
        strides = (file.trace_nbytes, 1)
        headers[...] = np.ndarray(headers.shape, np.uint8, buffer=memory, offset=before, strides=strides)
    return headers


def _stream(file: SegyFile, start: int, stop: int, read: Read, window_nbytes: int) -> Iterator[Headers]:
    per_window = max(1, window_nbytes // file.trace_nbytes)
    traces = np.empty((min(per_window, stop - start), file.trace_nbytes), np.uint8)
    for begin, end in _ranges(start, stop, per_window):
        window = traces[: end - begin]
        first = _offset(file, begin)
        read(first, [memoryview(window.data).cast("B")[: file.nbytes - first]])
        yield window[:, :TRACE_HEADER_NBYTES]


def _fill(file: SegyFile, descriptor: int, offset: int, pieces: list[memoryview]) -> None:
    found = fill(descriptor, offset, pieces)
    if found < sum(piece.nbytes for piece in pieces):
        raise shorter(file.url, offset + found)


def _request_each(file: SegyFile, start: int, stop: int) -> Iterator[Headers]:
    filesystem, path = fsspec.url_to_fs(file.url)
    for begin, end in _ranges(start, stop, HEADERS_PER_REQUEST):
        starts = [_offset(file, trace) for trace in range(begin, end)]
        ends = [first + TRACE_HEADER_NBYTES for first in starts]
        with source_errors(file.url):
            found = filesystem.cat_ranges([path] * len(starts), starts, ends, on_error="raise")
        if len(found[-1]) < TRACE_HEADER_NBYTES:
            raise shorter(file.url, starts[-1] + len(found[-1]))
        yield np.frombuffer(bytearray(b"".join(found)), np.uint8).reshape(-1, TRACE_HEADER_NBYTES)


def _ranges(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    for begin in range(start, stop, step):
        yield begin, min(begin + step, stop)


def _offset(file: SegyFile, trace: int) -> int:
    return file.header_nbytes + trace * file.trace_nbytes
