"""Files of picks: comma-separated values, or QuakeML. What a file begins with says which."""

import io
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import fsspec
import pandas as pd

from data_catalog import InputError
from pipeline.labels.quakeml import quakeml_table
from pipeline.labels.stations import CODES

TEXTS = ("phase", "name", *CODES)
"""Columns that stay as they are written: ``00`` is a location, ``NA`` a network, and both would be taken for less."""

XML_SUFFIXES = {".xml", ".qml", ".quakeml"}

_BEFORE_XML = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
"""Byte-order marks, blanks, and the zeros of UTF-16."""


@dataclass(frozen=True)
class PickTable:
    """Picks as a file has them.

    Attributes:
        path: The file.
        rows: One for each pick.
        left_out: How many are not among them, by the reason.
    """

    path: str
    rows: pd.DataFrame
    left_out: dict[str, int] = field(default_factory=dict)


def read_pick_file(path: str) -> PickTable:
    """Reads all picks of a file.

    Raises:
        InputError: If it cannot be read, or is neither.
    """
    content = _content(path)
    if content.lstrip(_BEFORE_XML)[:1] == b"<" or PurePosixPath(path).suffix.lower() in XML_SUFFIXES:
        rows, left_out = quakeml_table(content, path=path)
        return PickTable(path, rows, left_out)
    return PickTable(path, _as_table(content, path))


def read_table(path: str) -> pd.DataFrame:
    """Reads a table of comma-separated values, whose first line names its columns.

    Raises:
        InputError: If it cannot be read, or is none.
    """
    return _as_table(_content(path), path)


def _content(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise InputError(f"no such file: {path}.") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from None
    return content


def _as_table(content: bytes, path: str) -> pd.DataFrame:
    try:
        return pd.read_csv(
            io.StringIO(content.decode("utf-8-sig")),
            skipinitialspace=True,
            keep_default_na=False,
            dtype=dict.fromkeys(TEXTS, str),
        )
    except ValueError as error:
        raise InputError(
            f"{path} is no table of comma-separated values, nor QuakeML, which begins with <: {error}."
        ) from None
