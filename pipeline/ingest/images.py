"""Pictures into a dataset: sections into a volume, or examples beside each other."""

from dataclasses import dataclass

import numpy as np

from data_catalog import InputError, Kind, Role
from pipeline.create import AxisLabels, Contents
from pipeline.group_run import Made
from pipeline.ingest.recipe import IngestRecipe, Pictures, SampleAxisRecipe
from pipeline.pictures.names import section_numbers
from pipeline.pictures.read import SUFFIXES, picture_size, read_grey
from pipeline.plan.chunking import plan_examples
from pipeline.plan.group import ArrayDesign, GroupDesign
from pipeline.shards.fill import Blocks
from pipeline.storage.many_files import matching_files, names_of


@dataclass(frozen=True)
class PictureMaker:
    """Reads pictures.

    Attributes:
        urls: Along the first dimension.
        variable: What they become.
        axis: Dimension of the dataset that pictures are counted along.
        is_section: Whether columns are traces and rows samples: then they lie across.
    """

    urls: tuple[str, ...]
    variable: str
    axis: int
    is_section: bool

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """Samples of a box along the dimensions of the tasks."""
        pictures = [read_grey(url) for url in self.urls[where[self.axis]]]
        if self.is_section:
            pictures = [picture.T for picture in pictures]
        block = np.stack(pictures, axis=self.axis)
        return {self.variable: np.ascontiguousarray(block[where[: self.axis]])}


def prepare_images(pictures: Pictures, recipe: IngestRecipe) -> Contents:
    """Looks at all pictures, and lays the dataset out.

    Args:
        pictures: Which.
        recipe: What they become.

    Raises:
        InputError: If they are of different sizes or types, or sections have no numbers of their own.
    """
    urls = matching_files(pictures.paths, suffixes=SUFFIXES)
    sizes = {url: picture_size(url) for url in urls}
    if len(set(sizes.values())) > 1:
        other = next(url for url in urls if sizes[url] != sizes[urls[0]])
        first, second = (" x ".join(map(str, sizes[url])) for url in (urls[0], other))
        raise InputError(
            f"{urls[0]} has {first} rows and columns, and {other} {second}: pictures of one dataset are of one size."
        )
    rows, columns = sizes[urls[0]]
    dtype = read_grey(urls[0]).dtype
    if pictures.each == "example":
        axes: tuple[AxisLabels, ...] = (
            AxisLabels("example", np.arange(len(urls)), "example"),
            AxisLabels("y", np.arange(rows), "row"),
            AxisLabels("x", np.arange(columns), "column"),
        )
        kind, along, names = Kind.EXAMPLES, 0, names_of(urls)
    else:
        numbers = section_numbers(urls)
        urls = tuple(urls[index] for index in np.argsort(numbers))
        across = pictures.across_first + pictures.across_step * np.arange(columns)
        both = {"inline": np.sort(numbers), "crossline": across}
        if pictures.each == "crossline":
            both = {"inline": across, "crossline": np.sort(numbers)}
        axes = (
            *(AxisLabels(name, labels, f"{name} number") for name, labels in both.items()),
            sample_labels(pictures.samples, rows),
        )
        kind, along, names = Kind.STACK3D, 0 if pictures.each == "inline" else 1, ()
    shape = tuple(len(axis.values) for axis in axes)
    chunks = plan_examples(shape, along=along, itemsize=dtype.itemsize, chunk_nbytes=recipe.chunk_nbytes)
    array = ArrayDesign(
        name=recipe.variable,
        role=Role.INPUT,
        dims=tuple(axis.name for axis in axes),
        dtype=str(dtype),
        chunks=chunks,
        long_name="brightness of pictures",
    )
    maker = PictureMaker(urls, recipe.variable, along, is_section=kind is Kind.STACK3D)
    design = GroupDesign(chunks=chunks, arrays=(array,), task_dims=along + 1, codec=recipe.codec)
    return Contents(kind, recipe.variable, axes, Made(design, maker), names=names)


def sample_labels(samples: SampleAxisRecipe, count: int) -> AxisLabels:
    """The axis of samples, in ms or m."""
    labels = np.asarray(samples.first + samples.interval * np.arange(count), np.float64)
    if samples.domain == "depth":
        return AxisLabels("depth", labels, "depth", "m")
    return AxisLabels("time", labels, "two-way or recording time", "ms")
