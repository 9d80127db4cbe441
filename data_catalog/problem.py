"""One thing that is wrong, with its place, a code and a sentence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """A single breach of the contract.

    Attributes:
        place: Where it is, e.g. ``entry.splits.train[0].inline`` or ``store/amplitude``.
        code: A stable word for machines, e.g. ``shape-differs``.
        message: A sentence for people: what was found, what was expected.
    """

    place: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message} [{self.code}]"
