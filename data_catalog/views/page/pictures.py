"""The pictures of a dataset: drawn, written, and described for those who do not see them."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_catalog.schema import Entry, Role
from data_catalog.views.page.axes import number
from data_catalog.views.page.folder import PICTURES, SiteFolder
from data_catalog.views.page.layers import Layer, Swatch, encoded, read_layers
from data_catalog.views.page.lines import read_lines
from data_catalog.views.page.section_figure import draw_section, draw_thumbnail
from data_catalog.views.page.sections import Panel, others_on_samples, read_panels
from data_catalog.views.page.store import Store

MOST_OTHERS = 3
"""Variables on samples of their own that are drawn too: velocities beside shots, say."""

THUMBNAIL_PX = (320, 200)


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        source: Its file, relative to the page.
        alternative: What it shows, in words.
        caption: What stands below it.
        note: What was left out of it; empty where nothing was.
        layers: Files that lie over it, by the number of the layer.
        lines: What its lines are.
    """

    source: str
    alternative: str
    caption: str
    note: str = ""
    layers: tuple[tuple[int, str], ...] = ()
    lines: tuple[Swatch, ...] = ()


@dataclass(frozen=True)
class Sections:
    """All sections of a dataset.

    Attributes:
        pictures: Of the main variable.
        others: Of variables on other samples.
        layers: What can be laid over the main variable.
        wrong: Sentences about what could not be drawn.
        thumbnail: A file, relative to the folder of the site; None where nothing could be drawn.
    """

    pictures: tuple[Picture, ...]
    others: tuple[Picture, ...]
    layers: tuple[Layer, ...]
    wrong: tuple[str, ...]
    thumbnail: str | None


def write_sections(store: Store, entry: Entry, folder: SiteFolder) -> Sections:
    """Draws and writes the sections of a dataset."""
    panels = read_panels(store, entry)
    layers, wrong = read_layers(store, entry, panels)
    wrong = [*(panel for panel in panels if isinstance(panel, str)), *wrong]
    pictures, thumbnail = [], None
    for place, panel in enumerate(panels):
        if isinstance(panel, str):
            continue
        if thumbnail is None:
            over = next((each.colours[place] for each in layers), None)
            content = draw_thumbnail(panel, over, size_px=THUMBNAIL_PX)
            thumbnail = write_picture(folder, entry, "thumbnail", content)
        pictures.append(_write_panel(store, entry, folder, panel, place, layers))
    others = []
    for seen in _others(entry):
        for place, panel in enumerate(read_panels(store, seen)[:1]):
            if isinstance(panel, str):
                wrong.append(panel)
            else:
                others.append(_write_panel(store, seen, folder, panel, place, ()))
    return Sections(tuple(pictures), tuple(others), tuple(layers), tuple(dict.fromkeys(wrong)), thumbnail)


def write_picture(folder: SiteFolder, entry: Entry, name: str, content: bytes) -> str:
    """Writes a picture of a dataset; returns its place, relative to the folder of the site."""
    return folder.write(f"{PICTURES}/{entry.name}/{name}.webp", content)


def from_page(source: str) -> str:
    """A place as a page in ``datasets/`` names it."""
    return f"../{source}"


def _others(entry: Entry) -> list[Entry]:
    """The dataset as seen from each variable that lies on other samples than the main one."""
    over = others_on_samples(entry)
    found = [
        name
        for name, variable in entry.variables.items()
        if variable.role in {Role.INPUT, Role.TARGET} and name not in over
    ]
    return [entry.model_copy(update={"main_variable": name}) for name in found if name != entry.main_variable][
        :MOST_OTHERS
    ]


def _write_panel(
    store: Store, entry: Entry, folder: SiteFolder, panel: Panel, place: int, layers: Sequence[Layer]
) -> Picture:
    lines = read_lines(store, entry, panel)
    name = f"{entry.main_variable}-{place + 1}"
    source = write_picture(folder, entry, name, draw_section(panel, lines))
    over = []
    for count, layer in enumerate(layers, start=1):
        colours = layer.colours[place]
        if colours is not None:
            over.append((count, from_page(write_picture(folder, entry, f"{name}-over-{count}", encoded(colours)))))
    return Picture(
        from_page(source),
        _alternative(panel, entry.main_variable),
        _caption(panel, entry.main_variable),
        panel.left_out,
        tuple(over),
        tuple(Swatch(line.title, line.colour) for line in lines),
    )


def _caption(panel: Panel, variable: str) -> str:
    place = panel.place or " by ".join(span.dim for span in panel.section.spans)
    return f"{variable}, {place}"


def _alternative(panel: Panel, variable: str) -> str:
    """What a picture shows, for those who do not see it."""
    axes = [axis for axis in (panel.columns, panel.rows) if axis is not None]
    told = [f"{axis.title} {number(axis.values[0])} to {number(axis.values[-1])}" for axis in axes]
    what = "Curves" if panel.section.are_traces else "Image"
    return f"{what} of {variable} at {panel.place or 'all samples'}: {', '.join(told)}"
