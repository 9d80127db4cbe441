"""The amplitudes of a dataset as a picture, out of its manifest's histogram."""

import numpy as np

from data_catalog.views.page.figure import LEFT, RIGHT, TOP, new_axes, webp
from data_catalog.views.page.manifest import Counts, histogram_edges, in_order

HEIGHT_IN = 2.6
BOTTOM = 0.18
"""Where its axes begin: words take a larger part of a picture that is less high."""

BINS = 80
TICKS = 5
OUTSIDE = 0.001
"""Share of the samples at either end that is not drawn: a few spikes would make a needle of all the rest."""

BAR = "#3b82c4"

NEEDLE = 0.3
"""Share of the samples in one bar from which on all others could not be seen beside it."""


def draw_histogram(counts: Counts, *, title: str) -> bytes:
    """A WebP file of counts of which some are finite samples.

    Bins of the manifest are a fifth of an amplitude wide; samples are taken as evenly spread inside them.
    """
    edges, shares = histogram_edges(), np.concatenate([[0.0], np.cumsum(in_order(counts.values))])
    shares /= shares[-1]
    first = int(np.searchsorted(shares, OUTSIDE, side="right")) - 1
    last = int(np.searchsorted(shares, 1 - OUTSIDE, side="left"))
    shown = np.linspace(edges[max(0, first)], edges[last], BINS + 1)
    heights = np.diff(np.interp(shown, edges, shares))
    axes = new_axes(height_in=HEIGHT_IN)
    axes.set_position((LEFT, BOTTOM, RIGHT - LEFT, TOP - BOTTOM))
    axes.locator_params(nbins=TICKS)
    axes.stairs(100 * heights, shown, fill=True, color=BAR)
    axes.set(xlabel=title, ylabel="% of the samples", xlim=shown[[0, -1]])
    if heights.max() > NEEDLE:
        axes.set(yscale="log", ylim=(100 * heights[heights > 0].min(), 100), ylabel="% of the samples, logarithmic")
        axes.minorticks_off()  # there are dozens, each a mark that takes as long as a word
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 5))
    axes.spines[["top", "right"]].set_visible(False)
    return webp(axes)
