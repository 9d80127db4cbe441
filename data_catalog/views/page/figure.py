"""How pictures are made: no window system, colours that can be read on white and on black, small files."""

import io
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#73777e"
"""Of axes and words: about as far from white as from the dark page, 4.4 to 1."""

WIDTH_IN = 5.2
DPI = 150
"""Pictures are shown at 350 to 550 pixels: sharp there on most screens, and their words as large as the page's."""

LEFT, RIGHT, BOTTOM, TOP = 0.145, 0.965, 0.125, 0.975
"""Where axes lie in a picture; style.css lays layers over the same place."""

STYLE: Any = {  # matplotlib's stubs name each parameter there is
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
}


def new_axes(*, height_in: float) -> "Axes":
    """Axes of a new picture, at the place that all pictures have them."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
        return figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))


def bare_axes(*, size_px: tuple[int, int]) -> "Axes":
    """Axes that fill a picture, and are not drawn themselves."""
    figure = Figure(figsize=(size_px[0] / DPI, size_px[1] / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return axes


def webp(axes: "Axes") -> bytes:
    """The picture as a WebP file without background."""
    content = io.BytesIO()
    figure = axes.figure
    with rc_context(STYLE):
        figure.savefig(content, format="webp", transparent=True, pil_kwargs={"quality": 80, "method": 2})  # type: ignore[union-attr]
    return content.getvalue()
