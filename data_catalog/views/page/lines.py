"""Horizons and arrivals, role ``pick``, as lines over a section."""

from dataclasses import dataclass

import numpy as np

from data_catalog.errors import InputError
from data_catalog.schema import Entry, Role, Variable
from data_catalog.views.page.bounded_store import Array, Store
from data_catalog.views.page.layers import shown_name
from data_catalog.views.page.sections import Panel, read_over

MOST_LINES = 12

LINE_COLOURS = ("#e8590c", "#f2c200", "#0ca678", "#e64980")
"""Of the lines in turn; they stand out from grey, and from the colours of classes."""


@dataclass(frozen=True)
class Line:
    """A surface where it meets a section.

    Attributes:
        title: What the variable is called.
        colour: As ``#rrggbb``.
        values: A time or depth for each trace of the section, in the units of the sample axis; NaN where there is none.
    """

    title: str
    colour: str
    values: Array


def read_lines(store: Store, entry: Entry, panel: Panel) -> tuple[list[Line], list[str]]:
    """The lines of a section, none on time slices; and a sentence for each that cannot be read."""
    main = entry.variables[entry.main_variable]
    picks = [
        path
        for path, variable in entry.all_variables().items()
        if variable.role is Role.PICK and set(variable.dims) <= set(main.dims[:-1])
    ]
    if main.dims[-1] not in {span.dim for span in panel.section.spans}:
        return [], []
    lines, wrong = [], []
    for place, path in enumerate(picks[:MOST_LINES]):
        try:
            values = _values(store, path, entry.all_variables()[path], panel)
        except InputError as error:
            wrong.append(str(error))
            continue
        if values is not None and np.isfinite(values).any():
            lines.append(Line(shown_name(path), LINE_COLOURS[place % len(LINE_COLOURS)], values))
    return lines, wrong


def _values(store: Store, path: str, variable: Variable, panel: Panel) -> Array | None:
    found = read_over(store, path, variable, panel.section)
    if found is None:
        return None
    across = panel.shape[0] if panel.section.are_traces else panel.shape[1]
    return np.broadcast_to(found.astype(np.float64).ravel(), (across,))
