"""Horizons onto a dataset's grid: surfaces from points, and the zones between them.

trace            |  .  .  .  .  .     zone 0
horizon 0      --+------x---------    the first sample at or below it is of zone 1
                 |  .  .  .  .  .     zone 1
horizon 1      --+--x-------------
                 |  .  .  .  .  .     zone 2
"""

import io
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError, Role, layout
from pipeline.group_run import Made
from pipeline.labels.class_array import class_array
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.point_text import read_points
from pipeline.labels.recipe import HorizonLabels, LabelRecipe
from pipeline.labels.z import Z, described, z_of
from pipeline.plan.group import FieldDesign, GroupDesign
from pipeline.shards.fill import Blocks
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import find_object

ON_SAMPLE = 1e-6
"""Samples that a horizon may lie below a sample and still be on it: seconds times a thousand are not quite ms."""

MOST_CROSSINGS = 0.5
"""Share of the traces on which a horizon may lie above the one before."""

MARGIN = 3.0
"""Times the greatest gap: how far around a shard points are taken for its surface."""


@dataclass(frozen=True)
class HorizonMaker:
    """Computes surfaces and zones of a box of traces.

    Attributes:
        points_url: Folder of the points of each shard.
        names: Of the horizons, from the uppermost to the lowest.
        inlines: int64: labels of the dataset.
        crosslines: int64: likewise.
        samples: float64: times or depths.
        shard_shape: Traces of a shard.
        gap: Bins from the nearest point up to which a surface is interpolated.
        variable: Of the zones; None for surfaces alone.
        ignore_value: Where no zone is certain.
        ignore_band: Samples on either side of a horizon that are left out.
    """

    points_url: str
    names: tuple[str, ...]
    inlines: NDArray[np.int64]
    crosslines: NDArray[np.int64]
    samples: NDArray[np.float64]
    shard_shape: tuple[int, int]
    gap: float
    variable: str | None
    ignore_value: int
    ignore_band: int

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """Surfaces, float32, and zones, uint8, of a box of inlines and crosslines that is one shard."""
        shard = tuple(part.start // length for part, length in zip(where, self.shard_shape, strict=True))
        content = find_object(f"{self.points_url}/{'.'.join(map(str, shard))}.npz")
        if content is None:
            raise RuntimeError(f"{self.points_url} has no points of shard {shard}")
        labels = self.inlines[where[0]], self.crosslines[where[1]]
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            surfaces = [self._surface(found[name], labels) for name in self.names]
        blocks: Blocks = {name: surface.astype(np.float32) for name, surface in zip(self.names, surfaces, strict=True)}
        if self.variable is not None:
            zones = np.empty((*surfaces[0].shape, self.samples.size), np.uint8)
            for row, of_inline in enumerate(
                np.stack(surfaces, axis=1)
            ):  # what it takes on the way is larger than zones
                zones[row] = zones_between(
                    of_inline, self.samples, ignore_value=self.ignore_value, ignore_band=self.ignore_band
                )
            blocks[self.variable] = zones
        return blocks

    def _surface(
        self, points: NDArray[np.float64], labels: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        steps = tuple(float(np.diff(each).min()) if each.size > 1 else 1.0 for each in (self.inlines, self.crosslines))
        return surface_of(points, labels, steps=(steps[0], steps[1]), gap=self.gap)


def surface_of(
    points: NDArray[np.float64],
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    steps: tuple[float, float],
    gap: float,
) -> NDArray[np.float64]:
    """A surface on a grid: the mean of the points at each trace, and between them linear in triangles.

    Args:
        points: float64 (point, 3): inline, crossline, z.
        labels: Inline and crossline numbers of the grid.
        steps: From one line to the next.
        gap: Bins from the nearest point up to which there is a surface.

    Returns:
        float64 (inline, crossline); NaN where there is none.
    """
    shape = labels[0].size, labels[1].size
    found = np.full(shape, np.nan)
    if not len(points):
        return found
    cells = np.stack([np.interp(points[:, axis], labels[axis], np.arange(shape[axis])) for axis in (0, 1)], axis=-1)
    nearest = np.rint(cells).astype(int)
    at = np.stack([labels[axis][nearest[:, axis]] for axis in (0, 1)], axis=-1)
    is_on_trace = (np.abs(points[:, :2] - at) <= 0.01 * np.array(steps)).all(axis=1)
    flat = np.ravel_multi_index(tuple(nearest[is_on_trace].T), shape)
    counts = np.bincount(flat, minlength=found.size)
    sums = np.bincount(flat, weights=points[is_on_trace, 2], minlength=found.size)
    is_met = (counts > 0).reshape(shape)
    found[is_met] = sums[counts > 0] / counts[counts > 0]
    if gap > 0 and not is_met.all():
        missing = np.argwhere(~is_met)
        targets = np.stack([labels[axis][missing[:, axis]] for axis in (0, 1)], axis=-1)
        found[~is_met] = _interpolated(points, targets / np.array(steps), steps=steps, gap=gap)
    return found


def _interpolated(
    points: NDArray[np.float64], targets: NDArray[np.float64], *, steps: tuple[float, float], gap: float
) -> NDArray[np.float64]:
    from scipy.interpolate import LinearNDInterpolator
    from scipy.spatial import KDTree, QhullError

    scale = np.array(steps)
    places, index = np.unique(points[:, :2] / scale, axis=0, return_inverse=True)
    counts = np.bincount(index)
    values = np.bincount(index, weights=points[:, 2]) / counts
    found = np.full(len(targets), np.nan)
    distances, _ = KDTree(places).query(targets)
    is_near = distances <= gap
    if len(places) >= 3 and is_near.any():
        try:
            found[is_near] = LinearNDInterpolator(places, values)(targets[is_near])
        except QhullError:  # all on one line: nothing lies between them
            return found
    return found


def zones_between(
    surfaces: NDArray[np.float64], samples: NDArray[np.float64], *, ignore_value: int, ignore_band: int = 0
) -> NDArray[np.uint8]:
    """Which zone each sample lies in: as many horizons are above it, or at it.

    Args:
        surfaces: float64 (horizon, ...), from the uppermost to the lowest; NaN where there is none.
        samples: float64: times or depths, in equal steps.
        ignore_value: Between the neighbours of a horizon that is missing or lies above the one before.
        ignore_band: Samples on either side of each horizon that are ignored as well.

    Returns:
        uint8 (..., sample).
    """
    count = samples.size
    interval = samples[1] - samples[0] if count > 1 else 1.0
    position = (surfaces - samples[0]) / interval
    first = np.clip(np.ceil(position - ON_SAMPLE), 0, count)  # of the zone below; NaN stays
    zones = np.zeros((*surfaces.shape[1:], count), np.uint8)
    numbers = np.arange(count)
    above = np.zeros(surfaces.shape[1:])  # first sample below the last horizon that is certain
    is_unsure = np.zeros(surfaces.shape[1:], np.bool_)
    ignored = np.zeros(zones.shape, np.bool_)
    for index, begin in enumerate(first):
        is_bad = ~(begin >= above)  # also of NaN
        begin = np.where(is_bad, above, begin)
        is_below = numbers >= begin[..., None]
        ignored |= is_unsure[..., None] & (numbers >= above[..., None]) & ~is_below
        zones[is_below & ~is_bad[..., None]] = index + 1
        if ignore_band:
            ignored |= (np.abs(numbers - (begin[..., None] - 0.5)) < ignore_band) & ~is_bad[..., None]
        is_unsure, above = is_bad, begin
    ignored |= is_unsure[..., None] & (numbers >= above[..., None])
    zones[ignored] = ignore_value
    return zones


def prepare_horizons(labels: HorizonLabels, recipe: LabelRecipe, grid: DatasetGrid, url: str) -> Made:
    """Reads the horizons, and leaves the points of each shard where its task finds them.

    Args:
        labels: Which horizons.
        recipe: What they become.
        grid: Of the dataset.
        url: The group, below whose ``work/`` they are kept.

    Raises:
        InputError: If a horizon cannot be read, or does not lie on the dataset.
    """
    grid.require_lines("horizons")
    points = [read_points(horizon.path, grid, horizon.columns) for horizon in labels.horizons]
    choices = [
        z_of(found, grid, path=horizon.path, stated=horizon.z or labels.z)
        for horizon, found in zip(labels.horizons, points, strict=True)
    ]
    told = {
        horizon.name: described(found, choice, grid)
        for horizon, found, choice in zip(labels.horizons, points, choices, strict=True)
    }
    rows = {
        horizon.name: np.column_stack([found.lines, found.z * Z[choice]])
        for horizon, found, choice in zip(labels.horizons, points, choices, strict=True)
    }
    crossings = _crossings(rows, grid)
    points_url = f"{url}/{layout.SCRATCH}/points"
    _write_points(points_url, rows, labels.gap, grid)
    names = tuple(horizon.name for horizon in labels.horizons)
    maker = HorizonMaker(
        points_url=points_url,
        names=names,
        inlines=grid.axes[0].values,
        crosslines=grid.axes[1].values,
        samples=grid.sample_labels,
        shard_shape=(grid.main.shard_shape[0], grid.main.shard_shape[1]),
        gap=labels.gap,
        variable=recipe.variable if labels.zones else None,
        ignore_value=recipe.ignore_value,
        ignore_band=labels.ignore_band,
    )
    return Made(_design(labels, recipe, grid), maker, provenance={"horizons": dict(told), "crossings": dict(crossings)})


def _design(labels: HorizonLabels, recipe: LabelRecipe, grid: DatasetGrid) -> GroupDesign:
    fields = tuple(
        FieldDesign(
            name=horizon.name,
            role=Role.PICK,
            dims=grid.trace_dims,
            shape=grid.main.shape[:-1],
            dtype="float32",
            fill=float("nan"),
            long_name=f"horizon {horizon.name}",
            units=grid.sample_units or None,
        )
        for horizon in labels.horizons
    )
    zones = class_array(
        recipe,
        dims=grid.main.dims,
        chunks=grid.chunks,
        classes=dict(enumerate(labels.zones or ())),
        long_name="zone between horizons",
    )
    return GroupDesign(
        arrays=(zones,) if labels.zones else (), fields=fields, chunks=grid.chunks, task_dims=2, codec=recipe.codec
    )


def _crossings(rows: dict[str, NDArray[np.float64]], grid: DatasetGrid) -> dict[str, int]:
    """On how many traces each horizon lies above the one before.

    Raises:
        InputError: If it does on most: then they are not named from the uppermost to the lowest.
    """
    found = {}
    for (above, upper), (below, lower) in pairwise(rows.items()):
        cells, depths = [], []
        for each in (upper, lower):
            at = [np.rint(grid.trace_positions(each[:, axis], axis)).astype(np.int64) for axis in (0, 1)]
            flat, first = np.unique(at[0] * (2 * grid.main.shape[1]) + at[1], return_index=True)
            cells.append(flat)
            depths.append(each[first, 2])
        _, one, other = np.intersect1d(*cells, return_indices=True)
        if not one.size:
            one = other = np.array([0])
            depths = [np.array([np.median(each[:, 2])]) for each in (upper, lower)]
        is_above = depths[1][other] < depths[0][one]
        if is_above.mean() > MOST_CROSSINGS:
            raise InputError(
                f"horizon {below!r} lies above {above!r} on {is_above.mean():.0%} of their traces: name them from the "
                "uppermost to the lowest, or correct what z is."
            )
        found[f"{above}/{below}"] = int(is_above.sum())
    return found


def _write_points(points_url: str, rows: dict[str, NDArray[np.float64]], gap: float, grid: DatasetGrid) -> None:
    """An object for each shard: the points of each horizon on it and around it."""
    ordered = {name: each[np.argsort(each[:, 0], kind="stable")] for name, each in rows.items()}
    margin = tuple(max(1.0, MARGIN * gap) * axis.step for axis in grid.axes)
    for shard in grid.chunks.shards():
        where = grid.chunks.trace_slices(shard)
        bounds = [
            (axis.labels(part.start, part.stop)[[0, -1]] + np.array([-1, 1]) * extra)
            for axis, part, extra in zip(grid.axes, where, margin, strict=True)
        ]
        parts = {}
        for name, each in ordered.items():
            begin, end = np.searchsorted(each[:, 0], bounds[0])
            near = each[begin:end]
            parts[name] = near[(near[:, 1] >= bounds[1][0]) & (near[:, 1] <= bounds[1][1])]
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **parts)
        write_object(f"{points_url}/{'.'.join(map(str, shard))}.npz", buffer.getvalue())
