"""What the manifest knows of a variable: its moments, its histogram, its classes; never a pass over the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from data_catalog import layout
from data_catalog.schema import Variable
from data_catalog.views.page.bounded_store import Array, Store, chunk_budget

_BITS_BELOW = 21
"""Of a float32 that a bin does not tell of (SPEC.md, section 3)."""

_FINITE_BINS = 0x7F800000 >> _BITS_BELOW
"""Bins of one sign, below that of infinity."""


@dataclass(frozen=True)
class Moments:
    """Of all live samples of a variable.

    Attributes:
        count: Finite ones.
        nonfinite_count: All others.
        mean: In the variable's units.
        standard_deviation: Likewise, of the population.
        minimum: Likewise.
        maximum: Likewise.
    """

    count: int
    nonfinite_count: int
    mean: float
    standard_deviation: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Counts:
    """A sum over the manifest.

    Attributes:
        values: One for each bin, or each class number.
        share: Part of the inner chunks that it is of: less than 1 where the manifest itself is large.
    """

    values: Array
    share: float


def read_moments(store: Store, path: str) -> Moments | None:
    """The moments of a variable, merged by Chan's rule (SPEC.md, section 3); None where the manifest is too large.

    Raises:
        InputError: If it cannot be read.
    """
    paths = {name: manifest_path(path, name) for name in layout.STATISTICS}
    whole = [slice(None)] * store.array(paths["count"]).ndim
    if not all(store.fits(each, whole) for each in paths.values()):
        return None
    found = {name: store.read(each, whole).ravel() for name, each in paths.items()}
    count = found["count"]
    total = int(count.sum())
    known = count > 0
    if not total:
        return Moments(0, int(found["nonfinite_count"].sum()), *[float("nan")] * 4)
    with np.errstate(over="ignore"):  # of float64 samples near the largest there is the variance is infinite
        mean = float((found["mean"] * (count / total))[known].sum())
        m2 = found["m2"][known].sum() + (count[known] * (found["mean"][known] - mean) ** 2).sum()
    return Moments(
        total,
        int(found["nonfinite_count"].sum()),
        mean,
        float(np.sqrt(m2 / total)),
        float(found["minimum"][known].min()),
        float(found["maximum"][known].max()),
    )


def read_counts(store: Store, path: str, variable: Variable) -> Counts | None:
    """Class counts of a label, or the histogram of any other variable; None where the manifest has none.

    Of a manifest that is large itself, pieces evenly spread are read.

    Raises:
        InputError: If it cannot be read.
    """
    name = layout.CLASS_COUNTS if variable.flag_values else layout.HISTOGRAM
    array = store.find(manifest_path(path, name))
    if array is None:
        return None
    *grid, bins = array.shape
    *piece, _ = array.chunks
    per_piece = ceil(bins / array.chunks[-1])
    budget = chunk_budget(array.chunks, array.dtype.itemsize) // per_piece
    total, seen = np.zeros(bins, np.int64), 0
    for where in _spread(grid, piece, most=budget):
        found = store.read(manifest_path(path, name), (*where, slice(0, bins)))
        total += found.reshape(-1, bins).sum(axis=0, dtype=np.int64)
        seen += prod(found.shape[:-1])
    return Counts(total, seen / prod(grid)) if seen else None


def manifest_path(path: str, statistic: str) -> str:
    """Where a statistic of a variable of the root, or of a derived group, lies in the store."""
    group, _, name = path.rpartition("/")
    inner = layout.manifest_path(name, statistic)
    return f"{group}/{inner}" if group else inner


def histogram_edges() -> Array:
    """Edges of the bins of finite samples in ascending order, float64; `in_order` has a count for each gap."""
    bits = np.arange(_FINITE_BINS, dtype=np.uint32) << np.uint32(_BITS_BELOW)
    positive = np.append(bits.view(np.float32).astype(np.float64), 2.0**128)
    return np.concatenate([-positive[:0:-1], positive])


def in_order(counts: Array) -> Array:
    """Counts of a histogram, from the most negative samples to the most positive."""
    half = layout.HISTOGRAM_BIN_COUNT // 2
    return np.concatenate([counts[half : half + _FINITE_BINS][::-1], counts[:_FINITE_BINS]])


def _spread(grid: list[int], piece: list[int], *, most: int) -> Iterator[tuple[slice, ...]]:
    """Pieces of a grid, all of them or as many as may be, evenly spread."""
    pieces = [ceil(size / extent) for size, extent in zip(grid, piece, strict=True)]
    count = prod(pieces)
    for at in np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)) if most else ():
        index = np.unravel_index(at, pieces)
        yield tuple(slice(int(i) * extent, (int(i) + 1) * extent) for i, extent in zip(index, piece, strict=True))
