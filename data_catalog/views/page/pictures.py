"""The pictures of a dataset: drawn, written, and described for those who do not see them."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_catalog.schema import Entry, Role
from data_catalog.views.page.axes import number
from data_catalog.views.page.bounded_store import Store
from data_catalog.views.page.figure import thumbnail
from data_catalog.views.page.layers import Layer, Swatch, encoded, read_layers
from data_catalog.views.page.lines import read_lines
from data_catalog.views.page.section_figure import draw_section
from data_catalog.views.page.sections import Panel, others_on_samples, read_panels
from data_catalog.views.page.site_folder import PICTURES, SiteFolder

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
class _Drawn:
    """A picture that was written, its file, and sentences about what is missing from it."""

    picture: Picture
    content: bytes
    wrong: list[str]


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
    panels, wrong = read_panels(store, entry)
    layers, not_laid = read_layers(store, entry, panels)
    drawn = [_write_panel(store, entry, folder, panel, place, layers) for place, panel in enumerate(panels)]
    small = None
    if drawn:
        over = next((each.colours[0] for each in layers), None)
        small = write_picture(folder, entry, "thumbnail", thumbnail(drawn[0].content, over, size_px=THUMBNAIL_PX))
    others, not_drawn = _write_others(store, entry, folder)
    wrong += [*not_laid, *(sentence for each in drawn for sentence in each.wrong), *not_drawn]
    return Sections(
        tuple(each.picture for each in drawn), tuple(others), tuple(layers), tuple(dict.fromkeys(wrong)), small
    )


def _write_others(store: Store, entry: Entry, folder: SiteFolder) -> tuple[list[Picture], list[str]]:
    """One section of each variable that lies on other samples than the main one; and what could not be drawn."""
    pictures, wrong = [], []
    for seen in _others(entry):
        panels, unread = read_panels(store, seen, most=1)
        wrong += unread
        for panel in panels:
            drawn = _write_panel(store, seen, folder, panel, 0, ())
            pictures.append(drawn.picture)
            wrong += drawn.wrong
    return pictures, wrong


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
) -> _Drawn:
    """A section's picture and its layers, written."""
    lines, wrong = read_lines(store, entry, panel)
    name = f"{entry.main_variable}-{place + 1}"
    content = draw_section(panel, lines)
    source = write_picture(folder, entry, name, content)
    over = []
    for count, layer in enumerate(layers, start=1):
        colours = layer.colours[place]
        if colours is not None:
            over.append((count, from_page(write_picture(folder, entry, f"{name}-over-{count}", encoded(colours)))))
    picture = Picture(
        from_page(source),
        _alternative(panel, entry.main_variable),
        _caption(panel, entry.main_variable),
        panel.left_out,
        tuple(over),
        tuple(Swatch(line.title, line.colour) for line in lines),
    )
    return _Drawn(picture, content, wrong)


def _caption(panel: Panel, variable: str) -> str:
    place = panel.place or " by ".join(span.dim for span in panel.section.spans)
    return f"{variable}, {place}"


def _alternative(panel: Panel, variable: str) -> str:
    """What a picture shows, for those who do not see it."""
    axes = [axis for axis in (panel.columns, panel.rows) if axis is not None]
    told = [f"{axis.title} {number(axis.values[0])} to {number(axis.values[-1])}" for axis in axes]
    what = "Curves" if panel.section.are_traces else "Image"
    return f"{what} of {variable} at {panel.place or 'all samples'}: {', '.join(told)}"
