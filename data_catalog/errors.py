"""The one exception that a command turns into a sentence and exit status 2."""

from collections.abc import Sequence

from data_catalog.problem import Problem


class InputError(Exception):
    """The input or the call is wrong: says what was found, what was expected and what to do next."""


class WorkError(Exception):
    """The work could not be finished though nothing was wrong with the call: exit status 1, and a sentence."""


class ConformanceError(InputError):
    """An entry or a store breaks the contract; carries every problem found, not only the first.

    Attributes:
        problems: What is wrong, each with its place, a code and a sentence.
    """

    def __init__(self, subject: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{subject} does not keep to data_catalog/SPEC.md ({len(self.problems)} found):\n{lines}")
