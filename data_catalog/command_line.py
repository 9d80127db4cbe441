"""How every command of the project starts and fails: a sentence on stderr, and an exit status that means something."""

import gc
import os
import signal
import sys
from typing import Annotated

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


def console() -> Console:
    """Where a command prints: as wide as the terminal, and wide enough for tables where there is none."""
    terminal = Console()
    width = None if terminal.is_terminal else 200
    return Console(width=width, soft_wrap=True, highlight=False, markup=False)


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
        print(f"error: {error}", file=sys.stderr)
        sys.exit(STATUS_WRONG_INPUT)
    except WorkError as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(STATUS_FAILED)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); Python would complain again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(STATUS_FAILED)
    finally:
        gc.freeze()  # those as well that were imported meanwhile
