"""How every command of the project starts and fails: a sentence on stderr, and an exit status that means something."""

import gc
import os
import re
import signal
import sys
from pathlib import Path
from typing import IO, Annotated, Any, cast

import typer
from rich.console import Console

from data_catalog.errors import InputError, WorkError

CatalogOption = Annotated[
    str | None,
    typer.Option("--catalog", help="Folder or URL of entries [$TRACEMILL_CATALOG, then data_catalog/entries]."),
]
"""The option that every command takes."""

STATUS_FAILED = 1
STATUS_WRONG_INPUT = 2


def printable(text: str) -> str:
    """Text as it may be printed: what moves a terminal's cursor or renames its window is shown instead of done."""
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)


class _Escaped:
    """A stream for words of entries and files, which are anybody's."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes what is printable of a text, and the rest as Python would write it."""
        return self._stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def check_local(out: Path) -> None:
    """Sees that a place is one of this machine: of a URL, a folder called after its protocol would be made.

    Raises:
        InputError: If it is a URL.
    """
    if re.match(r"\w+:/", str(out)):
        raise InputError(f"--out is a place on this machine, found the URL {out}: write it here, and copy it there.")


def console() -> Console:
    """Where a command prints: as wide as the terminal, and wide enough for tables where there is none."""
    width = None if sys.stdout.isatty() else 200
    stream = cast(IO[str], _Escaped(sys.stdout))
    # Without colours: their sequences could not be told from those that a file smuggles in.
    return Console(file=stream, color_system=None, width=width, soft_wrap=True, highlight=False, markup=False)


def run(app: typer.Typer, *, name: str) -> None:
    """Runs a typer application; exits 0 when done, 1 when failed, 2 when the input or the call is wrong.

    Args:
        app: The commands.
        name: Program name for the help text, e.g. ``python -m pipeline``.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Ended from outside, as by a batch system, a command cleans up as it does when it fails.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    gc.freeze()  # modules stay to the end: to look through them for garbage is what most of an exit would take
    try:
        app(prog_name=name)
    except InputError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(STATUS_WRONG_INPUT)
    except WorkError as error:
        print(f"failed: {printable(str(error))}", file=sys.stderr)
        sys.exit(STATUS_FAILED)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); Python would complain again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(STATUS_FAILED)
    finally:
        gc.freeze()  # those as well that were imported meanwhile
