"""Files whose headers lie, contradict each other or are noise: what is opened must survive them all."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pipeline.segy.fields import (
    BINARY_FIELDS,
    BYTE_ORDER_CONSTANT,
    EXTENDED_INTERVAL,
    FILE_HEADER_NBYTES,
    SAMPLE_FORMATS,
    TEXT_HEADER_NBYTES,
    TRACE_FIELDS,
    TRACE_HEADER_NBYTES,
    Field,
)

_BINARY = [*BINARY_FIELDS.values(), EXTENDED_INTERVAL, BYTE_ORDER_CONSTANT]
_TRACE = list(TRACE_FIELDS.values())
_NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 16, 30, 31, 240, 255, 256, 257, 1000, 3200, 3600, 32767, 32768, 65535, 2**31 - 1)
_STANZAS = (
    b"((SEG: EndText))",
    b"((SEG: Layout:text/xml))<segy-layout><entry name='iline' byte='5' type='int4'/></segy-layout>",
    b"((SEG: Layout))<segy-layout><entry name='xline' byte='999' type='int9'/>",
    b"((SEG: Layout))<!DOCTYPE a [<!ENTITY b 'c'>]><segy-layout>&b;</segy-layout>",
    b"((",
    b"\0" * 40,
)


def hostile_file(random: Generator) -> bytes:
    """Makes a small file: a plain one, some of whose words were changed, or one of noise.

    Args:
        random: What decides; equal states give equal files.
    """
    if random.random() < 0.02:
        return random.bytes(int(random.integers(0, 9000)))
    order = ">" if random.random() < 0.7 else "<"
    count, traces = int(random.integers(1, 40)), int(random.integers(0, 14))
    code = int(random.choice(list(SAMPLE_FORMATS)))
    extra, text_headers = int(random.integers(0, 2)), int(random.integers(0, 3))
    binary = np.zeros(FILE_HEADER_NBYTES - TEXT_HEADER_NBYTES, np.uint8)
    known = {"sample_interval_us": 2000, "sample_count": count, "sample_format": code, "revision_major": 2 * extra}
    known |= {"extended_text_header_count": text_headers, "extra_trace_header_count": extra}
    for name, value in known.items():
        _put(binary, BINARY_FIELDS[name], value, order, origin=TEXT_HEADER_NBYTES)
    _disturb(binary, _BINARY, order, random, origin=TEXT_HEADER_NBYTES)
    text = [_text(random) for _ in range(1 + text_headers)]
    rows = [_trace(number, count, code, extra, order, random) for number in range(traces)]
    parts = [text[0], binary.tobytes(), *text[1:], *rows]
    if random.random() < 0.1:
        parts = rows  # as Seismic Unix has them
    content = b"".join(parts)
    if random.random() < 0.2:
        content = content[: int(random.integers(0, len(content) + 1))]
    return content


def _text(random: Generator) -> bytes:
    stanza = _STANZAS[int(random.integers(len(_STANZAS)))] if random.random() < 0.3 else b"C 1 "
    return stanza.ljust(TEXT_HEADER_NBYTES)


def _trace(number: int, count: int, code: int, extra: int, order: str, random: Generator) -> bytes:
    header = np.zeros(TRACE_HEADER_NBYTES * (1 + extra), np.uint8)
    for name, value in {"sample_count": count, "inline": number // 4, "crossline": number % 4, "cdp": number}.items():
        _put(header, TRACE_FIELDS[name], value, order)
    if random.random() < 0.3:
        _disturb(header, _TRACE, order, random)
    return header.tobytes() + random.bytes(count * SAMPLE_FORMATS[code].nbytes)


def _disturb(header: NDArray[np.uint8], fields: list[Field], order: str, random: Generator, *, origin: int = 0) -> None:
    for _ in range(int(random.integers(0, 4))):
        field = fields[int(random.integers(len(fields)))]
        value = int(random.choice(_NUMBERS)) * int(random.choice((1, 1, -1)))
        if random.random() < 0.3:
            first = field.first_byte - 1 - origin
            header[first : first + field.nbytes] = np.frombuffer(random.bytes(field.nbytes), np.uint8)
        else:
            _put(header, field, value, order, origin=origin)


def _put(header: NDArray[np.uint8], field: Field, value: int, order: str, *, origin: int = 0) -> None:
    dtype = np.dtype(field.dtype)
    if dtype.kind in "iu":
        bits = 8 * dtype.itemsize
        word = (value % 2**bits).to_bytes(dtype.itemsize, "big" if order == ">" else "little")
    else:
        word = np.array([value], f"{order}{field.dtype}").tobytes()
    first = field.first_byte - 1 - origin
    header[first : first + field.nbytes] = np.frombuffer(word, np.uint8)
