"""Where a catalog keeps what it knows of each name: what that is, and what such a place has to be able to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from data_catalog.errors import InputError
from data_catalog.unfinished import Unfinished

UNFINISHED_FOLDER = "unfinished"

MOST_ENTRY_NBYTES = 64 * 2**20
"""An entry of a hundred thousand source files has a third of it: what is larger is none, and is not read."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a name stands: finished, unfinished, or not known at all, where both are None.

    Attributes:
        entry: The entry's JSON, as it is stored.
        unfinished: The record of a dataset that has no entry.
    """

    entry: bytes | None = None
    unfinished: Unfinished | None = None


Step = Callable[[Standing], Standing]
"""From how a name stands to how it shall stand. It may be called several times, and raises where it may not be."""


class Folder(Protocol):
    """A place that keeps a standing for each name, and changes it as one step that no other comes in between.

    Attributes:
        place: Path or URL, for messages.
    """

    place: str

    def is_there(self) -> bool:
        """Whether anything was ever written there."""

    def names(self) -> list[str]:
        """Names that are finished, sorted, whether or not their entries can be read."""

    def unfinished_names(self) -> list[str]:
        """Names that are unfinished, sorted."""

    def standings(self) -> Iterator[tuple[str, Standing | InputError]]:
        """How each name stands, in the order of names, or why that cannot be read; with as little asking as may be."""

    def path_of(self, name: str) -> str:
        """Where the standing of a name is kept, for messages."""

    def read(self, name: str) -> Standing:
        """How a name stands.

        Raises:
            InputError: If the place cannot be read, or holds what is no standing.
        """

    def change(self, name: str, step: Step) -> None:
        """Changes how a name stands, if nobody does so in between; else the step is taken from there.

        Raises:
            InputError: If the place cannot be written; and whatever the step raises.
        """

    def check_writable(self) -> None:
        """Sees that it could be changed.

        Raises:
            InputError: If it could not.
        """
