"""How pictures are made: no window system, colours that can be read on white and on black, small files."""

import io
import warnings
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from data_catalog.views.page.bounded_store import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#73777d"
"""Of axes and words: as far from white as from the dark page of style.css, 4.5 to 1 (WCAG 2.2, 1.4.3)."""

QUALITY = {"quality": 80, "alpha_quality": 80, "method": 2}
"""Of WebP: letters stay sharp. With all of the opacity a picture takes a quarter longer to encode."""

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
        axes = figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_parse_math(False)  # units are anybody's words, and a dollar sign in them is one
    return axes


def webp(axes: "Axes") -> bytes:
    """The picture as a WebP file without background."""
    content = io.BytesIO()
    figure = axes.figure
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box in the picture; the page has it
        figure.savefig(content, format="webp", transparent=True, pil_kwargs=QUALITY)  # type: ignore[union-attr]
    return content.getvalue()


def thumbnail(picture: bytes, over: Array | None, *, size_px: tuple[int, int]) -> bytes:
    """What is inside the axes of a picture, small, as a WebP file.

    Args:
        picture: A file of `webp`.
        over: Colours over it, (row, column, 4) uint8.
        size_px: Width and height.
    """
    with Image.open(io.BytesIO(picture)) as opened:
        width, height = opened.size
        inside = (LEFT * width, (1 - TOP) * height, RIGHT * width, (1 - BOTTOM) * height)
        small = opened.convert("RGBA").resize(size_px, Image.Resampling.BOX, box=inside)
    if over is not None:
        small.alpha_composite(Image.fromarray(over).resize(size_px, Image.Resampling.NEAREST))
    content = io.BytesIO()
    small.save(content, format="webp", **QUALITY)
    return content.getvalue()
