"""A progress bar on stderr, for long work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

CONSOLE = Console(stderr=True)


class Advance(Protocol):
    """What a progress bar is told."""

    def __call__(self, nbytes: int, *, items: int = 1) -> None:
        """Adds what was done: bytes, and how many items they were."""


@contextmanager
def progress_bar(description: str, *, total_nbytes: int, total_items: int | None = None) -> Iterator[Advance]:
    """A bar with bytes, rate and time left; where stderr is no terminal, one line at the end.

    Args:
        description: What is being done, in a few words.
        total_nbytes: Bytes to do in all.
        total_items: Shards to do in all; None leaves their count out.

    Yields:
        A function to call with the bytes that were done.
    """
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]
    if total_items is not None:
        columns.insert(2, TextColumn(f"{{task.fields[items]}}/{total_items} shards"))
    done = 0
    with Progress(*columns, console=CONSOLE) as progress:
        task = progress.add_task(description, total=total_nbytes, items=0)

        def advance(nbytes: int, *, items: int = 1) -> None:
            nonlocal done
            done += items
            progress.update(task, advance=nbytes, items=done)

        yield advance
