"""SEG-Y for data that never was SEG-Y: headers made from a dataset's dimensions and coordinates, SEG-Y revision 2."""

import sys
from math import prod

import numpy as np
from numpy.typing import NDArray

from data_catalog import Box, Entry, InputError, Variable
from pipeline.export.stored_traces import open_array
from pipeline.export.target import Target, replaced_when_complete
from pipeline.segy.fields import (
    BINARY_FIELDS,
    BINARY_HEADER_NBYTES,
    EXTENDED_INTERVAL,
    FILE_HEADER_NBYTES,
    IEEE,
    TEXT_HEADER_NBYTES,
    TRACE_FIELDS,
    TRACE_HEADER_NBYTES,
    Field,
)
from pipeline.work.progress import progress_bar

PART_NBYTES = 64 * 2**20
SCALAR = -100
"""Map coordinates are written in hundredths."""

_DEPTHS = ("depth", "z")
_WORDS = {name: field for name, field in TRACE_FIELDS.items() if name in {"inline", "crossline", "cdp", "offset"}} | {
    "shot": TRACE_FIELDS["shot"],
    "record": TRACE_FIELDS["shot"],
    "source": TRACE_FIELDS["shot"],
    "example": TRACE_FIELDS["shot"],
    "channel": TRACE_FIELDS["channel"],
    "receiver": TRACE_FIELDS["channel"],
    "component": TRACE_FIELDS["trace_identification"],
    "x": TRACE_FIELDS["cdp"],
}
"""Where labels of dimensions go."""

_POSITIONS = ("cdp_x", "cdp_y", "source_x", "source_y", "receiver_x", "receiver_y")


def write_fresh(entry: Entry, path: str, target: Target, *, box: Box) -> None:
    """Writes a variable, the last but all dimensions being traces, those of a slow one after another.

    Samples lie along the dimension of time or depth, wherever that is, else along the last one.

    Args:
        entry: The dataset.
        path: The variable.
        target: The file.
        box: What of it, in index space.

    Raises:
        InputError: If the variable has no trace dimensions.
    """
    variable = entry.all_variables()[path]
    if len(variable.dims) < 2:
        raise InputError(f"{path} has the dimensions {', '.join(variable.dims)}: traces and samples are two.")
    sample_dim = next((dim for dim in ("time", *_DEPTHS) if dim in variable.dims), variable.dims[-1])
    fresh = _Fresh(entry, variable, path, sample_dim, box)
    nbytes = FILE_HEADER_NBYTES + prod(fresh.trace_shape) * fresh.trace_nbytes
    with replaced_when_complete(target, nbytes) as file, progress_bar("export", total_nbytes=nbytes) as advance:
        file.write(fresh.file_header(), 0)
        offset = FILE_HEADER_NBYTES
        for start in range(0, fresh.trace_shape[0], fresh.rows_per_part):
            content = fresh.traces(start, min(start + fresh.rows_per_part, fresh.trace_shape[0]))
            file.write(content.data.cast("B"), offset)
            offset += content.nbytes
            advance(content.nbytes)


class _Fresh:
    def __init__(self, entry: Entry, variable: Variable, path: str, sample_dim: str, box: Box) -> None:
        self.entry = entry
        self.array = open_array(entry.url, path)
        self.sample_axis = variable.dims.index(sample_dim)
        self.sample_dim = sample_dim
        self.trace_dims = tuple(dim for dim in variable.dims if dim != sample_dim)
        sizes = dict(zip(variable.dims, variable.shape, strict=True))
        self.ranges = {dim: box.get(dim, (0, sizes[dim])) for dim in variable.dims}
        self.trace_shape = tuple(self.ranges[dim][1] - self.ranges[dim][0] for dim in self.trace_dims)
        self.sample_count = self.ranges[sample_dim][1] - self.ranges[sample_dim][0]
        self.trace_nbytes = TRACE_HEADER_NBYTES + 4 * self.sample_count
        row_nbytes = self.trace_nbytes * prod(self.trace_shape[1:])
        self.rows_per_part = max(1, PART_NBYTES // row_nbytes)
        labels = self._labels(sample_dim).astype(np.float64)
        self.first = float(labels[0])
        self.interval_us = 1000.0 * float(labels[1] - labels[0]) if labels.size > 1 else 0.0

    def file_header(self) -> bytes:
        """Text and binary header."""
        lines = {
            1: f"DATASET {self.entry.name}, MADE BY TRACEMILL; HEADERS WERE MADE FOR THIS EXPORT",
            2: f"DIMENSIONS {', '.join(self.trace_dims)}: {' x '.join(map(str, self.trace_shape))} TRACES",
            3: f"SAMPLES ALONG {self.sample_dim}: {self.sample_count}",
            5: "INLINE BYTES 189-192  CROSSLINE BYTES 193-196  CDP BYTES 21-24",
            6: "SHOT BYTES 9-12  CHANNEL BYTES 13-16  OFFSET BYTES 37-40",
            7: "CDP X BYTES 181-184  CDP Y BYTES 185-188, IN HUNDREDTHS",
            39: "SEG-Y REV2.0",
            40: "END TEXTUAL HEADER",
        }
        text = "".join(f"C{number:2d} {lines.get(number, '')[:76]:<76}" for number in range(1, 41))
        binary = np.zeros((1, BINARY_HEADER_NBYTES), np.uint8)
        is_whole = self.interval_us == round(self.interval_us) and self.interval_us < 2**15
        words = {
            "sample_interval_us": round(self.interval_us) if is_whole else 0,
            "sample_count": self.sample_count if self.sample_count < 2**16 else 0,
            "sample_format": IEEE,
            "measurement_system": 1,
            "extended_sample_count": self.sample_count,
            "revision_major": 2,
            "trace_count": prod(self.trace_shape),
        }
        for name, value in words.items():
            _put(binary, BINARY_FIELDS[name], value, origin=TEXT_HEADER_NBYTES)
        _put(binary, EXTENDED_INTERVAL, 0.0 if is_whole else self.interval_us, origin=TEXT_HEADER_NBYTES)
        _put(binary, Field(3503, "i2"), 1, origin=TEXT_HEADER_NBYTES)
        return text.encode("cp037", errors="replace") + binary.tobytes()

    def traces(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Headers and samples of some rows of the slowest dimension: uint8 (trace, byte)."""
        slow = self.trace_dims[0]
        where = {dim: slice(*bounds) for dim, bounds in self.ranges.items()}
        where[slow] = slice(self.ranges[slow][0] + start, self.ranges[slow][0] + stop)
        dims = [dim for axis, dim in enumerate(self._dims) if axis != self.sample_axis]
        block = np.moveaxis(np.asarray(self.array[tuple(where[dim] for dim in self._dims)]), self.sample_axis, -1)
        shape = block.shape[:-1]
        samples = np.ascontiguousarray(block.reshape(-1, self.sample_count), np.float32)
        headers = np.zeros((len(samples), TRACE_HEADER_NBYTES), np.uint8)
        first = start * prod(self.trace_shape[1:])
        _put(headers, Field(1, "i4"), first + 1 + np.arange(len(samples)))
        _put(headers, Field(5, "i4"), first + 1 + np.arange(len(samples)))
        _put(headers, Field(29, "i2"), 1)
        for axis, dim in enumerate(dims):
            if dim in _WORDS:
                labels = self._labels(dim)[where[dim].start - self.ranges[dim][0] :][: shape[axis]]
                spread = np.broadcast_to(np.expand_dims(labels, [a for a in range(len(shape)) if a != axis]), shape)
                if np.issubdtype(labels.dtype, np.number):
                    _put(headers, _WORDS[dim], np.rint(spread.reshape(-1)))
        self._put_positions(headers, dims, where)
        if self.sample_count < 2**16:
            _put(headers, TRACE_FIELDS["sample_count"], self.sample_count)
        if self.first == round(self.first) and abs(self.first) < 2**15:
            _put(headers, TRACE_FIELDS["delay_ms"], round(self.first))
        if self.interval_us == round(self.interval_us) and self.interval_us < 2**15:
            _put(headers, TRACE_FIELDS["sample_interval_us"], round(self.interval_us))
        words = samples.view(np.uint32)
        big = words.byteswap() if sys.byteorder == "little" else words
        return np.concatenate([headers, big.view(np.uint8)], axis=1)

    @property
    def _dims(self) -> tuple[str, ...]:
        dims = list(self.trace_dims)
        dims.insert(self.sample_axis, self.sample_dim)
        return tuple(dims)

    def _labels(self, dim: str) -> NDArray[np.generic]:
        first, stop = self.ranges[dim]
        if dim in self.entry.variables:
            return np.asarray(open_array(self.entry.url, dim)[first:stop])
        return np.arange(first, stop)

    def _put_positions(self, headers: NDArray[np.uint8], dims: list[str], where: dict[str, slice]) -> None:
        found = False
        for name in _POSITIONS:
            variable = self.entry.variables.get(name)
            if variable is not None and list(variable.dims) == dims:
                values = np.asarray(open_array(self.entry.url, name)[tuple(where[dim] for dim in dims)]).reshape(-1)
                values = np.nan_to_num(values.astype(np.float64)) * -SCALAR
                if np.abs(values).max(initial=0) < 2**31:
                    _put(headers, TRACE_FIELDS[name], np.rint(values))
                    found = True
        if found:
            _put(headers, TRACE_FIELDS["coordinate_scalar"], SCALAR)


def _put(headers: NDArray[np.uint8], field: Field, values: NDArray[np.generic] | float, *, origin: int = 0) -> None:
    """Writes a word into each header, big endian."""
    dtype = np.dtype(f">{field.dtype}")
    words = np.broadcast_to(np.asarray(values), (len(headers),)).astype(dtype)
    first = field.first_byte - 1 - origin
    headers[:, first : first + field.nbytes] = words.view(np.uint8).reshape(len(headers), field.nbytes)
