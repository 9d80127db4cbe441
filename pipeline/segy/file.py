"""One file of traces as its headers and its size describe it: SEG-Y, or Seismic Unix."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.segy.byte_order import ByteOrder, stored_order, swap_pairs, word_order
from pipeline.segy.fields import (
    EXTENDED_INTERVAL,
    FILE_HEADER_NBYTES,
    FIXED_POINT,
    IBM,
    IEEE,
    SAMPLE_FORMATS,
    SECOND,
    TRACE_FIELDS,
    TRACE_HEADER_NBYTES,
    Field,
    SampleFormat,
)
from pipeline.segy.float_formats import likelier_format
from pipeline.segy.layouts import best_layout, end_of_traces, possible_layouts, read_binary_header, su_layouts
from pipeline.segy.opening import Layout, Opening, Reading
from pipeline.segy.read import read_bytes
from pipeline.segy.samples import from_bytes
from pipeline.segy.stanzas import layout_of

REVISIONS = {(0, 0), (1, 0), (2, 0), (2, 1)}

PROBED_TRACES = 16
"""Spread over a file, where samples have to tell what its headers do not."""

PROBED_NBYTES = 2**20
"""Of the samples of each."""

DEFAULT_INTERVAL_US = 4000
"""Taken where no header states a sample interval, as segyio does."""


@dataclass(frozen=True, slots=True)
class SegyFile:
    """One file, as its headers and its size describe it.

    Attributes:
        url: Path or fsspec URL.
        nbytes: Size of the file.
        format: SEG-Y or Seismic Unix.
        byte_order: Of headers and samples.
        revision: Major and minor, whatever the file says.
        format_code: Sample format code.
        stated_code: What the file says; the same, unless the samples are of another one.
        is_told_by_samples: Whether the samples say so themselves.
        sample_count: Samples a trace.
        sample_interval_us: Sample interval in microseconds (in millimetres or thousandths of feet for depth).
        header_nbytes: Bytes before the first trace.
        trace_header_nbytes: 240, and 240 more for each trace header extension.
        trace_count: Traces, with one that the file's end cuts off where that is salvaged.
        missing_nbytes: What the last trace lacks; read as zeros.
        tail_nbytes: Bytes behind the last trace.
        feet: Whether the measurement system is feet.
        trace_fields: Header words that the file itself places elsewhere than the standard does.
        oddities: What was contradictory and how it was decided.
    """

    url: str
    nbytes: int
    format: Literal["segy", "su"]
    byte_order: ByteOrder
    revision: tuple[int, int]
    format_code: int
    sample_count: int
    sample_interval_us: float
    header_nbytes: int
    trace_header_nbytes: int
    trace_count: int
    missing_nbytes: int = 0
    tail_nbytes: int = 0
    stated_code: int = 0
    is_told_by_samples: bool = False
    feet: bool = False
    trace_fields: dict[str, Field] = field(default_factory=dict)
    oddities: tuple[str, ...] = ()

    @property
    def sample_format(self) -> SampleFormat:
        """How a sample is written."""
        return SAMPLE_FORMATS[self.format_code]

    @property
    def trace_nbytes(self) -> int:
        """Bytes from one trace to the next."""
        return self.trace_header_nbytes + self.sample_count * self.sample_format.nbytes

    @property
    def word_order(self) -> Literal["big", "little"]:
        """Byte order of what was read, once pairs are swapped back."""
        return word_order(self.byte_order)

    @property
    def is_pair_swapped(self) -> bool:
        """Whether pairs have to be swapped back after reading."""
        return self.byte_order == "pairwise"

    @property
    def tail_start(self) -> int:
        """First of the bytes behind the last trace."""
        return self.nbytes - self.tail_nbytes


def open_segy(url: str, nbytes: int, reading: Reading | None = None) -> SegyFile:
    """Reads the file header and some trace headers.

    Args:
        url: Path or fsspec URL.
        nbytes: Size of the file.
        reading: What is known better than its headers say.

    Raises:
        InputError: If it is missing, empty, neither SEG-Y nor Seismic Unix, or holds no whole trace.
    """
    opening = Opening(url, nbytes, reading or Reading(), [])
    file_format = opening.reading.format
    if file_format == "su" or (file_format is None and url.lower().endswith(".su")):
        return _open_su(opening)
    try:
        return _open_segy(opening)
    except InputError:
        if file_format is None and _is_su(opening):
            return _open_su(opening)
        raise


def _open_segy(opening: Opening) -> SegyFile:
    url, nbytes, reading = opening.url, opening.nbytes, opening.reading
    if nbytes < FILE_HEADER_NBYTES + TRACE_HEADER_NBYTES:
        raise InputError(
            f"{url} has {nbytes} bytes; a SEG-Y file has 3600 bytes of file header and at least one trace: "
            "is it the right file, and was it copied whole?"
        )
    file_header = np.frombuffer(read_bytes(url, 0, FILE_HEADER_NBYTES), np.uint8).copy()
    words = read_binary_header(opening, file_header)
    layouts = possible_layouts(opening, words)
    layout = best_layout(opening, layouts, words)
    if (layout.header_nbytes, layout.sample_count) != (layouts[0].header_nbytes, layouts[0].sample_count):
        opening.oddities.append(
            f"the binary header does not fit the file's size; traces of {layout.sample_count} samples "
            f"from byte {layout.header_nbytes + 1} on do"
        )
    first_header = opening.trace_headers(layout, [0])
    _tell_contradictions(opening, layout, words, first_header)
    interval_us = _sample_interval_us(opening, words, first_header, _extended_interval(opening, file_header))
    format_code, is_told = _sample_format(opening, layout, words["sample_format"])
    trace_fields = _trace_fields(opening, layout)
    trace_count, missing_nbytes, tail_nbytes = end_of_traces(opening, layout, words, first_header)
    return SegyFile(
        url=url,
        nbytes=nbytes,
        format="segy",
        byte_order=opening.byte_order,
        revision=(words["revision_major"], words["revision_minor"]),
        format_code=format_code,
        sample_count=layout.sample_count,
        sample_interval_us=reading.sample_interval_us or interval_us,
        header_nbytes=layout.header_nbytes,
        trace_header_nbytes=layout.trace_header_nbytes,
        trace_count=trace_count,
        missing_nbytes=missing_nbytes,
        tail_nbytes=tail_nbytes,
        stated_code=words["sample_format"],
        is_told_by_samples=is_told,
        feet=words["measurement_system"] == 2,
        trace_fields=trace_fields,
        oddities=tuple(opening.oddities),
    )


def _tell_contradictions(
    opening: Opening, layout: Layout, words: dict[str, int], first_header: NDArray[np.uint8]
) -> None:
    """What headers say against each other, where something else decided."""
    revision = (words["revision_major"], words["revision_minor"])
    if revision not in REVISIONS:
        opening.oddities.append(f"bytes 3501-3502 state revision {revision[0]}.{revision[1]}, and there is none such")
    (count,) = opening.words(first_header, TRACE_FIELDS["sample_count"])
    if count not in {0, layout.sample_count % 2**16}:
        opening.oddities.append(
            f"the first trace header states {count} samples, and its trace has {layout.sample_count} by the file's size"
        )
    (interval,) = opening.words(first_header, TRACE_FIELDS["sample_interval_us"])
    if words["sample_interval_us"] > 0 and interval not in {0, words["sample_interval_us"]}:
        opening.oddities.append(
            f"the sample interval is {words['sample_interval_us']} in the binary header and {interval} in the first "
            "trace header; that of the binary header is taken"
        )


def _is_su(opening: Opening) -> bool:
    return opening.nbytes > TRACE_HEADER_NBYTES and any(
        layout.rest_nbytes == 0 for _, layout in su_layouts(opening) if layout.sample_count
    )


def _open_su(opening: Opening) -> SegyFile:
    """Seismic Unix: traces of 4-byte IEEE floats one after another, as big endian or as the machine wrote them."""
    if opening.nbytes <= TRACE_HEADER_NBYTES:
        raise InputError(
            f"{opening.url} has {opening.nbytes} bytes; a Seismic Unix file has at least one trace with a header of "
            "240 bytes: is it the right file, and was it copied whole?"
        )
    layouts = [found for found in su_layouts(opening) if found[1].trace_count > 0]
    if not layouts:
        raise InputError(
            f"{opening.url} is not Seismic Unix: bytes 115-116 of its first trace header should hold its sample count."
        )
    whole = [found for found in layouts if found[1].rest_nbytes == 0]
    opening.byte_order, layout = (whole or layouts)[0]
    first_header = opening.trace_headers(layout, [0])
    interval_us = _sample_interval_us(opening, {"sample_interval_us": 0}, first_header, 0.0, is_su=True)
    trace_count, missing_nbytes, tail_nbytes = end_of_traces(opening, layout, {}, first_header)
    return SegyFile(
        url=opening.url,
        nbytes=opening.nbytes,
        format="su",
        byte_order=opening.byte_order,
        revision=(0, 0),
        format_code=IEEE,
        sample_count=layout.sample_count,
        sample_interval_us=opening.reading.sample_interval_us or interval_us,
        header_nbytes=0,
        trace_header_nbytes=TRACE_HEADER_NBYTES,
        trace_count=trace_count,
        missing_nbytes=missing_nbytes,
        tail_nbytes=tail_nbytes,
        oddities=tuple(opening.oddities),
    )


def _extended_interval(opening: Opening, file_header: NDArray[np.uint8]) -> float:
    content = file_header[EXTENDED_INTERVAL.first_byte - 1 :][: EXTENDED_INTERVAL.nbytes].tobytes()
    value = float(np.frombuffer(content, f"{stored_order(opening.byte_order)}f8")[0])
    return value if np.isfinite(value) and 0 < value < 1e12 else 0.0


def _sample_interval_us(
    opening: Opening,
    words: dict[str, int],
    first_header: NDArray[np.uint8],
    extended: float,
    *,
    is_su: bool = False,
) -> float:
    (in_trace,) = opening.words(first_header, TRACE_FIELDS["sample_interval_us"])
    in_file = words["sample_interval_us"]
    if extended and words["revision_major"] == SECOND:
        return extended
    if in_file > 0:
        return float(in_file)
    if in_trace > 0:
        if not is_su:
            opening.oddities.append(
                "the binary header states no sample interval; the first trace header's is taken"
                if in_file == 0
                else f"the sample interval in the binary header is {in_file}; the first trace header's is taken"
            )
        return float(in_trace)
    if negative := in_file or in_trace:
        opening.oddities.append(
            f"the sample interval is {negative}, which is {negative % 2**16} microseconds as an unsigned number"
        )
        return float(negative % 2**16)
    opening.oddities.append(f"no header states a sample interval; {DEFAULT_INTERVAL_US} microseconds are assumed")
    return float(DEFAULT_INTERVAL_US)


def _sample_format(opening: Opening, layout: Layout, stated: int) -> tuple[int, bool]:
    """The stated format, unless the samples are of another one beyond doubt; and whether they tell."""
    if opening.reading.sample_format is not None or stated not in {IBM, FIXED_POINT, IEEE}:
        return stated, False
    words = _probed_words(opening, layout)
    first_bytes = words >> 24
    if stated == FIXED_POINT:
        if not first_bytes.any():
            return stated, False
        opening.oddities.append(
            "format 4 (fixed point with gain) is stated, and samples have bits in the byte that it leaves empty: they "
            "are read as 4-byte IEEE floats"
        )
        return IEEE, True
    found = likelier_format(words)
    if found is None or found == stated:
        return stated, found is not None
    opening.oddities.append(
        f"format {stated} ({SAMPLE_FORMATS[stated].name}) is stated, and the samples are {SAMPLE_FORMATS[found].name}s "
        f"by their bits, and are read so; sample_format: {stated} in a recipe insists"
    )
    return found, True


def _probed_words(opening: Opening, layout: Layout) -> NDArray[np.uint32]:
    parts = []
    nbytes = min(layout.sample_count * 4, PROBED_NBYTES)
    for trace in np.unique(np.linspace(0, layout.trace_count - 1, PROBED_TRACES).astype(int)).tolist():
        start = layout.header_nbytes + trace * layout.trace_nbytes + layout.trace_header_nbytes
        content = np.frombuffer(read_bytes(opening.url, start, nbytes), np.uint8).copy()[None]
        if opening.byte_order == "pairwise":
            swap_pairs(content, header_nbytes=0)
        parts.append(from_bytes(content, IEEE, word_order(opening.byte_order))[0])
    return np.concatenate(parts)


def _trace_fields(opening: Opening, layout: Layout) -> dict[str, Field]:
    if layout.header_nbytes <= FILE_HEADER_NBYTES:
        return {}
    text = read_bytes(opening.url, FILE_HEADER_NBYTES, layout.header_nbytes - FILE_HEADER_NBYTES)
    try:
        return layout_of(text) or {}
    except ValueError as error:
        opening.oddities.append(
            f"the layout of trace headers in the extended text headers is not used: {error}; words are where the "
            "standard has them"
        )
        return {}
