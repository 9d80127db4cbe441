"""The grid of a published dataset, as labels need it: its axes, its map positions, its chunks."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import Entry, InputError, Kind, Role, Variable
from pipeline.plan.chunking import ChunkPlan
from pipeline.survey.axis import MOST_LISTED, Axis

MOST_RESIDUAL = 0.25
"""Bins that a trace may lie off a straight grid before its numbers and its position are said to disagree."""


@dataclass(frozen=True)
class DatasetGrid:
    """The dimensions of a dataset's main variable.

    Attributes:
        entry: The dataset.
    """

    entry: Entry

    @property
    def main(self) -> Variable:
        """The variable whose dimensions these are."""
        return self.entry.variables[self.entry.main_variable]

    @property
    def chunks(self) -> ChunkPlan:
        """How it is cut: labels are cut alike."""
        return ChunkPlan(self.main.shape, self.main.chunk_shape, self.main.shard_shape)

    @property
    def trace_dims(self) -> tuple[str, ...]:
        """Its dimensions without that of samples."""
        return self.main.dims[:-1]

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """Its trace axes.

        Raises:
            InputError: If one has more labels than are listed.
        """
        return tuple(self.axis(dim) for dim in self.trace_dims)

    @cached_property
    def sample_labels(self) -> NDArray[np.float64]:
        """Times or depths of its samples, float64."""
        return np.asarray(self._array(self.main.dims[-1])[:], np.float64)

    @property
    def interval(self) -> float:
        """From one sample to the next, in the units of the axis; 0 where there is one sample."""
        labels = self.sample_labels
        return float(labels[1] - labels[0]) if labels.size > 1 else 0.0

    @property
    def sample_units(self) -> str:
        """Units of the sample axis."""
        return self.entry.variables[self.main.dims[-1]].units or ""

    def trace_positions(self, labels: NDArray[np.float64], column: int) -> NDArray[np.float64]:
        """Positions of labels with fractions along an axis of traces, also beyond its ends: float64.

        Args:
            labels: float64.
            column: Which axis.
        """
        axis = self.axes[column]
        if not axis.listed:
            return (labels - axis.first) / axis.step
        return np.asarray(np.interp(labels, axis.values, np.arange(axis.size)), np.float64)

    def require_lines(self, what: str) -> None:
        """Sees that the dataset has inlines and crosslines.

        Args:
            what: What needs them, in the plural.

        Raises:
            InputError: If it has none.
        """
        if self.entry.kind is not Kind.STACK3D:
            raise InputError(
                f"{what} are put onto inlines and crosslines, and {self.entry.name!r} is {self.entry.kind} "
                f"({', '.join(self.main.dims)})."
            )

    @property
    def has_positions(self) -> bool:
        """Whether its traces have map coordinates."""
        return {"cdp_x", "cdp_y"} <= self.entry.variables.keys()

    @cached_property
    def map(self) -> "BinMap | None":
        """How positions follow from line numbers; None where the dataset has none, or they lie on no straight grid."""
        if self.entry.kind is not Kind.STACK3D or not self.has_positions:
            return None
        inlines, crosslines = (axis.values for axis in self.axes)
        rows, columns = (np.unique(np.linspace(0, each.size - 1, 100).astype(int)) for each in (inlines, crosslines))
        x, y = (np.asarray(self._array(name).oindex[rows, columns]) for name in ("cdp_x", "cdp_y"))
        lines = np.stack(np.meshgrid(inlines[rows], crosslines[columns], indexing="ij"), axis=-1)
        is_known = np.isfinite(x) & np.isfinite(y)
        return fit_bin_map(lines[is_known], np.stack([x, y], axis=-1)[is_known])

    def axis(self, dim: str) -> Axis:
        """A dimension with whole numbers as labels.

        Raises:
            InputError: If it has more labels than are listed.
        """
        variable = self.entry.variables[dim]
        if variable.shape[0] > MOST_LISTED:
            raise InputError(f"{self.entry.name!r} has {variable.shape[0]} labels along {dim}: too many to compare.")
        labels = np.asarray(self._array(dim)[:], np.int64)
        steps = np.unique(np.diff(labels))
        is_regular = steps.size <= 1
        return Axis(
            name=dim,
            first=int(labels[0]),
            step=max(1, int(steps[0])) if is_regular and steps.size else 1,
            size=labels.size,
            listed=None if is_regular else tuple(labels.tolist()),
            long_name=variable.long_name or dim,
        )

    def along(self, dim: str) -> dict[str, Variable]:
        """Coordinates that have one value for each position along a dimension, by name."""
        return {
            name: variable
            for name, variable in self.entry.variables.items()
            if variable.dims == (dim,) and variable.role is Role.COORDINATE
        }

    def values(self, name: str) -> NDArray[Any]:
        """All values of a coordinate."""
        return np.asarray(self._array(name)[...])

    def _array(self, name: str) -> Any:
        return zarr.open_array(f"{self.entry.url}/{name}", mode="r")


@dataclass(frozen=True, slots=True)
class BinMap:
    """Map positions as a linear function of line numbers, and back.

    Attributes:
        origin: float64 (2): x and y of inline 0 and crossline 0.
        per_line: float64 (line, 2): what x and y gain from one inline number, and from one crossline number, to the
            next.
        worst: Distance of the worst trace that it was fitted to, in line numbers.
    """

    origin: NDArray[np.float64]
    per_line: NDArray[np.float64]
    worst: float

    def lines(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inline and crossline numbers, with fractions, of positions: float64 (..., 2)."""
        return (positions - self.origin) @ np.linalg.inv(self.per_line)

    def positions(self, lines: NDArray[Any]) -> NDArray[np.float64]:
        """Positions of line numbers: float64 (..., 2)."""
        return np.asarray(self.origin + lines @ self.per_line, np.float64)


def fit_bin_map(lines: NDArray[np.int64], positions: NDArray[np.float64]) -> BinMap | None:
    """The linear function nearest to some traces, by least squares.

    Args:
        lines: int64 (trace, 2): inline and crossline numbers.
        positions: float64 (trace, 2): x and y.

    Returns:
        None where traces are too few, or on one line, or all at one place.
    """
    if len(lines) < 3:
        return None
    middle = lines.mean(axis=0)  # numbers are large, and differ little
    design = np.column_stack([np.ones(len(lines)), lines - middle])
    found, _, rank, _ = np.linalg.lstsq(design, positions, rcond=None)
    per_line = found[1:]
    if rank < 3 or abs(np.linalg.det(per_line)) < 1e-9:
        return None
    fitted = BinMap(found[0] - middle @ per_line, per_line, 0.0)
    worst = float(np.abs(fitted.lines(positions) - lines).max())
    return BinMap(fitted.origin, fitted.per_line, worst)
