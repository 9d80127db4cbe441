"""What lies over the sections: classes of labels and predictions, shares between 0 and 1, other volumes.

A layer is a picture of its own, of the size of the data, which the page lays over the drawn section: so that one can be
looked at with it and without it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgba
from PIL import Image

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Entry, Role, Variable
from data_catalog.views.page.axes import number
from data_catalog.views.page.bounded_store import Array, Store
from data_catalog.views.page.sections import Panel, others_on_samples, read_over

MOST_LAYERS = 6
MOST_LEGEND = 24
"""Classes that a legend tells of."""

CLASS_COLOURS = ("#e69f00", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#7b3294")
"""Okabe and Ito (2008), which colour-blind readers tell apart, without black and with a violet."""

CLASS_ALPHA, SHARE_ALPHA = 0.5, 0.75

LOUDEST = 6.0
"""Times the median magnitude that is black or white: of Gaussian samples 99.99 % are within it."""

NO_CLASS = 256
"""The row of a table of colours that stands for whatever is no number of a class."""


@dataclass(frozen=True)
class Swatch:
    """A line of a legend.

    Attributes:
        text: What it says.
        colour: As ``#rrggbb``; None for what is left clear.
    """

    text: str
    colour: str | None


@dataclass(frozen=True)
class Layer:
    """One variable over all sections.

    Attributes:
        title: What the variable is called, ``ID/VARIABLE`` for a derived one.
        legend: What its colours say.
        colours: For each panel (row, column, 4) uint8: red, green, blue, opacity; None where there is nothing over it.
    """

    title: str
    legend: tuple[Swatch, ...]
    colours: tuple[Array | None, ...]


def read_layers(store: Store, entry: Entry, panels: Sequence[Panel]) -> tuple[list[Layer], list[str]]:
    """Layers of a dataset, labels first; and a sentence for each variable that could not be read, or has no room."""
    found = others_on_samples(entry)
    ranked = sorted(found, key=lambda path: (not _is_class(found[path]), found[path].role is Role.PREDICTION))
    layers, wrong = [], []
    for path in ranked[:MOST_LAYERS]:
        try:
            layers.append(_layer(store, path, found[path], panels))
        except InputError as error:
            wrong.append(str(error))
    if left := ranked[MOST_LAYERS:]:
        wrong.append(f"Not drawn, since there are so many: {', '.join(map(shown_name, left))}.")
    return [layer for layer in layers if any(each is not None for each in layer.colours)], wrong


def shown_name(path: str) -> str:
    """What a variable is called on the page: as the trainer's recipes call it."""
    return path.removeprefix(f"{layout.DERIVED_GROUP}/")


def _is_class(variable: Variable) -> bool:
    return variable.flag_values is not None


def _layer(store: Store, path: str, variable: Variable, panels: Sequence[Panel]) -> Layer:
    samples = [_samples(store, path, variable, panel) for panel in panels]
    known = [each for each in samples if each is not None]
    if _is_class(variable):
        legend, of_class = class_colours(variable, clear=_background(variable, known))
        colours = [None if each is None else of_class[_class_numbers(each)] for each in samples]
    elif variable.role is Role.PREDICTION and _are_shares(known):
        legend = _scale("inferno", 0.0, 1.0)
        colours = [None if each is None else _shares(each) for each in samples]
    else:
        name = "viridis" if variable.role is Role.TARGET else "gray"
        low, high = clip(np.concatenate([each.ravel() for each in known] or [np.zeros(0)]))
        legend = _scale(name, low, high, units=variable.units)
        colours = [None if each is None else _values(each, name, low, high) for each in samples]
    return Layer(shown_name(path), legend, tuple(_seen(each) for each in colours))


def _seen(colours: Array | None) -> Array | None:
    """None where all of it is clear."""
    return colours if colours is not None and colours[..., 3].any() else None


def _samples(store: Store, path: str, variable: Variable, panel: Panel) -> Array | None:
    found = read_over(store, path, variable, panel.section)
    if found is None:
        return None
    return np.asarray(np.broadcast_to(found, panel.shape))


def _background(variable: Variable, samples: Sequence[Array]) -> int | None:
    """The first class, where it is what the others stand out from: one of two, or more than half of what is drawn."""
    values = variable.flag_values or ()
    drawn = sum(each.size for each in samples)
    is_most = sum(int((each == values[0]).sum()) for each in samples) > drawn / 2 if values else False
    return values[0] if len(values) == 2 or is_most else None


def class_colours(variable: Variable, *, clear: int | None) -> tuple[tuple[Swatch, ...], Array]:
    """The legend of a variable of classes, and the colour of each of its values, (257, 4) uint8.

    Args:
        variable: Has the classes.
        clear: A class that is left clear.
    """
    values, words = variable.flag_values or (), variable.flag_meanings or ()
    colours = np.zeros((NO_CLASS + 1, 4), np.uint8)
    legend = []
    for place, value in enumerate(values):
        word = words[place] if place < len(words) else str(value)
        colour = None if value == clear else CLASS_COLOURS[place % len(CLASS_COLOURS)]
        legend.append(Swatch(word, colour))
        if colour is not None and 0 <= value < NO_CLASS and value != variable.ignore_value:
            colours[value] = np.array(to_rgba(colour, CLASS_ALPHA)) * 255
    if (left := len(legend) - MOST_LEGEND) > 0:
        legend[MOST_LEGEND:] = [Swatch(f"and {left} more", None)]
    return tuple(legend), colours


def _class_numbers(samples: Array) -> Array:
    """Numbers of classes as indices into a table of colours; a prediction may be of any type, and NaN."""
    is_class = (samples >= 0) & (samples < NO_CLASS)
    return np.where(is_class, samples, NO_CLASS).astype(np.int64)


def _are_shares(arrays: Sequence[Array]) -> bool:
    finite = [each[np.isfinite(each)] for each in arrays if each.dtype.kind == "f"]
    return bool(finite) and all(not each.size or (each.min() >= 0 and each.max() <= 1) for each in finite)


def clip(samples: Array) -> tuple[float, float]:
    """What is black and what is white: 99 % of the samples are between, evenly around 0 where they have both signs.

    Where a few traces are far louder than all others, as near a source, less: else they would be all that is seen.
    """
    finite = samples[np.isfinite(samples)].astype(np.float64)
    if not finite.size:
        return 0.0, 1.0
    if finite.min() < 0 < finite.max():
        magnitudes = np.abs(finite[finite != 0])
        high = min(float(np.percentile(magnitudes, 99)), LOUDEST * float(np.median(magnitudes)))
        return -high, high
    low, high = map(float, np.percentile(finite, (0.5, 99.5)))
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _shares(samples: Array) -> Array:
    known = np.nan_to_num(samples, nan=0.0)
    colours = colormaps["inferno"](known)
    colours[..., 3] = SHARE_ALPHA * np.sqrt(known)
    return np.asarray(colours * 255, np.uint8)


def _values(samples: Array, name: str, low: float, high: float) -> Array:
    colours = colormaps[name]((samples.astype(np.float64) - low) / (high - low))
    colours[..., 3] = np.isfinite(samples)
    return np.asarray(colours * 255, np.uint8)


def _scale(name: str, low: float, high: float, *, units: str | None = None) -> tuple[Swatch, ...]:
    steps = np.linspace(0, 1, 5)
    texts = [number(float(f"{low + step * (high - low):.3g}")) for step in steps]
    texts[-1] = f"{texts[-1]} {units or ''}".strip()
    return tuple(Swatch(text, to_hex(colormaps[name](step))) for step, text in zip(steps, texts, strict=True))


def encoded(colours: Array) -> bytes:
    """Colours as a WebP file: a few in large patches are smallest, and sharp, without loss; textures are not."""
    is_plain = len(np.unique(colours[::8, ::8].reshape(-1, 4), axis=0)) <= len(CLASS_COLOURS) + 1
    content = io.BytesIO()
    Image.fromarray(colours).save(content, format="webp", lossless=is_plain, quality=75, method=1)
    return content.getvalue()
