"""Extended text headers: how many there are, and where a layout stanza says that trace headers hold their words.

A stanza begins with ``((NAME))``. ``((SEG: Layout))`` is followed by XML with an entry for each word (SEG-Y revision
2.1, appendix D-8); ``((SEG: EndText))`` ends the extended text headers where their count is given as -1.
"""

import re
from xml.etree import ElementTree

from pipeline.segy.fields import TEXT_HEADER_NBYTES, TRACE_HEADER_NBYTES, Field
from pipeline.segy.read import read_bytes

MAX_TEXT_HEADERS = 1024
LAYOUT_NBYTES = 2**20
"""A longer layout is none: all words of all headers take some 20 kB."""

END_OF_TEXT = "((SEG:ENDTEXT))"
"""Compared without blanks, in capitals."""

_LAYOUT = re.compile(rb"\(\(\s*SEG\s*:\s*Layout[^)]*\)\)", re.IGNORECASE)

NAMES = {
    "ffid": "shot",
    "chan": "channel",
    "espnum": "source_point",
    "cdp": "cdp",
    "trctype": "trace_identification",
    "offset": "offset",
    "co_scal": "coordinate_scalar",
    "sht_x": "source_x",
    "sht_y": "source_y",
    "rec_x": "receiver_x",
    "rec_y": "receiver_y",
    "coorunit": "coordinate_units",
    "delay": "delay_ms",
    "year": "year",
    "day": "day_of_year",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "cdp_x": "cdp_x",
    "cdp_y": "cdp_y",
    "iline": "inline",
    "xline": "crossline",
    "tm_scal": "time_scalar",
}
"""What layouts call words, and what we do."""

_TYPES = {
    "int2": "i2",
    "uint2": "u2",
    "time2": "i2",
    "int4": "i4",
    "uint4": "i4",  # numbers of lines never need the last bit
    "coor4": "i4",
    "elev4": "i4",
    "linetrc": "i4",
    "reeltrc": "i4",
    "spnum4": "i4",
}
"""Types that are integers of up to four bytes: words of other types are not taken for geometry."""


def begins_stanza(record: bytes) -> bool:
    """Whether an extended text header begins as one does that has a stanza, in ASCII or EBCDIC."""
    return record[:2] in (b"((", "((".encode("cp037"))


def count_to_end(url: str, start: int, nbytes: int) -> int | None:
    """How many extended text headers there are up to the one with the end-of-text stanza; None where none has it.

    Args:
        url: Path or fsspec URL.
        start: First byte of the first of them.
        nbytes: Size of the file.
    """
    for index in range(min(MAX_TEXT_HEADERS, (nbytes - start) // TEXT_HEADER_NBYTES)):
        record = read_bytes(url, start + index * TEXT_HEADER_NBYTES, TEXT_HEADER_NBYTES)
        for encoding in ("ascii", "cp037"):
            if END_OF_TEXT in record.decode(encoding, errors="replace").replace(" ", "").upper():
                return index + 1
    return None


def layout_of(text_headers: bytes) -> dict[str, Field] | None:
    """Where a layout stanza says that the standard trace header holds its words.

    Args:
        text_headers: All extended text headers, as they are in the file.

    Returns:
        Fields by our names for them, those of the first 240 bytes that hold integers; None where there is no stanza.

    Raises:
        ValueError: If there is one that cannot be understood, in a clause that says why.
    """
    for content in (text_headers, text_headers.decode("cp037").encode("latin-1", errors="replace")):
        if found := _LAYOUT.search(content):
            return _fields(content[found.end() : found.end() + LAYOUT_NBYTES])
    return None


def _fields(content: bytes) -> dict[str, Field]:
    end = content.find(b"</segy-layout>")
    if end < 0:
        raise ValueError("its XML has no end")
    xml = content[: end + len(b"</segy-layout>")].strip()
    if b"<!" in xml.replace(b"<!--", b""):
        raise ValueError("its XML declares entities")  # which could grow without bound
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"its XML is malformed ({error})") from None
    fields = {}
    for entry in root.findall("entry"):
        name, dtype, first = NAMES.get(entry.get("name", "")), _TYPES.get(entry.get("type", "")), entry.get("byte", "")
        if name is not None and dtype is not None and re.fullmatch(r"[0-9]{1,3}", first):
            field = Field(int(first), dtype)
            if 1 <= field.first_byte <= TRACE_HEADER_NBYTES - field.nbytes + 1:
                fields[name] = field
    return fields
