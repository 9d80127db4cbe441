r"""Fault sticks onto a dataset's grid: time slice by time slice, the traces near the line from stick to stick.

stick 0   o          map of one time slice:    crossline
stick 1    \  o                                . . # # . .      a stick crosses the slice at one place;
            o  \                       inline  . # # # . .      places of neighbouring sticks are joined,
                o                              # # # . . .      and traces near that line are of the fault
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.group_run import Made
from pipeline.labels.class_array import class_array
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.point_text import Points, read_points
from pipeline.labels.recipe import FaultLabels, LabelRecipe
from pipeline.labels.z import Z, described, z_of
from pipeline.plan.group import GroupDesign
from pipeline.shards.fill import Blocks

CLASSES = {0: "none", 1: "fault"}

Stick = NDArray[np.float64]
"""float64 (node, 3): trace positions along both axes, and sample, with fractions; by ascending samples."""


@dataclass(frozen=True)
class FaultMaker:
    """Computes masks of a box of traces.

    Attributes:
        faults: Sticks of each fault, in their order.
        sample_count: Of the dataset.
        width: Bins across.
        ignore_band: Bins on either side that are left out.
        variable: What the mask is called.
        ignore_value: Of what is left out.
    """

    faults: tuple[tuple[Stick, ...], ...]
    sample_count: int
    width: float
    ignore_band: float
    variable: str
    ignore_value: int

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """The mask, uint8, of a box of inlines and crosslines."""
        shape = tuple(part.stop - part.start for part in where)
        block = np.zeros((*shape, self.sample_count), np.uint8)
        origin = np.array([part.start for part in where], np.float64)
        passes = [(self.width / 2, 1)]
        if self.ignore_band:
            passes.insert(0, (self.width / 2 + self.ignore_band, self.ignore_value))
        for half_width, value in passes:
            for sticks in self.faults:
                for one, other in pairwise(sticks):
                    begin, end, samples = slice_lines(one, other, self.sample_count)
                    paint(block, begin - origin, end - origin, samples, half_width, value)
        return {self.variable: block}


def slice_lines(
    one: Stick, other: Stick, sample_count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Where two sticks cross the time slices that both do.

    Returns:
        Places of the one and of the other, both float64 (slice, 2), and the samples of the slices, int64 (slice).
    """
    first = max(0, int(np.ceil(max(one[0, 2], other[0, 2]))))
    last = min(sample_count - 1, int(np.floor(min(one[-1, 2], other[-1, 2]))))
    samples = np.arange(first, last + 1)
    return _crossings(one, samples), _crossings(other, samples), samples


def _crossings(stick: Stick, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([np.interp(samples, stick[:, 2], stick[:, axis]) for axis in (0, 1)], axis=-1)


@njit("void(uint8[:, :, ::1], float64[:, :], float64[:, :], int64[:], float64, int64)", nogil=True, cache=True)
def paint(
    block: NDArray[np.uint8],
    begin: NDArray[np.float64],
    end: NDArray[np.float64],
    samples: NDArray[np.int64],
    half_width: float,
    value: int,
) -> None:
    """Gives a value to all traces near some lines, in their time slices, in place.

    Args:
        block: uint8 (inline, crossline, sample).
        begin: float64 (line, 2): where each line begins, in traces of the block.
        end: float64 (line, 2): where it ends.
        samples: int64 (line): its slice.
        half_width: Traces to either side.
        value: What they get.
    """
    for line in range(samples.size):
        i0, x0 = begin[line, 0], begin[line, 1]
        di, dx = end[line, 0] - i0, end[line, 1] - x0
        length = di * di + dx * dx
        low_i = max(0, int(np.ceil(min(i0, i0 + di) - half_width)))
        high_i = min(block.shape[0] - 1, int(np.floor(max(i0, i0 + di) + half_width)))
        low_x = max(0, int(np.ceil(min(x0, x0 + dx) - half_width)))
        high_x = min(block.shape[1] - 1, int(np.floor(max(x0, x0 + dx) + half_width)))
        for i in range(low_i, high_i + 1):
            for x in range(low_x, high_x + 1):
                along = 0.0
                if length > 0.0:
                    along = min(1.0, max(0.0, ((i - i0) * di + (x - x0) * dx) / length))
                off_i, off_x = i - i0 - along * di, x - x0 - along * dx
                if off_i * off_i + off_x * off_x <= half_width * half_width:
                    block[i, x, samples[line]] = value


def prepare_faults(labels: FaultLabels, recipe: LabelRecipe, grid: DatasetGrid) -> Made:
    """Reads the faults.

    Args:
        labels: Which faults.
        recipe: What they become.
        grid: Of the dataset.

    Raises:
        InputError: If a fault cannot be read, does not lie on the dataset, or has no two sticks.
    """
    grid.require_lines("fault sticks")
    points = [read_points(fault.path, grid, fault.columns) for fault in labels.faults]
    choices = [
        z_of(found, grid, path=fault.path, stated=fault.z or labels.z)
        for fault, found in zip(labels.faults, points, strict=True)
    ]
    faults = tuple(
        _sticks(found, Z[choice], grid, fault.path)
        for fault, found, choice in zip(labels.faults, points, choices, strict=True)
    )
    mask = class_array(
        recipe, dims=grid.main.dims, chunks=grid.chunks, classes=CLASSES, long_name="whether a fault is near"
    )
    maker = FaultMaker(
        faults, grid.main.shape[-1], labels.width, labels.ignore_band, recipe.variable, recipe.ignore_value
    )
    told = {
        fault.name: described(found, choice, grid) | {"sticks": len(sticks)}
        for fault, found, choice, sticks in zip(labels.faults, points, choices, faults, strict=True)
    }
    design = GroupDesign(chunks=grid.chunks, arrays=(mask,), task_dims=2, codec=recipe.codec)
    return Made(design, maker, provenance={"faults": dict(told)})


def _sticks(found: Points, factor: float, grid: DatasetGrid, path: str) -> tuple[Stick, ...]:
    """The sticks of a fault, in traces and samples."""
    samples = (found.z * factor - grid.sample_labels[0]) / (grid.interval or 1.0)
    places = [grid.trace_positions(found.lines[:, column], column) for column in (0, 1)]
    nodes = np.column_stack([*places, samples])
    _, first = np.unique(found.sticks, return_index=True)
    sticks = [nodes[found.sticks == found.sticks[row]] for row in np.sort(first)]
    sticks = [stick[np.argsort(stick[:, 2], kind="stable")] for stick in sticks]
    if len(sticks) < 2:
        raise InputError(
            f"{path} holds one fault stick, and a surface takes two: number them in a column (columns: [x, y, z, "
            "stick]), or part them by empty lines."
        )
    return tuple(sticks)
