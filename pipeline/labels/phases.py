"""Which of the phases that are asked for an analyst's word for an arrival is."""

from collections.abc import Sequence

FAMILIES = {
    "P": frozenset({"p", "Pg", "Pb", "P*", "Pn", "Pdiff", "Pdif"}),
    "S": frozenset({"s", "Sg", "Sb", "S*", "Sn", "Sdiff", "Sdif"}),
}
"""Direct waves by the way that they took, as the IASPEI standard phase list has them, with its older spellings
(Storchak, Schweitzer and Bormann 2003, Seismological Research Letters 74, 761-772). Reflections, depth phases and waves
through the core (``PmP``, ``pP``, ``PKP``) are arrivals of their own, not later P."""


def class_numbers(asked: Sequence[str]) -> dict[str, int]:
    """Class numbers, from 1 on, of all words that mean a phase that is asked for.

    A word that is asked for is that phase alone. Of the others, direct waves are ``P`` or ``S``, if these are asked
    for.

    Args:
        asked: The phases, in the order of their classes.
    """
    exact = {phase: number for number, phase in enumerate(asked, start=1)}
    wider = {word: exact[head] for head, family in FAMILIES.items() if head in exact for word in family}
    return wider | exact
