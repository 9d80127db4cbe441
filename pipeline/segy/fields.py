"""Where words lie in SEG-Y headers: tables after SEG-Y revision 2.1 (SEG, 2023), byte positions counted from 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT_HEADER_NBYTES = 3200
BINARY_HEADER_NBYTES = 400
FILE_HEADER_NBYTES = TEXT_HEADER_NBYTES + BINARY_HEADER_NBYTES
TRACE_HEADER_NBYTES = 240


@dataclass(frozen=True, slots=True)
class Field:
    """A header word.

    Attributes:
        first_byte: Position of its first byte, from 1: in the file for the binary header, in the trace header else.
        dtype: NumPy data type without byte order, e.g. ``i2``.
    """

    first_byte: int
    dtype: str

    @property
    def nbytes(self) -> int:
        """Width in bytes."""
        return np.dtype(self.dtype).itemsize


BINARY_FIELDS = {
    "sample_interval_us": Field(3217, "i2"),
    "sample_count": Field(3221, "u2"),
    "sample_format": Field(3225, "i2"),
    "measurement_system": Field(3255, "i2"),
    "extended_sample_count": Field(3269, "i4"),
    "revision_major": Field(3501, "u1"),
    "revision_minor": Field(3502, "u1"),
    "extended_text_header_count": Field(3505, "i2"),
    "extra_trace_header_count": Field(3507, "u2"),
    "trace_count": Field(3513, "u8"),
    "first_trace_offset": Field(3521, "u8"),
    "trailer_record_count": Field(3529, "i4"),
}

SECOND = 2
"""The revision that says more."""

EXTENDED_INTERVAL = Field(3273, "f8")
"""Sample interval in microseconds, from revision 2 on; 0 leaves it to the one of two bytes."""

BYTE_ORDER_CONSTANT = Field(3297, "i4")
BYTE_ORDERS = {0x01020304: "big", 0x04030201: "little", 0x02010403: "pairwise"}
"""What the constant of revision 2 reads as in big endian, by the order in which the file was written."""

TRACE_FIELDS = {
    "shot": Field(9, "i4"),
    "channel": Field(13, "i4"),
    "source_point": Field(17, "i4"),
    "cdp": Field(21, "i4"),
    "trace_identification": Field(29, "i2"),
    "offset": Field(37, "i4"),
    "coordinate_scalar": Field(71, "i2"),
    "source_x": Field(73, "i4"),
    "source_y": Field(77, "i4"),
    "receiver_x": Field(81, "i4"),
    "receiver_y": Field(85, "i4"),
    "coordinate_units": Field(89, "i2"),
    "delay_ms": Field(109, "i2"),
    "sample_count": Field(115, "u2"),
    "sample_interval_us": Field(117, "i2"),
    "year": Field(157, "i2"),
    "day_of_year": Field(159, "i2"),
    "hour": Field(161, "i2"),
    "minute": Field(163, "i2"),
    "second": Field(165, "i2"),
    "cdp_x": Field(181, "i4"),
    "cdp_y": Field(185, "i4"),
    "time_scalar": Field(215, "i2"),
    "inline": Field(189, "i4"),
    "crossline": Field(193, "i4"),
}

EXTENSION_SAMPLE_COUNT = Field(240 + 137, "u4")
"""In the first trace header extension of revision 2, samples of this trace."""


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """How one sample is written.

    Attributes:
        name: What people call it.
        nbytes: Width of a sample.
    """

    name: str
    nbytes: int


IBM, FIXED_POINT, IEEE = 1, 4, 5
"""Codes of the two formats that most files have, and of one that some only say they have."""

SAMPLE_FORMATS = {
    IBM: SampleFormat("4-byte IBM float", 4),
    2: SampleFormat("4-byte integer", 4),
    3: SampleFormat("2-byte integer", 2),
    FIXED_POINT: SampleFormat("4-byte fixed point with gain", 4),
    IEEE: SampleFormat("4-byte IEEE float", 4),
    6: SampleFormat("8-byte IEEE float", 8),
    7: SampleFormat("3-byte integer", 3),
    8: SampleFormat("1-byte integer", 1),
    9: SampleFormat("8-byte integer", 8),
    10: SampleFormat("4-byte unsigned integer", 4),
    11: SampleFormat("2-byte unsigned integer", 2),
    12: SampleFormat("8-byte unsigned integer", 8),
    15: SampleFormat("3-byte unsigned integer", 3),
    16: SampleFormat("1-byte unsigned integer", 1),
}
"""By the code in bytes 3225-3226; 13 and 14 are not in use."""


def read_words(headers: NDArray[np.uint8], field: Field, *, byte_order: str) -> NDArray[Any]:
    """Takes one word out of each header.

    Args:
        headers: uint8 (header, byte).
        field: Which word.
        byte_order: ``big`` or ``little``.

    Returns:
        (header), native.
    """
    first = field.first_byte - 1
    columns = np.ascontiguousarray(headers[:, first : first + field.nbytes])
    stored = np.dtype(field.dtype).newbyteorder(">" if byte_order == "big" else "<")
    return columns.view(stored)[:, 0].astype(field.dtype)
