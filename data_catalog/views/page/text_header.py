"""The text header of a source: 40 lines of 80 characters, in EBCDIC or ASCII."""

import re

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Entry
from data_catalog.views.page.bounded_store import Store

NBYTES = 3200
LINE_NBYTES = 80
MOST_HEADERS = 3
"""Of sources one after another; those of one survey are alike."""


def read_text_headers(store: Store, entry: Entry) -> list[tuple[str, str]]:
    """The URL and the text header of each of the first sources of the main variable that have one."""
    sources = [source for source in entry.sources if source.variable == entry.main_variable]
    found = []
    for index, source in enumerate(sources[:MOST_HEADERS]):
        text = _read(store, layout.file_header_path(index))
        if text:
            found.append((source.url, text))
    return found


def _read(store: Store, path: str) -> str:
    try:
        array = store.find(path)
        if array is None or array.dtype != "uint8" or array.ndim != 1 or array.shape[0] < NBYTES:
            return ""
        return decoded(store.read(path, [slice(0, NBYTES)]).tobytes())
    except InputError:
        return ""


def decoded(content: bytes) -> str:
    """Bytes as lines, in the code that makes more letters of them; what cannot be printed becomes a dot."""
    text = max((content.decode(code, errors="replace") for code in ("cp037", "ascii")), key=_letters)
    lines = [text[start : start + LINE_NBYTES] for start in range(0, len(text), LINE_NBYTES)]
    return "\n".join("".join(c if c.isprintable() else "." for c in line).rstrip() for line in lines).rstrip()


def _letters(text: str) -> int:
    return len(re.findall(r"[A-Za-z0-9 ]", text))
