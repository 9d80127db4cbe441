"""A picture of a survey: a section, header words along the file, and a map."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.inspection.sampled_traces import neighbouring_traces
from pipeline.survey.coordinates import scaled
from pipeline.survey.files import Survey
from pipeline.survey.header_words import HeaderWords
from pipeline.survey.outliers import main_range

SECTION_TRACES = 500
SECTION_SAMPLES = 1500
HEADER_TRACES = 5000

_CLIP = 99.0
"""Percentile of magnitudes that is black or white."""

_WORDS = ("inline", "crossline", "cdp", "offset", "shot", "channel", "cable", "component")
_PLACES = (("cdp_x", "cdp_y", "CDP"), ("source_x", "source_y", "source"), ("receiver_x", "receiver_y", "receiver"))


def draw(survey: Survey, path: Path, *, title: str, first_ms: float) -> None:
    """Draws a survey as a PNG file.

    Args:
        survey: The files, with the places of the words that make the geometry.
        path: The file, which is replaced.
        title: Above all.
        first_ms: Time in ms, or depth, of the first sample.

    Raises:
        InputError: If it cannot be written.
    """
    # Imported here: drawing would delay every other command.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    panels = figure.add_gridspec(2, 2, width_ratios=(3, 2))
    _draw_section(survey, figure.add_subplot(panels[:, 0]), first_ms)
    numbers = np.unique(np.linspace(0, survey.trace_count - 1, HEADER_TRACES).astype(np.int64))
    words = survey.read_header_words(numbers)
    _draw_words(numbers, words, figure.add_subplot(panels[0, 1]))
    _draw_map(words, figure.add_subplot(panels[1, 1]))
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name another file for the picture.") from None


def _draw_section(survey: Survey, axes: Any, first_ms: float) -> None:
    file = survey.files[0]
    found = neighbouring_traces(survey, SECTION_TRACES)
    step = max(1, file.sample_count // SECTION_SAMPLES)
    shown = np.nan_to_num(found.samples[:, ::step], nan=0.0, posinf=0.0, neginf=0.0).T
    magnitudes = np.abs(shown[shown != 0])
    clip = float(np.percentile(magnitudes, _CLIP)) if magnitudes.size else 1.0
    is_signed = bool((shown < 0).any())
    first, last = int(found.numbers[0]), int(found.numbers[-1])
    seconds = file.sample_count * file.sample_interval_us / 1e6
    image = axes.imshow(
        shown,
        aspect="auto",
        cmap="gray_r" if is_signed else "viridis",
        vmin=-clip if is_signed else None,
        vmax=clip if is_signed else None,
        extent=(first - 0.5, last + 0.5, first_ms / 1000 + seconds, first_ms / 1000),
        interpolation="nearest",
    )
    axes.figure.colorbar(image, ax=axes, shrink=0.6, label="amplitude")
    axes.set(
        title=f"traces {first} to {last}", xlabel="trace, in the order of the file", ylabel="time (s), or depth (km)"
    )


def _draw_words(numbers: NDArray[np.int64], words: HeaderWords, axes: Any) -> None:
    """Words that vary, each from its least to its greatest value."""
    labels: list[str] = []
    for name in _WORDS:
        values = words.get(name)
        if values is None or (values == values[0]).all():
            continue
        least, greatest = main_range(values)
        share = ((values.astype(np.float64) - least) / max(1, greatest - least)).clip(-0.1, 1.1)
        axes.plot(numbers, share + 1.3 * len(labels), ".", markersize=2)
        labels.append(f"{name}\n{least} to {greatest}")
    axes.set(title="header words", xlabel="trace, in the order of the file")
    axes.set_yticks([0.5 + 1.3 * row for row in range(len(labels))], labels, fontsize="small")
    if not labels:
        axes.text(0.5, 0.5, "none of them varies", ha="center", va="center", transform=axes.transAxes)


def _draw_map(words: HeaderWords, axes: Any) -> None:
    drawn = False
    for x, y, name in _PLACES:
        if x in words and not ((words[x] == words[x][0]).all() and (words[y] == words[y][0]).all()):
            east, north = (scaled(words[each], words["coordinate_scalar"]) for each in (x, y))
            axes.plot(east, north, ".", markersize=3, label=name)
            drawn = True
    axes.set(title="map coordinates", xlabel="east", ylabel="north")
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.tick_params(axis="x", labelrotation=30)
    if drawn:
        axes.set_aspect("equal", adjustable="datalim")
        axes.legend(loc="best", fontsize="small", markerscale=3)
    else:
        axes.text(0.5, 0.5, "there are none", ha="center", va="center", transform=axes.transAxes)
