"""What several commands say: where to watch them, how to go on when they are stopped, what they have made."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distributed import Client

from data_catalog import Entry
from pipeline.work.progress import CONSOLE


def print_dashboard(client: Client) -> None:
    """Says where Dask shows its work."""
    CONSOLE.print(f"dask dashboard: {client.dashboard_link}", soft_wrap=True)


@contextmanager
def stopped_in_a_sentence(how_to_go_on: Callable[[], str] | None = None) -> Iterator[None]:
    """Says how to go on when the user or a batch system ends the block.

    Args:
        how_to_go_on: Finds out what to say; None where the same command always goes on.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        told = how_to_go_on() if how_to_go_on else "what is done is kept: the same command goes on from there."
        CONSOLE.print(f"stopped; {told}", highlight=False, soft_wrap=True)
        raise


def print_entry(entry: Entry) -> None:
    """Says what a dataset is that was made, and what is odd about it."""
    print(f"{entry.name}: {entry.kind} ({entry.dimensions()}) in {entry.url}")
    for warning in entry.warnings:
        print(f"warning: {warning}")
