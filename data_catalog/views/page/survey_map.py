"""Where the traces are: by map coordinates where the dataset has them, by their numbers elsewhere; and the splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Box, Entry, Role
from data_catalog.views.page.bounded_store import Array, Store

MOST_PLACES = 2048
"""Traces of a map, evenly spread over the survey."""

ENDS = ("source", "receiver")
FIRST_PAIRS = ("cdp", *ENDS)
"""What is looked for first: midpoints, then the ends of the rays; then any other NAME_x and NAME_y."""

UNEVEN = 0.01
"""Part of the survey's extent by which a trace may lie off a grid of even bins."""

FLAT = 1e-6
"""A grid that is so much narrower than long is a line."""


@dataclass(frozen=True)
class Places:
    """Traces on a map.

    Attributes:
        name: Of the coordinates without ``_x``; empty where the places are indices.
        dims: Dimensions that they lie on.
        sizes: Of those.
        indices: Which traces: along each dimension.
        x: To the east, on the grid of indices; NaN where there is no trace.
        y: To the north, likewise.
        units: Of both.
    """

    name: str
    dims: tuple[str, ...]
    sizes: tuple[int, ...]
    indices: tuple[Array, ...]
    x: Array
    y: Array
    units: str

    @property
    def are_all(self) -> bool:
        """Whether no trace is left out."""
        return self.x.size == int(np.prod(self.sizes))


def read_places(store: Store, entry: Entry) -> list[Places]:
    """Places by map coordinates: midpoints, or sources and receivers; none where nothing varies and can be read."""
    found = [places for name in _pairs(entry) if (places := _tried(store, entry, name))]
    ends = [places for places in found if places.name in ENDS]
    return ends if found and found[0].name in ENDS else found[:1]


def _tried(store: Store, entry: Entry, name: str) -> Places | None:
    leading = entry.variables[entry.main_variable].dims[:-1]
    x, y = (entry.variables[f"{name}_{end}"] for end in "xy")
    if x.dims != y.dims or not x.dims or not set(x.dims) <= set(leading):
        return None
    try:
        return _read(store, entry, name, x.dims, x.shape, units=x.units or "")
    except InputError:
        return None


def _pairs(entry: Entry) -> list[str]:
    coordinates = {name for name, each in entry.variables.items() if each.role is Role.COORDINATE}
    found = [name[:-2] for name in coordinates if name.endswith("_x") and f"{name[:-2]}_y" in coordinates]
    return sorted(found, key=lambda name: (FIRST_PAIRS.index(name) if name in FIRST_PAIRS else len(FIRST_PAIRS), name))


def _read(
    store: Store, entry: Entry, name: str, dims: tuple[str, ...], shape: tuple[int, ...], *, units: str
) -> Places | None:
    indices = _spread(store, [f"{name}_x", f"{name}_y"], shape)
    x, y = (store.read(f"{name}_{end}", indices).astype(np.float64) for end in "xy")
    live = entry.variables.get(layout.LIVE)
    if live is not None and live.dims == dims and store.fits(layout.LIVE, indices):
        there = store.read(layout.LIVE, indices).astype(bool)
        x, y = np.where(there, x, np.nan), np.where(there, y, np.nan)
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2 or (np.ptp(x[known]) == 0 and np.ptp(y[known]) == 0):
        return None
    return Places(name, dims, shape, tuple(indices), x, y, units)


def _spread(store: Store, paths: Sequence[str], shape: Sequence[int]) -> list[Array]:
    """Indices along each axis, evenly spread, ends included: as many as a picture can show and a read may take."""
    most = max(2, round(MOST_PLACES ** (1 / len(shape))))
    while True:
        indices = [np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64)) for size in shape]
        if most <= 2 or all(store.fits(path, indices) for path in paths):
            return indices
        most //= 2


def split_of(places: Places, boxes: Sequence[Box]) -> Array:
    """Which traces lie in boxes, whatever their samples; bool on the grid of indices."""
    inside = np.zeros(places.x.shape, bool)
    for box in boxes:
        per_axis = [_within(index, box, dim) for index, dim in zip(places.indices, places.dims, strict=True)]
        inside |= np.logical_and.reduce(np.meshgrid(*per_axis, indexing="ij"))
    return inside


def _within(index: Array, box: Mapping[str, tuple[int, int]], dim: str) -> Array:
    start, stop = box.get(dim, (0, index[-1] + 1))
    return np.asarray((index >= start) & (index < stop))


def corners(places: Places, box: Box) -> Array | None:
    """The four corners of a box on the map, (corner, 2), where the traces lie on a grid of even bins; else None.

    Positions are fitted by an affine of the two indices, by least squares.
    """
    if len(places.dims) != 2:
        return None
    first, second = np.meshgrid(*places.indices, indexing="ij")
    known = np.isfinite(places.x) & np.isfinite(places.y)
    design = np.stack([first[known], second[known], np.ones(known.sum())], axis=1).astype(np.float64)
    positions = np.stack([places.x[known], places.y[known]], axis=1)
    affine, *_ = np.linalg.lstsq(design, positions, rcond=None)
    extent = np.ptp(positions, axis=0).max()
    steps = affine[:2] * np.array(places.sizes)[:, np.newaxis]
    if np.abs(design @ affine - positions).max() > UNEVEN * extent or abs(np.linalg.det(steps)) < FLAT * extent**2:
        return None
    ranges = [box.get(dim, (0, size)) for dim, size in zip(places.dims, places.sizes, strict=True)]
    (a, b), (c, d) = [(start - 0.5, stop - 0.5) for start, stop in ranges]
    return np.asarray(np.array([(a, c, 1), (b, c, 1), (b, d, 1), (a, d, 1)]) @ affine)
