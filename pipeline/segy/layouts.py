"""Where traces begin, how long they are and how many there are: what headers may mean, and what the file bears out.

Headers contradict each other in real files, and the file's size decides: of all that the headers may mean, the first
reading is taken that makes the file a whole number of traces. Where none does, the file was cut off, or has something
behind its traces, and the reading is taken that finds most headers where it expects them.
"""

from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.segy.byte_order import ByteOrder, swap_pairs
from pipeline.segy.fields import (
    BINARY_FIELDS,
    BYTE_ORDER_CONSTANT,
    BYTE_ORDERS,
    EXTENSION_SAMPLE_COUNT,
    FILE_HEADER_NBYTES,
    IBM,
    SAMPLE_FORMATS,
    SECOND,
    TEXT_HEADER_NBYTES,
    TRACE_FIELDS,
    TRACE_HEADER_NBYTES,
    Field,
    read_words,
)
from pipeline.segy.opening import Layout, Opening
from pipeline.segy.read import read_bytes
from pipeline.segy.stanzas import MAX_TEXT_HEADERS, begins_stanza, count_to_end

MAX_EXTRA_TRACE_HEADERS = 64


def read_binary_header(opening: Opening, file_header: NDArray[np.uint8]) -> dict[str, int]:
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


def _fits(opening: Opening, words: dict[str, int]) -> bool:
    """Whether traces with as many samples as both headers say make the whole file."""
    sample_nbytes = SAMPLE_FORMATS[words["sample_format"]].nbytes
    layout = Layout(FILE_HEADER_NBYTES, TRACE_HEADER_NBYTES, words["sample_count"], sample_nbytes, 0, 0)
    if not words["sample_count"] or (opening.nbytes - FILE_HEADER_NBYTES) % layout.trace_nbytes:
        return False
    (stated,) = opening.words(opening.trace_headers(layout, [0]), TRACE_FIELDS["sample_count"])
    return stated == words["sample_count"]


def possible_layouts(opening: Opening, words: dict[str, int]) -> list[Layout]:
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
        first = Layout(header_nbytes, trace_header_nbytes, 0, sample_nbytes, 0, 0)
        for sample_count in _sample_counts(opening, first, words, is_second=is_second):
            trace_nbytes = trace_header_nbytes + sample_count * sample_nbytes
            trace_count, rest = divmod(opening.nbytes - header_nbytes, trace_nbytes)
            layouts.append(Layout(header_nbytes, trace_header_nbytes, sample_count, sample_nbytes, trace_count, rest))
    if not layouts:
        raise InputError(
            f"{opening.url} states no sample count: neither bytes 3221-3222 nor 115-116 of the first trace do."
        )
    return layouts


def _header_sizes(opening: Opening, words: dict[str, int]) -> list[int]:
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


def _sample_counts(opening: Opening, first: Layout, words: dict[str, int], *, is_second: bool) -> list[int]:
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


def best_layout(opening: Opening, layouts: list[Layout], words: dict[str, int]) -> Layout:
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


def _has_stated_end(opening: Opening, layout: Layout, words: dict[str, int]) -> bool:
    """Whether revision 2's count of traces, or of records behind them, accounts for the whole file."""
    trailer = max(0, words["trailer_record_count"]) * TEXT_HEADER_NBYTES
    if trailer and (opening.nbytes - layout.header_nbytes - trailer) % layout.trace_nbytes == 0:
        return opening.nbytes - trailer > layout.header_nbytes
    return 0 < words["trace_count"] <= layout.trace_count


def _headers_found(opening: Opening, layout: Layout) -> float:
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


def end_of_traces(
    opening: Opening, layout: Layout, words: dict[str, int], first_header: NDArray[np.uint8]
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


def su_layouts(opening: Opening) -> list[tuple[ByteOrder, Layout]]:
    """Both byte orders, the one with the shorter traces first where both make whole ones."""
    header = np.frombuffer(read_bytes(opening.url, 0, TRACE_HEADER_NBYTES), np.uint8)[None]
    orders: tuple[Literal["big", "little"], ...] = ("big", "little")
    found: list[tuple[ByteOrder, Layout]] = []
    for order in orders:
        stated = int(read_words(header, TRACE_FIELDS["sample_count"], byte_order=order)[0])
        count = opening.reading.sample_count or stated
        if count and opening.reading.byte_order in {None, order}:
            traces, rest = divmod(opening.nbytes, TRACE_HEADER_NBYTES + 4 * count)
            found.append((order, Layout(0, TRACE_HEADER_NBYTES, count, 4, traces, rest)))
    return sorted(found, key=lambda item: item[1].sample_count)


def _distinct(*values: int) -> list[int]:
    return list(dict.fromkeys(values))
