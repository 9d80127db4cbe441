"""Several files by their paths, by folders or by patterns, in the order that people count in."""

import glob
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import fsspec

from data_catalog import InputError
from data_catalog.storage import open_storage, reached
from pipeline.storage.objects import absolute


def matching_files(paths: tuple[str, ...], *, suffixes: tuple[str, ...]) -> tuple[str, ...]:
    """Absolute URLs of files: as named, all that match a pattern, or all of a folder that end so.

    Args:
        paths: Files, folders and patterns.
        suffixes: Lower-case ends of names that count in a folder.

    Raises:
        InputError: If a path matches nothing, or a file is named twice.
    """
    found = [url for path in paths for url in sorted(_files_at(path, suffixes), key=_as_counted)]
    if len(set(found)) != len(found):
        raise InputError("some files are named twice: name each once.")
    return tuple(found)


def _files_at(path: str, suffixes: tuple[str, ...]) -> list[str]:
    matches = pattern_matches(path)
    if matches is None:
        with reached(path):
            filesystem, place = open_storage(path)
            if filesystem.isdir(place):
                names = [name for name in filesystem.ls(place, detail=False) if name.lower().endswith(suffixes)]
                matches = [_url(filesystem, name, path) for name in names]
            elif filesystem.exists(place):
                matches = [absolute(path)]
            else:
                raise InputError(f"no such file: {path}.")
    if not matches:
        raise InputError(f"nothing matches {path}: files that end in {', '.join(suffixes)} are looked for.")
    return matches


def pattern_matches(path: str) -> list[str] | None:
    """Absolute URLs of all files that match a pattern, in any order; None for a path that is none.

    A name may hold what patterns are made of: what exists is no pattern.

    Raises:
        InputError: If the storage cannot be asked.
    """
    if not glob.has_magic(path):
        return None
    with reached(path):
        filesystem, place = open_storage(path)
        if filesystem.exists(place):
            return None
        return [_url(filesystem, name, path) for name in filesystem.glob(place)]


def names_of(urls: Sequence[str]) -> tuple[str, ...]:
    """What files are called, without the folders that all of them are in, and without the ends of names.

    Args:
        urls: Several, each once; ``/data/a/1.png`` and ``/data/b/1.png`` are ``a/1`` and ``b/1``.
    """
    parts = [PurePosixPath(url).parts for url in urls]
    first, last = min(parts), max(parts)
    shared = 0
    while shared < min(len(first), len(last)) - 1 and first[shared] == last[shared]:
        shared += 1
    return tuple(str(PurePosixPath(*each[shared:]).with_suffix("")) for each in parts)


def _url(filesystem: fsspec.AbstractFileSystem, name: str, path: str) -> str:
    """Listed by a path, files of this machine have their absolute paths as names."""
    return str(filesystem.unstrip_protocol(name)) if "://" in path else name


def _as_counted(url: str) -> list[tuple[int, str]]:
    """``line9`` before ``line10``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", url)]
