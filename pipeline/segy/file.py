"""The shape of one file of traces: byte order, formats, where traces begin, how many there are.

Headers contradict each other in real files, and the file's size decides: of all that the headers may mean, the first
reading is taken that makes the file a whole number of traces. Where none does, the file was cut off, or has something
behind its traces, and the reading is taken that finds most headers where it expects them.
"""

from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator
from pydantic import Field as PydanticField

from data_catalog import InputError
from data_catalog.schema import Model
from pipeline.segy.byte_order import ByteOrder, stored_order, swap_pairs, word_order
from pipeline.segy.fields import (
    BINARY_FIELDS,
    BYTE_ORDER_CONSTANT,
    BYTE_ORDERS,
    EXTENDED_INTERVAL,
    EXTENSION_SAMPLE_COUNT,
    FILE_HEADER_NBYTES,
    FIXED_POINT,
    IBM,
    IEEE,
    SAMPLE_FORMATS,
    TEXT_HEADER_NBYTES,
    TRACE_FIELDS,
    TRACE_HEADER_NBYTES,
    Field,
    SampleFormat,
    read_words,
)
from pipeline.segy.float_formats import likelier_format
from pipeline.segy.read import read_bytes
from pipeline.segy.samples import from_bytes
from pipeline.segy.stanzas import MAX_TEXT_HEADERS, begins_stanza, count_to_end, layout_of

MAX_EXTRA_TRACE_HEADERS = 64
REVISIONS = {(0, 0), (1, 0), (2, 0), (2, 1)}
SECOND = 2
"""The revision that says more."""

PROBED_TRACES = 16
"""Spread over a file, where samples have to tell what its headers do not."""

PROBED_NBYTES = 2**20
"""Of the samples of each."""

DEFAULT_INTERVAL_US = 4000
"""Taken where no header states a sample interval, as segyio does."""

Truncated = Literal["salvage", "drop", "fail"]
"""What becomes of a trace that the file's end cuts off."""


def _format_code(code: int) -> int:
    if code not in SAMPLE_FORMATS:
        raise ValueError(f"a sample format is one of {', '.join(map(str, SAMPLE_FORMATS))}")
    return code


class Reading(Model):
    """How a file is to be read, where its headers do not say it or say it wrongly. None leaves a thing to them.

    Attributes:
        format: ``segy``, or ``su`` for Seismic Unix: traces alone, without a file header.
        byte_order: Of headers and samples.
        sample_format: Code of the sample format.
        sample_count: Samples a trace.
        sample_interval_us: Sample interval in microseconds, or thousandths of the depth's unit.
        truncated: What becomes of a trace that the file's end cuts off: ``salvage`` fills it up with zeros, ``drop``
            keeps its bytes for the export alone, ``fail`` refuses the file.
    """

    format: Literal["segy", "su"] | None = None
    byte_order: ByteOrder | None = None
    sample_format: Annotated[int, AfterValidator(_format_code)] | None = None
    sample_count: Annotated[int, PydanticField(ge=1)] | None = None
    sample_interval_us: Annotated[float, PydanticField(gt=0, allow_inf_nan=False)] | None = None
    truncated: Truncated = "salvage"


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


@dataclass(frozen=True, slots=True)
class _Layout:
    header_nbytes: int
    trace_header_nbytes: int
    sample_count: int
    sample_nbytes: int
    trace_count: int
    rest_nbytes: int

    @property
    def trace_nbytes(self) -> int:
        return self.trace_header_nbytes + self.sample_count * self.sample_nbytes


@dataclass(slots=True)
class _Opening:
    """What is known of a file so far."""

    url: str
    nbytes: int
    reading: Reading
    oddities: list[str]
    byte_order: ByteOrder = "big"

    def trace_headers(self, layout: _Layout, traces: list[int]) -> NDArray[np.uint8]:
        """Headers of some traces, uint8 (trace, byte), with pairs swapped back; zeros where the file has ended."""
        headers = np.zeros((len(traces), layout.trace_header_nbytes), np.uint8)
        for row, trace in enumerate(traces):
            start = layout.header_nbytes + trace * layout.trace_nbytes
            content = np.frombuffer(read_bytes(self.url, start, layout.trace_header_nbytes), np.uint8)
            headers[row, : content.size] = content
        if self.byte_order == "pairwise":
            swap_pairs(headers, header_nbytes=headers.shape[1])
        return headers

    def words(self, headers: NDArray[np.uint8], word: Field) -> list[int]:
        values: list[int] = read_words(headers, word, byte_order=word_order(self.byte_order)).tolist()
        return values


def open_segy(url: str, nbytes: int, reading: Reading | None = None) -> SegyFile:
    """Reads the file header and some trace headers.

    Args:
        url: Path or fsspec URL.
        nbytes: Size of the file.
        reading: What is known better than its headers say.

    Raises:
        InputError: If it is missing, empty, neither SEG-Y nor Seismic Unix, or holds no whole trace.
    """
    opening = _Opening(url, nbytes, reading or Reading(), [])
    file_format = opening.reading.format
    if file_format == "su" or (file_format is None and url.lower().endswith(".su")):
        return _open_su(opening)
    try:
        return _open_segy(opening)
    except InputError:
        if file_format is None and _is_su(opening):
            return _open_su(opening)
        raise


def _open_segy(opening: _Opening) -> SegyFile:
    url, nbytes, reading = opening.url, opening.nbytes, opening.reading
    if nbytes < FILE_HEADER_NBYTES + TRACE_HEADER_NBYTES:
        raise InputError(
            f"{url} has {nbytes} bytes; a SEG-Y file has 3600 bytes of file header and at least one trace: "
            "is it the right file, and was it copied whole?"
        )
    file_header = np.frombuffer(read_bytes(url, 0, FILE_HEADER_NBYTES), np.uint8).copy()
    words = _binary_header(opening, file_header)
    layouts = _possible_layouts(opening, words)
    layout = _best_layout(opening, layouts, words)
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
    trace_count, missing_nbytes, tail_nbytes = _end(opening, layout, words, first_header)
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
    opening: _Opening, layout: _Layout, words: dict[str, int], first_header: NDArray[np.uint8]
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


def _is_su(opening: _Opening) -> bool:
    return opening.nbytes > TRACE_HEADER_NBYTES and any(
        layout.rest_nbytes == 0 for _, layout in _su_layouts(opening) if layout.sample_count
    )


def _open_su(opening: _Opening) -> SegyFile:
    """Seismic Unix: traces of 4-byte IEEE floats one after another, as big endian or as the machine wrote them."""
    if opening.nbytes <= TRACE_HEADER_NBYTES:
        raise InputError(
            f"{opening.url} has {opening.nbytes} bytes; a Seismic Unix file has at least one trace with a header of "
            "240 bytes: is it the right file, and was it copied whole?"
        )
    layouts = [found for found in _su_layouts(opening) if found[1].trace_count > 0]
    if not layouts:
        raise InputError(
            f"{opening.url} is not Seismic Unix: bytes 115-116 of its first trace header should hold its sample count."
        )
    whole = [found for found in layouts if found[1].rest_nbytes == 0]
    opening.byte_order, layout = (whole or layouts)[0]
    first_header = opening.trace_headers(layout, [0])
    interval_us = _sample_interval_us(opening, {"sample_interval_us": 0}, first_header, 0.0, is_su=True)
    trace_count, missing_nbytes, tail_nbytes = _end(opening, layout, {}, first_header)
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


def _su_layouts(opening: _Opening) -> list[tuple[ByteOrder, _Layout]]:
    """Both byte orders, the one with the shorter traces first where both make whole ones."""
    header = np.frombuffer(read_bytes(opening.url, 0, TRACE_HEADER_NBYTES), np.uint8)[None]
    orders: tuple[Literal["big", "little"], ...] = ("big", "little")
    found: list[tuple[ByteOrder, _Layout]] = []
    for order in orders:
        stated = int(read_words(header, TRACE_FIELDS["sample_count"], byte_order=order)[0])
        count = opening.reading.sample_count or stated
        if count and opening.reading.byte_order in {None, order}:
            traces, rest = divmod(opening.nbytes, TRACE_HEADER_NBYTES + 4 * count)
            found.append((order, _Layout(0, TRACE_HEADER_NBYTES, count, 4, traces, rest)))
    return sorted(found, key=lambda item: item[1].sample_count)


def _binary_header(opening: _Opening, file_header: NDArray[np.uint8]) -> dict[str, int]:
    """Words of the binary header; finds out the byte order.

    Revision 2 says it in a constant. Else it is the one in which the sample format code is a known one: none is a
    known one in both.
    """
    reading, url = opening.reading, opening.url
    constant = int(read_words(file_header[None], BYTE_ORDER_CONSTANT, byte_order="big")[0])
    stated: ByteOrder | None = reading.byte_order or BYTE_ORDERS.get(constant)  # type: ignore[assignment]
    if stated == "pairwise":
        swap_pairs(file_header[None, FILE_HEADER_NBYTES - 400 :], header_nbytes=400)
    orders: tuple[ByteOrder, ...] = (stated,) if stated else ("big", "little")
    by_order = {}
    for order in orders:
        opening.byte_order = order
        by_order[order] = {name: opening.words(file_header[None], word)[0] for name, word in BINARY_FIELDS.items()}
    forced = {} if reading.sample_format is None else {"sample_format": reading.sample_format}
    for order, words in by_order.items():
        if words["sample_format"] in SAMPLE_FORMATS:
            opening.byte_order = order
            return words | forced
    for order, words in by_order.items():
        opening.byte_order = order
        if _fits(opening, words | {"sample_format": IBM} | forced):
            opening.oddities.append(
                f"bytes 3225-3226 hold {words['sample_format']}, which is no sample format; samples of "
                f"{SAMPLE_FORMATS[forced.get('sample_format', IBM)].nbytes} bytes fit the file's size"
            )
            return words | {"sample_format": IBM} | forced
    codes = " or ".join(f"{words['sample_format']} ({order} endian)" for order, words in by_order.items())
    raise InputError(
        f"{url} is not SEG-Y: bytes 3225-3226 should hold a sample format code from 1 to 16, and hold {codes}."
    )


def _fits(opening: _Opening, words: dict[str, int]) -> bool:
    """Whether traces with as many samples as both headers say make the whole file."""
    sample_nbytes = SAMPLE_FORMATS[words["sample_format"]].nbytes
    layout = _Layout(FILE_HEADER_NBYTES, TRACE_HEADER_NBYTES, words["sample_count"], sample_nbytes, 0, 0)
    if not words["sample_count"] or (opening.nbytes - FILE_HEADER_NBYTES) % layout.trace_nbytes:
        return False
    (stated,) = opening.words(opening.trace_headers(layout, [0]), TRACE_FIELDS["sample_count"])
    return stated == words["sample_count"]


def _possible_layouts(opening: _Opening, words: dict[str, int]) -> list[_Layout]:
    """What the headers may mean, the most literal reading first.

    Extended text headers are tried in revision 0 too, which does not know them: such files exist, and so do revision-0
    files with other things in those bytes.
    """
    layouts = []
    sample_nbytes = SAMPLE_FORMATS[words["sample_format"]].nbytes
    is_second = words["revision_major"] == SECOND
    extra = words["extra_trace_header_count"] if is_second else 0
    extra = extra if extra <= MAX_EXTRA_TRACE_HEADERS else 0
    for header_nbytes, extra_count in product(_header_sizes(opening, words), _distinct(extra, 0)):
        trace_header_nbytes = TRACE_HEADER_NBYTES * (1 + extra_count)
        if header_nbytes + trace_header_nbytes > opening.nbytes:
            continue
        first = _Layout(header_nbytes, trace_header_nbytes, 0, sample_nbytes, 0, 0)
        for sample_count in _sample_counts(opening, first, words, is_second=is_second):
            trace_nbytes = trace_header_nbytes + sample_count * sample_nbytes
            trace_count, rest = divmod(opening.nbytes - header_nbytes, trace_nbytes)
            layouts.append(_Layout(header_nbytes, trace_header_nbytes, sample_count, sample_nbytes, trace_count, rest))
    if not layouts:
        raise InputError(
            f"{opening.url} states no sample count: neither bytes 3221-3222 nor 115-116 of the first trace do."
        )
    return layouts


def _header_sizes(opening: _Opening, words: dict[str, int]) -> list[int]:
    """Where the first trace may begin, the most trusted place first."""
    url, nbytes = opening.url, opening.nbytes
    stated = words["extended_text_header_count"]
    counts = [stated] if 0 <= stated <= MAX_TEXT_HEADERS else []
    if stated == -1:
        found = count_to_end(url, FILE_HEADER_NBYTES, nbytes)
        if found is None and words["revision_major"] > 0:
            opening.oddities.append(
                "extended text headers are said to go on to an ((SEG: EndText)) stanza, and there is none: "
                "the file's size tells how many there are"
            )
        counts = [0 if found is None else found]
    if counts in ([], [0]) and begins_stanza(read_bytes(url, FILE_HEADER_NBYTES, 2)):
        counts += range(1, 17)
    sizes = [FILE_HEADER_NBYTES + count * TEXT_HEADER_NBYTES for count in (*counts, 0)]
    longest = FILE_HEADER_NBYTES + MAX_TEXT_HEADERS * TEXT_HEADER_NBYTES
    if words["revision_major"] == SECOND and FILE_HEADER_NBYTES <= words["first_trace_offset"] <= longest:
        sizes.insert(0, words["first_trace_offset"])
    return _distinct(*sizes)


def _sample_counts(opening: _Opening, first: _Layout, words: dict[str, int], *, is_second: bool) -> list[int]:
    """Candidates for the samples a trace, the most trusted first."""
    if opening.reading.sample_count is not None:
        return [opening.reading.sample_count]
    header = opening.trace_headers(first, [0])
    (in_trace,) = opening.words(header, TRACE_FIELDS["sample_count"])
    extended = words["extended_sample_count"]
    counts = [extended, words["sample_count"], in_trace] if is_second else [words["sample_count"], in_trace, extended]
    if first.trace_header_nbytes > TRACE_HEADER_NBYTES:
        counts += opening.words(header, EXTENSION_SAMPLE_COUNT)
    return [count for count in _distinct(*counts) if 0 < count <= opening.nbytes]


def _best_layout(opening: _Opening, layouts: list[_Layout], words: dict[str, int]) -> _Layout:
    """The first that makes the file whole traces; else that whose traces have headers where it expects them."""
    whole = [layout for layout in layouts if layout.trace_count > 0 and layout.rest_nbytes == 0]
    if whole:
        return whole[0]
    if words["revision_major"] == SECOND:
        for layout in layouts:
            if layout.trace_count > 0 and _has_stated_end(opening, layout, words):
                return layout
    possible = [layout for layout in layouts if layout.trace_count > 0]
    if not possible:
        raise InputError(
            f"{opening.url} holds no whole trace: {layouts[0].sample_count} samples a trace make "
            f"{layouts[0].trace_nbytes} bytes, and {opening.nbytes - layouts[0].header_nbytes} bytes follow its file "
            "header. Copy the file again, or correct the sample count in bytes 3221-3222."
        )
    return max(possible, key=lambda layout: _headers_found(opening, layout))  # of equal ones the first


def _has_stated_end(opening: _Opening, layout: _Layout, words: dict[str, int]) -> bool:
    """Whether revision 2's count of traces, or of records behind them, accounts for the whole file."""
    trailer = max(0, words["trailer_record_count"]) * TEXT_HEADER_NBYTES
    if trailer and (opening.nbytes - layout.header_nbytes - trailer) % layout.trace_nbytes == 0:
        return opening.nbytes - trailer > layout.header_nbytes
    return 0 < words["trace_count"] <= layout.trace_count


def _headers_found(opening: _Opening, layout: _Layout) -> float:
    """At which share of some places there is what looks like a header: counts on from the first, or has its samples."""
    last = layout.trace_count - 1
    traces = sorted({0, *(trace for trace in (1, 2, 3, last // 2, last) if trace <= last)})
    headers = opening.trace_headers(layout, traces)
    found = np.zeros(len(traces), np.bool_)
    for word in (Field(1, "i4"), Field(5, "i4"), Field(13, "i4"), Field(21, "i4"), Field(193, "i4")):
        values = np.array(opening.words(headers, word))
        found |= (values - values[0] == np.array(traces)) & (values[0] >= 0)
    counts = np.array(opening.words(headers, TRACE_FIELDS["sample_count"]))
    found |= counts == layout.sample_count
    return float(found[1:].mean()) if last else 0.0


def _end(
    opening: _Opening, layout: _Layout, words: dict[str, int], first_header: NDArray[np.uint8]
) -> tuple[int, int, int]:
    """Traces, bytes that the last one lacks, and bytes behind it."""
    trace_count, rest = layout.trace_count, layout.rest_nbytes
    stated, trailer = words.get("trace_count", 0), max(0, words.get("trailer_record_count", 0)) * TEXT_HEADER_NBYTES
    if words.get("revision_major") != SECOND:
        stated = trailer = 0
    behind = opening.nbytes - layout.header_nbytes - stated * layout.trace_nbytes
    if 0 < stated <= trace_count and behind > 0 and (rest or behind == trailer):
        opening.oddities.append(
            f"{behind} bytes follow the last of the stated traces: they are kept for the export alone"
        )
        return stated, 0, behind
    before_trailer, over = divmod(opening.nbytes - layout.header_nbytes - trailer, layout.trace_nbytes)
    if rest and trailer and before_trailer > 0 and over == 0:
        return before_trailer, 0, trailer
    if rest == 0:
        if stated and stated != trace_count:
            opening.oddities.append(
                f"the binary header states {stated} traces, and the file's size makes {trace_count}"
            )
        return trace_count, 0, 0
    if opening.reading.truncated == "fail":
        raise InputError(
            f"{opening.url} is truncated or its headers are wrong: {layout.sample_count} samples a trace make "
            f"{trace_count} whole traces, and {rest} of its {opening.nbytes} bytes are left over. "
            "Copy the file again, correct the sample count in bytes 3221-3222, or say --truncated salvage."
        )
    is_trace = rest > layout.trace_header_nbytes and opening.trace_headers(layout, [trace_count])[0].any()
    if opening.reading.truncated == "salvage" and is_trace:
        samples = (rest - layout.trace_header_nbytes) // layout.sample_nbytes
        opening.oddities.append(
            f"the file ends within trace {trace_count}, of which {samples} of {layout.sample_count} samples are there: "
            "the others are zero"
        )
        return trace_count + 1, layout.trace_nbytes - rest, 0
    what = "the beginning of another trace" if is_trace else "no whole trace header"
    opening.oddities.append(
        f"the file goes on for {rest} bytes after its last whole trace, {what}: they are kept for the export alone"
    )
    return trace_count, 0, rest


def _extended_interval(opening: _Opening, file_header: NDArray[np.uint8]) -> float:
    content = file_header[EXTENDED_INTERVAL.first_byte - 1 :][: EXTENDED_INTERVAL.nbytes].tobytes()
    value = float(np.frombuffer(content, f"{stored_order(opening.byte_order)}f8")[0])
    return value if np.isfinite(value) and 0 < value < 1e12 else 0.0


def _sample_interval_us(
    opening: _Opening,
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


def _sample_format(opening: _Opening, layout: _Layout, stated: int) -> tuple[int, bool]:
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


def _probed_words(opening: _Opening, layout: _Layout) -> NDArray[np.uint32]:
    parts = []
    nbytes = min(layout.sample_count * 4, PROBED_NBYTES)
    for trace in np.unique(np.linspace(0, layout.trace_count - 1, PROBED_TRACES).astype(int)).tolist():
        start = layout.header_nbytes + trace * layout.trace_nbytes + layout.trace_header_nbytes
        content = np.frombuffer(read_bytes(opening.url, start, nbytes), np.uint8).copy()[None]
        if opening.byte_order == "pairwise":
            swap_pairs(content, header_nbytes=0)
        parts.append(from_bytes(content, IEEE, word_order(opening.byte_order))[0])
    return np.concatenate(parts)


def _trace_fields(opening: _Opening, layout: _Layout) -> dict[str, Field]:
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


def _distinct(*values: int) -> list[int]:
    return list(dict.fromkeys(values))
