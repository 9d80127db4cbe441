"""Where a URL leads: its file system, files that are replaced as a whole, and failures as sentences."""

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from data_catalog.errors import InputError, WorkError

T = TypeVar("T")

PAUSES_S = (0.1, 0.5, 2.0)
"""Between attempts at storage that fails now and then."""


def open_storage(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """File system and path of a URL; listings are asked for anew each time, since other processes write there too.

    Raises:
        InputError: If no library for such a URL is installed.
    """
    try:
        filesystem, path = fsspec.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise InputError(f"{url} cannot be opened: {str(error).rstrip('.')}.") from None
    return filesystem, path


class DefiniteError(OSError):
    """Asking again would not help."""


DEFINITE = (
    DefiniteError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
    MemoryError,
    AttributeError,
    NameError,
    TypeError,
)


def patiently(read: Callable[[], T]) -> T:
    """What a read returns; storage that fails now and then is asked again, after longer and longer pauses.

    Raises:
        FileNotFoundError: At once, as all of `DEFINITE`.
        OSError: Whatever else the last attempt raised. Libraries for object stores raise exceptions of their own kinds.
    """
    for pause_s in PAUSES_S:
        try:
            return read()
        except DEFINITE:
            raise
        except Exception:
            time.sleep(pause_s)
    try:
        return read()
    except DEFINITE:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def is_local(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Whether paths are files of this machine, where creating and replacing are atomic."""
    return isinstance(filesystem, LocalFileSystem)


def same_place(url: str, other_url: str) -> bool:
    """Whether two URLs name the same place."""
    return _place(url) == _place(other_url)


def overlap(url: str, other_url: str) -> bool:
    """Whether two URLs name the same place, or one lies in the other."""
    place, other = f"{_place(url)}/", f"{_place(other_url)}/"
    return place.startswith(other) or other.startswith(place)


def _place(url: str) -> str:
    protocol, _ = fsspec.core.split_protocol(url)
    if protocol in (None, *LocalFileSystem.protocol):
        return str(Path(LocalFileSystem._strip_protocol(url)).resolve()).rstrip("/")
    return url.rstrip("/")


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Turns whatever a storage library raises for ``url`` into a sentence.

    Raises:
        InputError: If it cannot be read or written. Libraries for object stores raise exceptions of their own kinds.
    """
    try:
        yield
    except (InputError, WorkError):
        raise
    except Exception as error:
        raise InputError(
            f"{url} cannot be read or written ({type(error).__name__}: {error}): "
            "see to its path, to its permissions, or to credentials and endpoint in the environment."
        ) from error


def read_small_file(path: Path, *, limit_nbytes: int) -> bytes:
    """What is in a local file, if that is a file at all: a pipe would be waited for, a device has no end.

    Raises:
        FileNotFoundError: If there is none.
        InputError: If it is no file, is larger than the limit, or cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise InputError(f"{path} is no file.")
            content = file.read(limit_nbytes + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > limit_nbytes:
        raise InputError(f"{path} is larger than {limit_nbytes >> 20} MiB: nothing of that size belongs there.")
    return content


def remove_leftovers(path: Path) -> None:
    """Removes what killed processes left of `write_atomically`; the caller keeps other writers away."""
    for temporary in path.parent.glob(f".{path.stem}.*.tmp"):
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Writes a local file beside its place, flushes and renames it: readers find the old text or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp gives 0600; colleagues read it too
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
