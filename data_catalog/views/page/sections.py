"""The samples of a section, of the main variable and of whatever else lies on the same samples."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Entry, Role, Variable
from data_catalog.views.page.axes import Axis, label_at, read_axis
from data_catalog.views.page.bounded_store import Array, Store, chunk_budget
from data_catalog.views.page.section_plan import Section, Span, plan_sections


@dataclass(frozen=True)
class Panel:
    """A section of the main variable, as it is drawn.

    Attributes:
        section: Where it lies.
        samples: (row, column), float64; NaN where nothing was recorded.
        rows: Its axis downwards; None where there is a single trace.
        columns: Its axis to the right.
        place: Where it lies along all other dimensions, in words.
    """

    section: Section
    samples: Array
    rows: Axis | None
    columns: Axis
    place: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.samples.shape
        return rows, columns

    @property
    def left_out(self) -> str:
        """What of the section is not drawn, in words; empty where all of it is."""
        return "; ".join(_left_out(span) for span in self.section.spans if not span.is_whole)


def read_panels(store: Store, entry: Entry, *, most: int | None = None) -> tuple[list[Panel], list[str]]:
    """The sections of a dataset's main variable; and a sentence for each that cannot be read.

    Args:
        store: Where it is.
        entry: The dataset.
        most: Of the sections that it has; None for all.
    """
    main = entry.variables[entry.main_variable]
    budget = chunk_budget(main.chunk_shape, store.array(entry.main_variable).dtype.itemsize)
    if not budget:
        return [], [f"{entry.main_variable} is not drawn: a single chunk of it is too large to be read for a picture."]
    panels, wrong = [], []
    for section in plan_sections(entry.kind, main, budget=budget)[:most]:
        try:
            panels.append(_read_panel(store, entry, section))
        except InputError as error:
            wrong.append(str(error))
    return panels, wrong


def _read_panel(store: Store, entry: Entry, section: Section) -> Panel:
    main = entry.variables[entry.main_variable]
    samples = read_over(store, entry.main_variable, main, section)
    assert samples is not None, "a section lies on the main variable's own dimensions"
    return Panel(
        section,
        np.where(_live(store, entry, section), samples.astype(np.float64), np.nan),
        None if section.rows is None else read_axis(store, entry, section.rows),
        read_axis(store, entry, section.columns),
        ", ".join(label_at(store, entry, dim, at) for dim, at in section.fixed.items()),
    )


def _live(store: Store, entry: Entry, section: Section) -> Array:
    live = entry.variables.get(layout.LIVE)
    found = None if live is None else read_over(store, layout.LIVE, live, section)
    return np.ones((1, 1), bool) if found is None else found.astype(bool)


def read_over(store: Store, path: str, variable: Variable, section: Section) -> Array | None:
    """Samples of a variable on a section, (row, column), 1 along an axis that the variable has not.

    Returns:
        None where the variable lies on other dimensions.

    Raises:
        InputError: If it cannot be read.
    """
    parts = _parts(section)
    if not set(variable.dims) <= parts.keys():
        return None
    found = store.read(path, [parts[dim] for dim in variable.dims])
    shown = [span.dim for span in section.spans]
    kept = [dim for dim in variable.dims if dim in shown]
    found = found.reshape([size for dim, size in zip(variable.dims, found.shape, strict=True) if dim in kept])
    found = found.transpose([kept.index(dim) for dim in shown if dim in kept])
    missing = [place for place, dim in enumerate(shown) if dim not in kept]
    found = np.expand_dims(found, missing)
    return found if section.rows is not None else found[np.newaxis]


def _parts(section: Section) -> Mapping[str, slice]:
    fixed = {dim: slice(at, at + 1) for dim, at in section.fixed.items()}
    return fixed | {span.dim: span.part for span in section.spans}


def others_on_samples(entry: Entry) -> dict[str, Variable]:
    """Variables by path that can be drawn over the main one: on its dimensions, or on some of them and its samples."""
    main = entry.variables[entry.main_variable]
    return {
        path: variable
        for path, variable in entry.all_variables().items()
        if path != entry.main_variable
        and variable.role in {Role.INPUT, Role.CLASS_LABEL, Role.TARGET, Role.PREDICTION}
        and set(variable.dims) <= set(main.dims)
        and main.dims[-1] in variable.dims
    }


def _left_out(span: Span) -> str:
    told = []
    if (taken := span.stop - span.start) < span.size:
        told.append(f"{taken} of {span.size} along {span.dim}, out of the middle")
    if span.step > 1:
        told.append(f"one in {span.step} along {span.dim}")
    return ", ".join(told)
