"""A section as a picture: grey for amplitudes, curves where there are few traces, lines for horizons and picks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from data_catalog.views.page.axes import Axis, number
from data_catalog.views.page.figure import INK, new_axes, webp
from data_catalog.views.page.layers import clip
from data_catalog.views.page.lines import Line
from data_catalog.views.page.sections import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT_IN = 3.7
TICKS = 6
CURVE_ROOM = 0.45
"""How far a curve reaches from the middle of its row, in rows."""


def draw_section(panel: Panel, lines: Sequence[Line]) -> bytes:
    """A WebP file of a section with its axes; the axes span what is drawn, from edge to edge."""
    axes = new_axes(height_in=HEIGHT_IN)
    _draw_samples(axes, panel)
    _label(axes, panel)
    for line in lines:
        _draw_line(axes, panel, line)
    return webp(axes)


def _draw_samples(axes: "Axes", panel: Panel) -> None:
    """Draws the samples: rows and columns counted from 0, each as wide as 1."""
    rows, columns = panel.shape
    if panel.section.are_traces:
        _draw_curves(axes, panel)
    else:
        low, high = clip(panel.samples)
        is_signed = low < 0 < high
        shown = np.ma.masked_invalid(panel.samples)
        cmap = "gray_r" if is_signed else "gray"
        axes.imshow(shown, cmap=cmap, vmin=low, vmax=high, aspect="auto", extent=_extent(panel))
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    if not np.isfinite(panel.samples).any():
        axes.text(0.5, 0.5, "nothing was recorded here", ha="center", va="center", transform=axes.transAxes, color=INK)


def _extent(panel: Panel) -> tuple[float, float, float, float]:
    rows, columns = panel.shape
    return -0.5, columns - 0.5, rows - 0.5, -0.5


def _draw_curves(axes: "Axes", panel: Panel) -> None:
    """Each trace around the middle of its row, all at one scale."""
    finite = panel.samples[np.isfinite(panel.samples)]
    middle = float(np.median(finite)) if finite.size else 0.0
    reach = float(np.abs(finite - middle).max(initial=0.0)) or 1.0
    for row, trace in enumerate(panel.samples):
        axes.plot(row - CURVE_ROOM * (trace - middle) / reach, color=INK, linewidth=0.7)


def _label(axes: "Axes", panel: Panel) -> None:
    _label_axis(axes.xaxis, panel.columns, size=panel.shape[1])
    if panel.rows is None:
        axes.set_yticks([])
        return
    _label_axis(axes.yaxis, panel.rows, size=panel.shape[0])
    if panel.section.are_traces:
        axes.set_yticks(range(panel.shape[0]), [number(value) for value in panel.rows.values])


def _label_axis(axis, of: Axis, *, size: int) -> None:  # type: ignore[no-untyped-def] # matplotlib's XAxis or YAxis
    """Ticks at round labels where labels are evenly spaced, at whole places elsewhere."""
    axis.set_label_text(of.title)
    if of.is_even:
        low, high = sorted((float(of.values[0]), float(of.values[-1])))
        ticks = [tick for tick in MaxNLocator(TICKS, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
        places = [(tick - of.values[0]) / (of.values[1] - of.values[0]) for tick in ticks]
        axis.set_ticks(places, [number(float(f"{tick:.6g}")) for tick in ticks])
        return
    inside = range(size)
    axis.set_major_locator(MaxNLocator(TICKS, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda place, _: number(of.values[int(place)]) if place in inside else ""))


def _draw_line(axes: "Axes", panel: Panel, line: Line) -> None:
    samples = panel.columns if panel.section.are_traces else panel.rows
    assert samples is not None, "only a section of curves has no rows"
    order = np.argsort(samples.values)
    places = np.interp(line.values, samples.values[order], order.astype(np.float64), left=np.nan, right=np.nan)
    across = np.arange(len(places), dtype=np.float64)
    if panel.section.are_traces:
        axes.vlines(places, across - CURVE_ROOM, across + CURVE_ROOM, color=line.colour, linewidth=1.6)
    else:
        axes.plot(across, places, color=line.colour, linewidth=1.6)
