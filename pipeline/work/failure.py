"""What can go wrong with a task without ending the run, and what to do where it ends the run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from distributed.comm.core import CommClosedError

from data_catalog import WorkError

GO_ON = "the same command then goes on from where it stopped."
"""Ends each sentence about a run that had to stop."""

SCHEDULER_LOST = f"the connection to the Dask scheduler was lost: see that it runs; {GO_ON}"

STORAGE_PACKAGES = {"aiobotocore", "aiohttp", "azure", "botocore", "gcsfs", "google", "requests", "urllib3"}
"""Clients of object stores, some of whose errors are no OSError."""


class SourceError(OSError):
    """A source could not be read. A task that raises it has the failure put down to the source, not to the target."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item was given up; the others go on.

    Attributes:
        kind: What was at fault: a ``source`` that could not be read, a ``target`` that could not be written, or the
            ``worker``, which had too little memory or died over the item.
        message: One sentence, without credentials.
    """

    kind: Literal["source", "target", "worker"]
    message: str


def is_of_storage(error: Exception) -> bool:
    """Whether an error tells of files or of an object store, rather than of a mistake in the program."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in STORAGE_PACKAGES


@contextmanager
def writing_told(url: str) -> Iterator[None]:
    """Makes sentences of what goes wrong while a store is written.

    Raises:
        WorkError: If the scheduler was lost, or the store could not be written. The same call goes on.
    """
    try:
        yield
    except CommClosedError:  # an OSError that says nothing of the store
        raise WorkError(SCHEDULER_LOST) from None
    except OSError as error:
        raise WorkError(
            f"{url} could not be written ({error.strerror or error}): make room, or mend the disk; {GO_ON}"
        ) from None
