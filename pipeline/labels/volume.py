"""A label volume onto a dataset's grid: its traces beside those that have the same numbers, or the same position.

Numbers alone may lie: a volume whose inlines are counted from another origin fits where it does not belong. So map
positions are compared where both have them, and the extent where they have not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from distributed import Client
from numpy.typing import NDArray
from pydantic import JsonValue

from data_catalog import InputError, layout
from pipeline.group_run import Made
from pipeline.labels.class_array import class_array
from pipeline.labels.grid import MOST_RESIDUAL, BinMap, DatasetGrid, fit_bin_map
from pipeline.labels.recipe import LabelRecipe, VolumeLabels
from pipeline.plan.group import GroupDesign
from pipeline.recipe import Label
from pipeline.segy.samples import StoredTraces
from pipeline.shards.classes import as_classes
from pipeline.shards.column import decode_column
from pipeline.shards.fill import Blocks
from pipeline.survey.axis import Axis
from pipeline.survey.coordinates import scaled
from pipeline.survey.files import Survey, open_survey
from pipeline.survey.header_words import STACKED, HeaderWords
from pipeline.survey.headers import sample_evidence
from pipeline.survey.order import NO_TRACE
from pipeline.survey.placement import compare_coverage, write_trace_numbers
from pipeline.survey.scan import scan
from pipeline.survey.trace_index import TraceIndex

TRACES_AT_ONCE = 1024
"""Decoded together: samples are four times as large as the classes that they become."""


@dataclass(frozen=True)
class VolumeMaker:
    """Reads classes of a box of traces.

    Attributes:
        survey: The label volume.
        label: What its samples may be.
        variable: What it becomes.
        numbers_url: Array of its trace numbers on the dataset's grid.
        first: Sample of the dataset that its first sample lies on; negative where it begins earlier.
        sample_count: Samples of the dataset.
    """

    survey: Survey
    label: Label
    variable: str
    numbers_url: str
    first: int
    sample_count: int

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """Classes, uint8, of a box of inlines and crosslines; the ignore value where the volume has none."""
        numbers = np.asarray(zarr.open_array(self.numbers_url, mode="r")[where])
        cells: tuple[NDArray[np.intp], ...] = np.nonzero(numbers != NO_TRACE)
        in_file_order = np.argsort(numbers[cells])
        cells = tuple(index[in_file_order] for index in cells)
        ordered, file = numbers[cells], self.survey.files[0]
        content = np.empty((ordered.size, file.trace_nbytes), np.uint8)
        self.survey.read(ordered, content)
        traces = StoredTraces(content, file.trace_header_nbytes, file.word_order, file.format_code)
        block = np.full((*numbers.shape, self.sample_count), self.label.ignore_value, np.uint8)
        of_grid = np.ravel_multi_index(cells, numbers.shape)
        width = file.sample_count
        begin, end = max(0, self.first), min(self.sample_count, self.first + width)
        for start in range(0, ordered.size, TRACES_AT_ONCE):
            rows = np.arange(start, min(start + TRACES_AT_ONCE, ordered.size))
            samples = decode_column(traces, rows, width=width, out=np.empty(rows.size * width, np.float32)).samples[0]
            classes = as_classes(self.variable, self.label, samples, rows, 0, width, ordered)
            classes = classes[:, begin - self.first : end - self.first]
            block.reshape(-1, self.sample_count)[of_grid[rows], begin:end] = classes
        return {self.variable: block}


@dataclass(frozen=True)
class PositionAxis:
    """A trace axis on which traces lie by their map positions, not by their numbers.

    Attributes:
        axis: The dataset's.
        column: 0 for inlines, 1 for crosslines.
        bins: How line numbers follow from positions.
    """

    axis: Axis
    column: int
    bins: BinMap

    @property
    def word(self) -> str:
        """The header word that is compared, in part."""
        return ("cdp_x", "cdp_y")[self.column]

    @property
    def words(self) -> tuple[str, ...]:
        """All header words that tell where on it a trace lies."""
        return "cdp_x", "cdp_y", "coordinate_scalar"

    @property
    def size(self) -> int:
        """Number of labels."""
        return self.axis.size

    def positions_of(self, words: HeaderWords) -> NDArray[np.int64]:
        """The position of each trace, int64 (trace); -1 where it lies a quarter of a bin or more off every line."""
        found = self.bins.lines(_positions(words))[:, self.column]
        labels = self.axis.first + self.axis.step * np.rint((found - self.axis.first) / self.axis.step)
        is_near = np.abs(found - labels) < MOST_RESIDUAL * self.axis.step
        return np.where(is_near, self.axis.positions(labels.astype(np.int64)), -1)


def _positions(words: HeaderWords) -> NDArray[np.float64]:
    """float64 (trace, 2): x and y."""
    scalar = words["coordinate_scalar"]
    return np.stack([scaled(words[name], scalar) for name in ("cdp_x", "cdp_y")], axis=-1)


@dataclass(frozen=True)
class LabelVolume:
    """A label volume, opened once: who asks for its state and who reads it mean the same files.

    Attributes:
        labels: What it is.
        survey: Its files.
    """

    labels: VolumeLabels
    survey: Survey


def open_volume(labels: VolumeLabels) -> LabelVolume:
    """Opens the files of a label volume.

    Raises:
        InputError: If one cannot be used.
    """
    return LabelVolume(labels, open_survey(labels.paths, labels.header_bytes, labels.reading))


def prepare_volume(volume: LabelVolume, recipe: LabelRecipe, grid: DatasetGrid, url: str, *, client: Client) -> Made:
    """Finds the trace of the label volume for each trace of the dataset.

    Args:
        volume: The volume.
        recipe: What it becomes.
        grid: Of the dataset.
        url: The group, below whose ``work/`` trace numbers are kept.
        client: Where headers are read.

    Raises:
        InputError: If it does not fit the dataset.
    """
    grid.require_lines("label volumes")
    labels, survey = volume.labels, _located(volume.survey)
    first = _first_sample(survey, grid)
    index = scan(survey, keep=f"{url}/{layout.INDEX}", client=client)
    shift = _shift(index, grid)
    if labels.match is None and shift is not None and np.abs(shift).max() >= MOST_RESIDUAL:
        raise InputError(
            f"the label volume lies {shift[0]:+.2f} inlines and {shift[1]:+.2f} crosslines off the traces of "
            f"{grid.entry.name!r} that have its numbers, by the map positions of both: say --match positions to put it "
            "where its positions are, or --match numbers to believe its numbers."
        )
    numbers_url = f"{url}/{layout.SCRATCH}/numbers"
    told = _place(index, labels, grid, numbers_url, url=url, client=client)
    if labels.match is None and shift is None and (told["without_label"] or told["beside_grid"]):
        raise InputError(
            f"{told['without_label']} traces of {grid.entry.name!r} have no trace of the label volume, and "
            f"{told['beside_grid']} of its {index.trace_count} traces lie off the dataset; nothing but numbers says "
            "where it belongs, and they may be shifted: say --match numbers to believe them."
        )
    if not told["labelled"]:
        raise InputError(f"no trace of the label volume lies on {grid.entry.name!r}.")
    array = class_array(
        recipe, dims=grid.main.dims, chunks=grid.chunks, classes=labels.classes, long_name=f"{recipe.variable} class"
    )
    maker = VolumeMaker(
        survey=survey,
        label=Label(paths=labels.paths, classes=labels.classes, ignore_value=recipe.ignore_value),
        variable=recipe.variable,
        numbers_url=numbers_url,
        first=first,
        sample_count=grid.main.shape[-1],
    )
    told["shift"] = None if shift is None else [round(float(each), 3) for each in shift]
    design = GroupDesign(chunks=grid.chunks, arrays=(array,), task_dims=len(grid.trace_dims), codec=recipe.codec)
    return Made(design, maker, provenance={"placement": told})


def _located(survey: Survey) -> Survey:
    """The files, with inline and crossline words where a grid is made of them."""
    for proposal in sample_evidence(survey).proposals:
        if proposal.axes[:2] == ("inline", "crossline") and proposal.is_accepted:
            return survey.with_words(STACKED, proposal.moved)
    return survey.with_words(STACKED, {})


def _first_sample(survey: Survey, grid: DatasetGrid) -> int:
    """The sample of the dataset that the volume's first one lies on."""
    file = survey.files[0]
    interval = file.sample_interval_us / 1000
    words = survey.header_words(np.array([0]), survey.read_headers(np.array([0])))
    begins = float(scaled(words["delay_ms"], words["time_scalar"])[0])
    offset = (begins - grid.sample_labels[0]) / (grid.interval or interval)
    is_alike = grid.interval == 0 or abs(interval - grid.interval) < 1e-6 * grid.interval
    if not is_alike or abs(offset - round(offset)) > 0.01:
        raise InputError(
            f"the label volume has samples from {begins:g} on, {interval:g} apart, and {grid.entry.name!r} from "
            f"{grid.sample_labels[0]:g} on, {grid.interval:g} apart: they do not lie on each other."
        )
    return int(np.rint(offset))


def _shift(index: TraceIndex, grid: DatasetGrid) -> NDArray[np.float64] | None:
    """How far the volume's traces lie from those of the dataset with the same numbers, in lines: float64 (2).

    None where either has no map positions on a straight grid.
    """
    words = index.samples
    lines = np.stack([words["inline"], words["crossline"]], axis=-1)
    if grid.map is None or grid.map.worst > 0.5 or fit_bin_map(lines, _positions(words)) is None:
        return None
    steps = np.array([axis.step for axis in grid.axes])
    return np.asarray(np.median((grid.map.lines(_positions(words)) - lines) / steps, axis=0), np.float64)


def _place(
    index: TraceIndex, labels: VolumeLabels, grid: DatasetGrid, numbers_url: str, *, url: str, client: Client
) -> dict[str, JsonValue]:
    """Writes the volume's trace numbers onto the dataset's grid, and says how far both cover each other."""
    axes: tuple[Any, ...] = grid.axes
    if labels.match == "positions":
        if grid.map is None:
            raise InputError(f"{grid.entry.name!r} has no map positions on a straight grid: say --match numbers.")
        axes = tuple(PositionAxis(axis, column, grid.map) for column, axis in enumerate(grid.axes))
    zarr.create_array(
        numbers_url,
        shape=grid.main.shape[:-1],
        dtype="int64",
        chunks=grid.chunks.trace_shard_shape,
        fill_value=NO_TRACE,
        overwrite=True,
    )
    placed = write_trace_numbers(
        index,
        axes,
        array_url=numbers_url,
        shard_shape=grid.chunks.shard_shape,
        scratch=f"{url}/{layout.SCRATCH}",
        client=client,
        repeats_url=f"{url}/{layout.REPEATS}/labels",
    )
    coverage = compare_coverage(f"{grid.entry.url}/{layout.trace_number_path()}", numbers_url, client=client)
    beside = placed.outside_count + coverage.extra
    return {
        "labelled": index.trace_count - beside - placed.repeat_count,
        "without_label": coverage.missing,
        "beside_grid": beside,
        "repeated": placed.repeat_count,
    }
