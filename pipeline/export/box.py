"""A part of a dataset as a file of its own: which traces and samples, and the header words that tell of them."""

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import Box, Entry, InputError, Source
from pipeline.export.stored_traces import TraceReader, open_array
from pipeline.segy.byte_order import pairs_in_order, stored_order, word_order
from pipeline.segy.fields import (
    BINARY_FIELDS,
    BINARY_HEADER_NBYTES,
    FILE_HEADER_NBYTES,
    SECOND,
    TEXT_HEADER_NBYTES,
    TRACE_FIELDS,
    Field,
    read_words,
)

_INT16_LIMIT = 2**15
_UINT16_LIMIT = 2**16


def parse_box(text: str | None, entry: Entry) -> Box:
    """A box in labels as one in index space.

    Args:
        text: ``DIM:FIRST:LAST``, both included, several joined by commas; None for everything.
        entry: The dataset.

    Raises:
        InputError: If it names no dimension of the traces, or holds no label.
    """
    box: Box = {}
    dims = entry.variables[entry.main_variable].dims
    for part in text.split(",") if text else ():
        dim, *bounds = part.split(":")
        try:
            first, last = map(float, bounds)
        except ValueError:
            raise InputError(f"--box {part} is not DIM:FIRST:LAST with labels of the dimension.") from None
        if dim not in dims or dim in box:
            raise InputError(f"--box {part}: {dim} is no dimension, or named twice; there are {', '.join(dims)}.")
        labels = np.asarray(zarr.open_array(f"{entry.url}/{dim}", mode="r")[:])
        inside = np.flatnonzero((labels >= first) & (labels <= last))
        if not inside.size:
            raise InputError(f"--box {part} is empty: {dim} goes from {labels[0]:g} to {labels[-1]:g}.")
        box[dim] = (int(inside[0]), int(inside[-1]) + 1)
    return box


def cut_header(header: NDArray[np.uint8], reader: TraceReader, source: Source, trace_count: int) -> NDArray[np.uint8]:
    """A file header that states how many samples and traces there are; for Seismic Unix there is none."""
    if header.size < FILE_HEADER_NBYTES:
        return header
    found = header.copy()
    binary = found[None, TEXT_HEADER_NBYTES : TEXT_HEADER_NBYTES + BINARY_HEADER_NBYTES]
    with pairs_in_order(binary, source.byte_order, header_nbytes=BINARY_HEADER_NBYTES):
        count = sample_count(reader)
        is_second = bool(binary[0, BINARY_FIELDS["revision_major"].first_byte - 1 - TEXT_HEADER_NBYTES] == SECOND)
        if count >= _UINT16_LIMIT and not is_second:
            raise InputError(f"{count} samples are more than this revision of SEG-Y can state: cut the box in time.")
        words = {"sample_count": count if count < _UINT16_LIMIT else 0}
        if is_second:
            words |= {"extended_sample_count": count, "trace_count": trace_count, "trailer_record_count": 0}
        for name, value in words.items():
            field = BINARY_FIELDS[name]
            moved = Field(field.first_byte - TEXT_HEADER_NBYTES, field.dtype)
            if name == "sample_count" or _word(binary, moved, source).any():  # what was not stated stays so
                _write_word(binary, moved, np.array([value]), source)
    return found


def cut_trace_headers(content: NDArray[np.uint8], reader: TraceReader, source: Source) -> None:
    """Makes trace headers state how many samples there are, and when they begin, in place.

    Raises:
        InputError: If header words cannot say it.
    """
    if reader.dims[-1] not in reader.box:
        return
    header_nbytes = reader.trace_header.shape[-1]
    headers = content[:, :header_nbytes]
    with pairs_in_order(headers, source.byte_order, header_nbytes=header_nbytes):
        count = sample_count(reader)
        _write_word(headers, TRACE_FIELDS["sample_count"], np.array([count if count < _UINT16_LIMIT else 0]), source)
        labels = open_array(reader.url, reader.dims[-1])
        later = float(labels[reader.sample_range.start]) - float(labels[0])  # type: ignore[arg-type]
        scalars = _word(headers, TRACE_FIELDS["time_scalar"], source)
        factors = np.where(scalars > 0, 1 / np.maximum(scalars, 1), np.where(scalars < 0, np.abs(scalars), 1))
        delays = _word(headers, TRACE_FIELDS["delay_ms"], source) + later * factors
        if (delays != np.rint(delays)).any() or (np.abs(delays) >= _INT16_LIMIT).any():
            raise InputError(
                f"the box begins {later:g} after the first sample, which bytes 109-110 cannot say: let it begin at a "
                "whole number below 32768."
            )
        _write_word(headers, TRACE_FIELDS["delay_ms"], np.rint(delays).astype(np.int64), source)


def sample_count(reader: TraceReader) -> int:
    """Samples of a trace of the box."""
    return int(reader.sample_range.stop - reader.sample_range.start)


def _word(headers: NDArray[np.uint8], field: Field, source: Source) -> NDArray[np.int64]:
    order = word_order(source.byte_order)
    return np.asarray(read_words(headers, field, byte_order=order), np.int64)


def _write_word(headers: NDArray[np.uint8], field: Field, values: NDArray[np.int64], source: Source) -> None:
    dtype = np.dtype(f"{stored_order(source.byte_order)}{field.dtype}")
    words = np.broadcast_to(values, len(headers)).astype(dtype)
    first = field.first_byte - 1
    headers[:, first : first + field.nbytes] = words.view(np.uint8).reshape(len(headers), field.nbytes)
