"""Which entries are looked for: by kind, by what they hold, by classes, by size."""

import re
from dataclasses import dataclass
from math import prod

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Entry, Kind

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True, slots=True)
class Search:
    """What an entry has to be like; None and empty leave a thing open.

    Attributes:
        kind: What its dimensions mean.
        variable: Part of a variable's name, or of a derived group's.
        class_word: A class of one of its labels.
        split: A split that it has.
        at_least: Bytes of its samples, uncompressed.
        at_most: Likewise.
    """

    kind: Kind | None = None
    variable: str | None = None
    class_word: str | None = None
    split: str | None = None
    at_least: int | None = None
    at_most: int | None = None

    def finds(self, entry: Entry) -> bool:
        """Whether an entry is looked for."""
        variables, nbytes = entry.all_variables(), samples_nbytes(entry)
        words = {word for each in variables.values() for word in each.flag_meanings or ()}
        return (
            self.kind in {None, entry.kind}
            and (
                self.variable is None
                or any(self.variable in path or self.variable in layout.variable_word(path) for path in variables)
            )
            and (self.class_word is None or self.class_word in words)
            and (self.split is None or self.split in entry.splits)
            and nbytes >= (self.at_least or 0)
            and (self.at_most is None or nbytes <= self.at_most)
        )


def samples_nbytes(entry: Entry) -> int:
    """Bytes of all variables of an entry, uncompressed, those of derived groups included."""
    return sum(prod(each.shape) * _itemsize(each.dtype) for each in entry.all_variables().values())


def parse_nbytes(text: str | None, *, option: str) -> int | None:
    """A size such as ``750GB`` or ``64MiB`` in bytes.

    Raises:
        InputError: If it is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if match is None or match[2].upper() not in _UNITS:
        raise InputError(f"{option} {text} is no size: write e.g. 64MiB or 750GB.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _itemsize(dtype: str) -> int:
    bits = re.search(r"\d+$", dtype)
    return int(bits[0]) // 8 if bits else 1
