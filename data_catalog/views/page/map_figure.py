"""The map of a survey as a picture: traces, and the boxes of its splits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Polygon, Rectangle

from data_catalog.schema import Box, Entry, Kind
from data_catalog.views.page.bounded_store import Array
from data_catalog.views.page.figure import INK, new_axes, webp
from data_catalog.views.page.layers import CLASS_COLOURS, Swatch
from data_catalog.views.page.survey_map import Places, corners, split_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_IN = 3.7
AREA_ALPHA = 0.6
DOT, SOURCE = 4.0, 16.0
"""Areas of marks, in square points."""

AREA, MOST_DOT = 2000.0, 25.0
"""Of all marks together, and of one of a few."""

MOST_DOTS = 24
"""Traces along either axis of an even grid."""

SPLIT_COLOURS = {"train": "#0072b2", "validation": "#e69f00", "test": "#d55e00"}
"""Of the usual ones; others take those of classes in turn."""


def split_legend(entry: Entry) -> tuple[Swatch, ...]:
    """The splits with their colours."""
    others = iter([colour for colour in CLASS_COLOURS if colour not in SPLIT_COLOURS.values()] * len(entry.splits))
    return tuple(Swatch(name, SPLIT_COLOURS.get(name) or next(others)) for name in entry.splits)


def draw_map(entry: Entry, found: Sequence[Places]) -> bytes:
    """A WebP file of traces on the map, or of the axes of traces where there are no positions.

    Splits are areas where traces lie on an even grid, and colours of the traces elsewhere. Of sources and receivers the
    sources are drawn larger, over the receivers.
    """
    axes = new_axes(height_in=HEIGHT_IN)
    for place, places in reversed(list(enumerate(found))):
        survey = corners(places, {})
        if survey is None:
            few = float(np.clip(AREA / places.x.size, DOT, MOST_DOT))
            _draw_traces(axes, entry, places, size=SOURCE if place < len(found) - 1 else few)
        else:
            _draw_grid(axes, entry, places, survey)
    if found:
        _label(axes, found[0])
    else:
        _draw_indices(axes, entry)
    return webp(axes)


def _draw_traces(axes: "Axes", entry: Entry, places: Places, *, size: float) -> None:
    left = np.isfinite(places.x) & np.isfinite(places.y)
    for swatch in split_legend(entry):
        inside = split_of(places, entry.splits[swatch.text]) & left
        left &= ~inside
        axes.scatter(places.x[inside], places.y[inside], s=size, color=swatch.colour, linewidths=0)
    axes.scatter(places.x[left], places.y[left], s=size, color=INK, linewidths=0)


def _draw_grid(axes: "Axes", entry: Entry, places: Places, survey: Array) -> None:
    """Boxes as areas, and some of the traces: they show where the grid has holes."""
    axes.add_patch(Polygon(survey, facecolor="none", edgecolor=INK, linewidth=0.8))
    for swatch in split_legend(entry):
        for outline in (corners(places, box) for box in entry.splits[swatch.text]):
            if outline is not None:
                axes.add_patch(Polygon(outline, facecolor=swatch.colour, alpha=AREA_ALPHA, edgecolor="none"))
    thin = tuple(slice(None, None, -(-size // MOST_DOTS)) for size in places.x.shape)
    axes.scatter(places.x[thin], places.y[thin], s=DOT, color=INK, linewidths=0)


def _label(axes: "Axes", places: Places) -> None:
    axes.set(xlabel=f"east ({places.units or 'no units'})", ylabel="north")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06)
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.tick_params(axis="y", labelrotation=90)
    axes.locator_params(nbins=4)


def _draw_indices(axes: "Axes", entry: Entry) -> None:
    """The first two dimensions of traces as a rectangle, or the only one as a bar."""
    dims = entry.variables[entry.main_variable].dims
    across = dims[:1] if entry.kind is Kind.EXAMPLES else dims[:-1][:2] or dims
    sizes = [entry.sizes[dim] for dim in across]
    axes.add_patch(Rectangle((0, 0), *_extent(sizes), facecolor=INK, alpha=0.2, edgecolor=INK))
    for swatch in split_legend(entry):
        for box in entry.splits[swatch.text]:
            start, extent = _rectangle(box, across, sizes)
            axes.add_patch(Rectangle(start, *extent, facecolor=swatch.colour, alpha=AREA_ALPHA, edgecolor="none"))
    width, height = _extent(sizes)
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel=f"{across[-1]} index")
    if len(across) == 2:
        axes.set_ylabel(f"{across[0]} index")
    else:
        axes.set_yticks([])
        axes.set_position((0.06, 0.45, 0.9, 0.3))


def _extent(sizes: list[int]) -> tuple[int, int]:
    return (sizes[1], sizes[0]) if len(sizes) == 2 else (sizes[0], 1)


def _rectangle(box: Box, dims: tuple[str, ...], sizes: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    ranges = [box.get(dim, (0, size)) for dim, size in zip(dims, sizes, strict=True)]
    if len(ranges) == 1:
        ranges = [(0, 1), *ranges]
    (top, bottom), (left, right) = ranges
    return (left, top), (right - left, bottom - top)
