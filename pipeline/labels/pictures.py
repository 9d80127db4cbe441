"""Pictures of classes onto a dataset: colours that are in the palette, and at edges the nearest of those."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError, Kind
from pipeline.group_run import Made
from pipeline.labels.class_array import class_array
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.recipe import LabelRecipe, PictureLabels
from pipeline.pictures.names import section_numbers
from pipeline.pictures.read import SUFFIXES, picture_size, read_colours
from pipeline.plan.group import GroupDesign
from pipeline.shards.fill import Blocks
from pipeline.storage.many_files import matching_files

MOST_UNKNOWN = 0.002
"""Share of a picture's pixels that a colour may have that is none of the palette."""

LOOKED_AT = 8
"""Pictures whose colours are looked at before all are read."""


@dataclass(frozen=True)
class PictureMaker:
    """Reads classes from pictures.

    Attributes:
        urls: By position along the dimension that pictures are counted along.
        axis: That dimension.
        shape: Of the dataset.
        is_section: Whether columns are traces and rows samples.
        labels: Colours, and what they mean.
        variable: What the classes become.
        ignore_value: Where there is no picture, or a colour that is none of the palette.
    """

    urls: dict[int, str]
    axis: int
    shape: tuple[int, ...]
    is_section: bool
    labels: PictureLabels
    variable: str
    ignore_value: int

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """Classes, uint8, of a box along the dimensions of the tasks."""
        box = (*where, *(slice(0, size) for size in self.shape[len(where) :]))
        block = np.full(tuple(part.stop - part.start for part in box), self.ignore_value, np.uint8)
        rest = box[: self.axis] + box[self.axis + 1 :]
        for position in range(box[self.axis].start, box[self.axis].stop):
            if position in self.urls:
                classes = classes_of(read_colours(self.urls[position]), self.labels, ignore_value=self.ignore_value)
                of_dataset = classes.T if self.is_section else classes
                at = (slice(None),) * self.axis + (position - box[self.axis].start,)
                block[at] = of_dataset[rest]
        return {self.variable: block}


def classes_of(colours: NDArray[np.uint8], labels: PictureLabels, *, ignore_value: int) -> NDArray[np.uint8]:
    """The class of each pixel.

    A blend of two colours at an edge may be the colour of a third class: so it takes the class of the nearest pixel
    whose colour is in the palette, not that of the nearest colour.

    Args:
        colours: uint8 (row, column, 3).
        labels: The palette, and how exact it is.
        ignore_value: Of pixels that are far from every colour of the palette.
    """
    from scipy.ndimage import distance_transform_edt

    found = np.full(colours.shape[:2], ignore_value, np.uint8)
    is_known = np.zeros(colours.shape[:2], np.bool_)
    for number, colour in zip(labels.classes, labels.colours, strict=True):
        is_own = (np.abs(colours.astype(np.int16) - colour) <= labels.tolerance).all(axis=-1)
        found[is_own] = number
        is_known |= is_own
    for colour in labels.ignored_colours:
        is_known |= (np.abs(colours.astype(np.int16) - colour) <= labels.tolerance).all(axis=-1)
    if is_known.any() and not is_known.all():
        distance, nearest = distance_transform_edt(~is_known, return_indices=True)
        is_blend = ~is_known & (distance <= labels.blend)
        found[is_blend] = found[tuple(index[is_blend] for index in nearest)]
    return found


def _refuse_unknown(url: str, labels: PictureLabels) -> None:
    """Sees that no colour that covers much of a picture is missing from the palette: blends are many, each of few."""
    pixels = read_colours(url).reshape(-1, 3)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    known = np.concatenate([labels.colours, labels.ignored_colours])
    is_known = (np.abs(colours[:, None].astype(np.int16) - known) <= labels.tolerance).all(axis=-1).any(axis=1)
    unknown = np.flatnonzero(~is_known & (counts >= MOST_UNKNOWN * len(pixels)))
    if unknown.size:
        told = ", ".join(
            f"#{''.join(f'{value:02X}' for value in colours[index])} ({counts[index] / len(pixels):.1%})"
            for index in unknown[np.argsort(-counts[unknown])][:8]
        )
        raise InputError(f"{url} has colours that are in no class: {told}. Add them to the palette, or to --ignored.")


def prepare_pictures(labels: PictureLabels, recipe: LabelRecipe, grid: DatasetGrid) -> Made:
    """Looks at all pictures.

    Args:
        labels: Which.
        recipe: What they become.
        grid: Of the dataset.

    Raises:
        InputError: If they are not of the size of the dataset's sections or examples, or show none of them.
    """
    if labels.each == "example":
        if grid.entry.kind is not Kind.EXAMPLES or len(grid.main.dims) != len(("example", "y", "x")):
            raise InputError(
                f"pictures of examples are put onto two dimensions of each, and {grid.entry.name!r} is "
                f"{grid.entry.kind} ({', '.join(grid.main.dims)})."
            )
    else:
        grid.require_lines("pictures of sections")
    axis = {"inline": 0, "crossline": 1, "example": 0}[labels.each]
    urls = matching_files(labels.paths, suffixes=SUFFIXES)
    positions = grid.axis(grid.main.dims[axis]).positions(section_numbers(urls))
    placed = {int(position): url for position, url in zip(positions, urls, strict=True) if position >= 0}
    if not placed:
        raise InputError(
            f"no picture has the number of any {labels.each} of {grid.entry.name!r} at the end of its name."
        )
    rest = grid.main.shape[:axis] + grid.main.shape[axis + 1 :]
    expected = rest[::-1] if labels.each != "example" else rest
    for url in placed.values():
        if (size := picture_size(url)) != expected:
            raise InputError(
                f"{url} has {size[0]} rows and {size[1]} columns, and each {labels.each} of {grid.entry.name!r} "
                f"{expected[0]} and {expected[1]}."
            )
    for url in {*list(placed.values())[:: max(1, len(placed) // LOOKED_AT)]}:
        _refuse_unknown(url, labels)
    array = class_array(
        recipe, dims=grid.main.dims, chunks=grid.chunks, classes=labels.classes, long_name=f"{recipe.variable} class"
    )
    maker = PictureMaker(
        placed, axis, grid.main.shape, labels.each != "example", labels, recipe.variable, recipe.ignore_value
    )
    design = GroupDesign(chunks=grid.chunks, arrays=(array,), task_dims=len(grid.main.dims) - 1, codec=recipe.codec)
    told = {
        "placed": len(placed),
        "beside_grid": len(urls) - len(placed),
        "without": grid.main.shape[axis] - len(placed),
    }
    return Made(design, maker, provenance={"pictures": dict(told)})
