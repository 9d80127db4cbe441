"""The file that says that a folder is a site's: it names all that a run wrote, and is locked while one is at work."""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from data_catalog.errors import InputError

MARK = ".tracemill-page"

_ABOUT = "Made by `python -m data_catalog page`, whose next run deletes those of these files that it does not write:\n"

_NAME = re.compile(r"(datasets/{0}\.html|pictures/{0}/{0}\.webp)".format(r"[A-Za-z0-9][A-Za-z0-9._-]*"))
"""What a run may have written besides the list; whatever else stands in the file, nobody deletes it for that."""


def note(folder: Path, name: str) -> None:
    """Writes down what is about to be written: a run that is killed leaves nothing that the next one does not know."""
    with (folder / MARK).open("a", encoding="utf-8") as file:
        file.write(f"{name}\n")  # at the end, whichever of a run's processes it is


def mark_of(names: Iterable[str]) -> bytes:
    """The mark of a run that is done: all that it wrote, and nothing else."""
    return (_ABOUT + "".join(f"{name}\n" for name in sorted(names))).encode()


@contextmanager
def locked_mark(path: Path) -> Iterator[frozenset[str]]:
    """Makes a folder a site's, for one run at a time.

    The mark is the first thing in a folder, and is made where it is: whenever a run ends, the next one goes on.

    Yields:
        Names of what earlier runs wrote, relative to the folder.

    Raises:
        InputError: If something else is in the folder, another run is at work on it, or it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()) and not (path / MARK).exists():  # in this order: another run may be making it
            raise InputError(
                f"{path} is not empty, and was not made by `python -m data_catalog page`: name another folder "
                "with --out, or empty it."
            )
        file = _locked(path / MARK)
    except BlockingIOError:
        raise InputError(
            f"another `python -m data_catalog page` is at work on {path}: run it again when that has ended."
        ) from None
    except OSError as error:
        raise unwritable(path, error) from None
    with file:
        yield frozenset(filter(_NAME.fullmatch, file.read().splitlines()))


def _locked(mark: Path) -> IO[str]:
    """The mark, opened and locked; made where it is not there."""
    while True:
        file = open(mark, "a+", encoding="utf-8", errors="replace", opener=_without_links)  # noqa: SIM115 (returned)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), mark.stat()):
                file.seek(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # it was replaced before it was locked, by a run that has ended


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def unwritable(path: Path, error: OSError) -> InputError:
    """What is said of a folder that cannot be written."""
    return InputError(f"{path} cannot be written ({error.strerror}): name another folder with --out.")
