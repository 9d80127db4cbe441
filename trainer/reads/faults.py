"""What can be wrong with a stored chunk."""

from enum import StrEnum

from data_catalog import InputError


class Fault(StrEnum):
    """Why a chunk cannot be used; a chunk that is left out because it holds the fill value alone is none of these."""

    MISSING = "missing"
    """It is not stored, and the manifest says that it should be."""

    SHORT = "short"
    """Its object ends before it does."""

    CHECKSUM = "checksum"
    """Its bytes are not those that were written."""

    UNDECODABLE = "undecodable"
    """Its bytes are not what its codec makes."""

    UNREADABLE = "unreadable"
    """The storage system fails, again and again."""


class ChunkFaultError(InputError):
    """A chunk that cannot be used.

    Attributes:
        fault: Why.
        place: The array and the chunk's index in it, as users read it.
    """

    def __init__(self, fault: Fault, *, place: str, detail: str) -> None:
        super().__init__(
            f"{place} cannot be read ({fault}): {detail}. `python -m pipeline verify` finds all that is damaged; "
            "config.feed.faults can leave it out."
        )
        self.fault = fault
        self.place = place
