"""The shape of one SEG-Y file: byte order, formats, where traces begin, how many there are.

Headers contradict each other in real files, and the file's size decides: a reading is accepted only when it makes
the file a whole number of traces.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.segy.fields import (
    BINARY_FIELDS,
    END_OF_TEXT_STANZA,
    FILE_HEADER_NBYTES,
    FIXED_POINT,
    IEEE,
    SAMPLE_FORMATS,
    TEXT_HEADER_NBYTES,
    TRACE_FIELDS,
    TRACE_HEADER_NBYTES,
    SampleFormat,
    read_words,
)
from pipeline.segy.read import read_bytes

MAX_EXTENDED_TEXT_HEADERS = 1024

PROBED_TRACES = 16
"""Spread over a file, where samples have to tell what its headers do not."""

SEGYIO_INTERVAL_US = 4000
"""Taken where no header states a sample interval, as segyio does."""


@dataclass(frozen=True, slots=True)
class SegyFile:
    """One file, as its headers and its size describe it.

    Attributes:
        url: Path or fsspec URL.
        nbytes: Size of the file.
        byte_order: Of headers and samples.
        revision_major: 0, 1 or 2; whatever the file says.
        format_code: Sample format code.
        sample_count: Samples a trace.
        sample_interval_us: Sample interval in microseconds (in millimetres or thousandths of feet for depth).
        header_nbytes: Bytes before the first trace.
        trace_header_nbytes: 240, and 240 more for each trace header extension.
        trace_count: Whole traces.
        feet: Whether the measurement system is feet.
        oddities: What was contradictory and how it was decided.
    """

    url: str
    nbytes: int
    byte_order: Literal["big", "little"]
    revision_major: int
    format_code: int
    sample_count: int
    sample_interval_us: int
    header_nbytes: int
    trace_header_nbytes: int
    trace_count: int
    feet: bool
    oddities: tuple[str, ...]

    @property
    def sample_format(self) -> SampleFormat:
        """How a sample is written."""
        return SAMPLE_FORMATS[self.format_code]

    @property
    def trace_nbytes(self) -> int:
        """Bytes from one trace to the next."""
        return self.trace_header_nbytes + self.sample_count * self.sample_format.nbytes


@dataclass(frozen=True, slots=True)
class _Layout:
    header_nbytes: int
    trace_header_nbytes: int
    sample_count: int
    trace_count: int
    rest_nbytes: int


def open_segy(url: str, nbytes: int) -> SegyFile:
    """Reads the file header and the first trace header.

    Args:
        url: Path or fsspec URL.
        nbytes: Size of the file.

    Raises:
        InputError: If it is missing, empty, not SEG-Y, of a sample format that is not read, or truncated.
    """
    if nbytes < FILE_HEADER_NBYTES + TRACE_HEADER_NBYTES:
        raise InputError(
            f"{url} has {nbytes} bytes; a SEG-Y file has 3600 bytes of file header and at least one trace: "
            "is it the right file, and was it copied whole?"
        )
    file_header = np.frombuffer(read_bytes(url, 0, FILE_HEADER_NBYTES), np.uint8)
    byte_order, words = _binary_header(url, file_header)
    layouts = _possible_layouts(url, nbytes, words, byte_order)
    layout = next((layout for layout in layouts if layout.rest_nbytes == 0 and layout.trace_count > 0), None)
    if layout is None:
        raise _not_whole_traces(url, nbytes, layouts[0])
    first_header = _first_trace_header(url, layout.header_nbytes)
    interval_us, oddities = _sample_interval_us(words, first_header, byte_order)
    format_code = words["sample_format"]
    if format_code == FIXED_POINT and _has_first_bytes(url, layout, byte_order):
        format_code = IEEE
        oddities.append(
            "format 4 (fixed point with gain) is stated, and samples have bits in the byte that it leaves empty: they "
            "are read as 4-byte IEEE floats"
        )
    if layout != layouts[0]:
        oddities.append(
            f"the binary header does not fit the file's size; traces of {layout.sample_count} samples "
            f"from byte {layout.header_nbytes + 1} on do"
        )
    return SegyFile(
        url=url,
        nbytes=nbytes,
        byte_order=byte_order,
        revision_major=words["revision_major"],
        format_code=format_code,
        sample_count=layout.sample_count,
        sample_interval_us=interval_us,
        header_nbytes=layout.header_nbytes,
        trace_header_nbytes=layout.trace_header_nbytes,
        trace_count=layout.trace_count,
        feet=words["measurement_system"] == 2,
        oddities=tuple(oddities),
    )


def _binary_header(url: str, file_header: NDArray[np.uint8]) -> tuple[Literal["big", "little"], dict[str, int]]:
    """Byte order is the one in which the sample format code is a known one: none is a known one in both."""
    orders: tuple[Literal["big", "little"], ...] = ("big", "little")
    found = {}
    for byte_order in orders:
        words = {
            name: int(read_words(file_header[None], field, byte_order=byte_order)[0])
            for name, field in BINARY_FIELDS.items()
        }
        code = found[byte_order] = words["sample_format"]
        if code in SAMPLE_FORMATS:
            return byte_order, words
    raise InputError(
        f"{url} is not SEG-Y: bytes 3225-3226 should hold a sample format code from 1 to 16, and hold "
        f"{found['big']} (big endian) or {found['little']} (little endian)."
    )


def _possible_layouts(url: str, nbytes: int, words: dict[str, int], byte_order: str) -> list[_Layout]:
    """What the headers may mean, the most literal reading first.

    Extended text headers are tried in revision 0 too, which does not know them: such files exist, and so do revision-0
    files with other things in those bytes.
    """
    layouts = []
    sample_nbytes = SAMPLE_FORMATS[words["sample_format"]].nbytes
    text_header_counts = _distinct(_extended_text_header_count(url, nbytes, words), 0)
    for count, trace_header_nbytes in product(
        text_header_counts, _distinct(_trace_header_nbytes(words), TRACE_HEADER_NBYTES)
    ):
        header_nbytes = FILE_HEADER_NBYTES + count * TEXT_HEADER_NBYTES
        if header_nbytes + trace_header_nbytes <= nbytes:
            for sample_count in _sample_counts(url, header_nbytes, words, byte_order):
                trace_count, rest = divmod(nbytes - header_nbytes, trace_header_nbytes + sample_count * sample_nbytes)
                layouts.append(_Layout(header_nbytes, trace_header_nbytes, sample_count, trace_count, rest))
    if not layouts:
        raise InputError(f"{url} states no sample count: neither bytes 3221-3222 nor 115-116 of the first trace do.")
    return layouts


def _extended_text_header_count(url: str, nbytes: int, words: dict[str, int]) -> int:
    """The stated count, or, for -1, the count found by reading up to the end-of-text stanza."""
    count = words["extended_text_header_count"]
    if count != -1:
        return count if 0 <= count <= MAX_EXTENDED_TEXT_HEADERS else 0
    for index in range(min(MAX_EXTENDED_TEXT_HEADERS, (nbytes - FILE_HEADER_NBYTES) // TEXT_HEADER_NBYTES)):
        record = read_bytes(url, FILE_HEADER_NBYTES + index * TEXT_HEADER_NBYTES, TEXT_HEADER_NBYTES)
        for encoding in ("ascii", "cp037"):
            if END_OF_TEXT_STANZA in record.decode(encoding, errors="replace").replace(" ", "").upper():
                return index + 1
    if words["revision_major"] == 0:
        return 0
    raise InputError(
        f"{url} says that its extended text headers go on to an ((SEG: EndText)) stanza (bytes 3505-3506 are -1), "
        "and has none; where its traces begin cannot be told."
    )


def _trace_header_nbytes(words: dict[str, int]) -> int:
    extra = words["extra_trace_header_count"] if words["revision_major"] >= 2 else 0
    return TRACE_HEADER_NBYTES * (1 + extra) if 0 < extra <= 64 else TRACE_HEADER_NBYTES


def _sample_counts(url: str, header_nbytes: int, words: dict[str, int], byte_order: str) -> list[int]:
    """Candidates for the samples a trace, the most trusted first."""
    first_header = _first_trace_header(url, header_nbytes)
    in_trace_header = int(read_words(first_header, TRACE_FIELDS["sample_count"], byte_order=byte_order)[0])
    extended = words["extended_sample_count"] if words["revision_major"] >= 2 else 0
    return [count for count in _distinct(extended, words["sample_count"], in_trace_header) if count > 0]


def _first_trace_header(url: str, header_nbytes: int) -> NDArray[np.uint8]:
    header = np.frombuffer(read_bytes(url, header_nbytes, TRACE_HEADER_NBYTES), np.uint8)
    if header.size < TRACE_HEADER_NBYTES:
        raise InputError(f"{url} ends before its first trace, which its headers place at byte {header_nbytes + 1}.")
    return header[None]


def _has_first_bytes(url: str, layout: _Layout, byte_order: str) -> bool:
    """Whether the first bytes of 4-byte samples hold anything, in traces here and there."""
    first = 0 if byte_order == "big" else 3
    trace_nbytes = layout.trace_header_nbytes + layout.sample_count * 4
    for trace in np.unique(np.linspace(0, layout.trace_count - 1, PROBED_TRACES).astype(int)).tolist():
        start = layout.header_nbytes + trace * trace_nbytes + layout.trace_header_nbytes
        if any(read_bytes(url, start, layout.sample_count * 4)[first::4]):
            return True
    return False


def _sample_interval_us(
    words: dict[str, int], first_header: NDArray[np.uint8], byte_order: str
) -> tuple[int, list[str]]:
    in_trace_header = int(read_words(first_header, TRACE_FIELDS["sample_interval_us"], byte_order=byte_order)[0])
    if words["sample_interval_us"] > 0:
        return words["sample_interval_us"], []
    if in_trace_header > 0:
        return in_trace_header, ["the binary header states no sample interval; the first trace header's is taken"]
    return SEGYIO_INTERVAL_US, [f"no header states a sample interval; {SEGYIO_INTERVAL_US} microseconds are assumed"]


def _not_whole_traces(url: str, nbytes: int, layout: _Layout) -> InputError:
    return InputError(
        f"{url} is truncated or its headers are wrong: {layout.sample_count} samples a trace make "
        f"{layout.trace_count} whole traces, and {layout.rest_nbytes} of its {nbytes} bytes are left over. "
        "Copy the file again, or correct the sample count in bytes 3221-3222."
    )


def _distinct(*values: int) -> list[int]:
    return list(dict.fromkeys(values))
