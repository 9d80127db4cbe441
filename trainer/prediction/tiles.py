"""How a volume is cut for prediction: columns of shards for the ranks, slabs for memory, tiles for the network.

A *column* is all output shards above each other along the last dimension, so that variables without that dimension have
one writer too. A *slab* is what outputs are gathered for at once. A *tile* is a core inside what is read: a halo on
either side for context, clipped at the volume, beginning at multiples of what the network halves down to, so that tiles
and whole images agree:

    volume   |--------------------------------|
    read           |~~~~[  core  ]~~~~|              starts at a multiple of 2^(levels - 1)

Where the halo is narrower than the network's view, neighbours differ a little at the seam between their cores. Tiles of
a slab are then blended over some samples on either side of it, their weights adding up to 1:

    weights  ------------\\ /-----------
                          X
             ____________/ \\___________              2 x blend samples wide
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from trainer.plan.windows import Extents, Ranges


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the volume that the network runs on at once.

    Attributes:
        read: What it is shown, a range for each dimension.
        kept: What is taken of the output, inside ``read``.
        weights: What of each sample that is kept goes into the prediction, for each network axis: (sample,) float32.
    """

    read: Ranges
    kept: Ranges
    weights: tuple[npt.NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Tiling:
    """How large tiles are.

    Attributes:
        shape: Of the volume.
        network_axes: Dimensions that the network sees; tiles take many sections along the others.
        tile: Most samples of a core along a network axis.
        halo: Samples read on either side of a core along a network axis.
        multiple: Tiles begin at multiples of this along a network axis.
        sections: Most sections of a tile.
        blend: Samples on either side of a seam over which tiles are blended; less where cores are narrower.
    """

    shape: Extents
    network_axes: tuple[int, ...]
    tile: int
    halo: int
    multiple: int
    sections: int
    blend: int = 0

    def slabs(self, region: Ranges) -> Iterator[Ranges]:
        """Cuts a region into parts that are predicted one after the other: as small as tiles unless those are blended,
        which takes all of the region along the network's axes."""
        left = self.sections
        pieces = []
        for axis in reversed(range(len(region))):
            start, stop = region[axis]
            if axis not in self.network_axes:
                extent = max(1, min(left, stop - start))
                left //= extent
                pieces.append([(at, min(at + extent, stop)) for at in range(start, stop, extent)])
            else:
                pieces.append([region[axis]] if self.blend else evenly(region[axis], most=self.tile))
        yield from product(*reversed(pieces))

    def tiles(self, slab: Ranges) -> Iterator[Tile]:
        """The tiles of a slab; what they keep covers it, with weights that add up to 1 at each sample."""
        for parts in product(*(self._along(axis, bounds) for axis, bounds in enumerate(slab))):
            yield Tile(
                read=tuple(part.read for part in parts),
                kept=tuple(part.kept for part in parts),
                weights=tuple(parts[axis].weights for axis in self.network_axes),
            )

    def shown(self, slab: Ranges) -> Ranges:
        """All that the tiles of a slab read."""
        return tuple(
            self._widened(axis, *bounds) if axis in self.network_axes else bounds for axis, bounds in enumerate(slab)
        )

    def padding(self, tile: Tile) -> tuple[int, ...]:
        """Samples to add behind a tile along each network axis, up to the next multiple: only where the volume ends."""
        return tuple((tile.read[axis][0] - tile.read[axis][1]) % self.multiple for axis in self.network_axes)

    def _along(self, axis: int, bounds: tuple[int, int]) -> list["_Stretch"]:
        """The tiles of a slab along one axis."""
        if axis not in self.network_axes:
            return [_Stretch(bounds, bounds, np.ones(1, dtype=np.float32))]
        cores = evenly(bounds, most=self.tile)
        blend = min(self.blend, min(stop - start for start, stop in cores) // 2)
        rising = (np.arange(2 * blend, dtype=np.float32) + 0.5) / max(1, 2 * blend)
        stretches = []
        for start, stop in cores:
            first = start - blend * (start > bounds[0])
            last = stop + blend * (stop < bounds[1])
            weights = np.ones(last - first, dtype=np.float32)
            if first < start:
                weights[: 2 * blend] = rising
            if last > stop:
                weights[-2 * blend :] = rising[::-1]
            stretches.append(_Stretch(self._widened(axis, start, stop), (first, last), weights))
        return stretches

    def _widened(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        first = max(0, start - self.halo) // self.multiple * self.multiple
        last = math.ceil((stop + self.halo) / self.multiple) * self.multiple
        return first, min(last, self.shape[axis])


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A tile along one axis."""

    read: tuple[int, int]
    kept: tuple[int, int]
    weights: npt.NDArray[np.float32]


def evenly(bounds: tuple[int, int], *, most: int) -> list[tuple[int, int]]:
    """Cuts a range into as few parts of at most so many samples as can be, as long as each other but for one sample."""
    start, stop = bounds
    count = -(-(stop - start) // most)
    edges = [start + (stop - start) * part // count for part in range(count + 1)]
    return list(pairwise(edges))


def columns(shape: Extents, *, shard: Extents, boxes: tuple[Ranges, ...]) -> list[tuple[Ranges, ...]]:
    """The shards that share samples with one of the boxes, column by column along the last dimension."""
    grids = [range(0, size, extent) for size, extent in zip(shape, shard, strict=True)]
    found = []
    for leading in product(*grids[:-1]):
        shards = [_shard_at((*leading, last), shape=shape, shard=shard) for last in grids[-1]]
        touched = tuple(ranges for ranges in shards if any(intersection(ranges, box) for box in boxes))
        if touched:
            found.append(touched)
    return found


def intersection(one: Ranges, other: Ranges) -> Ranges | None:
    """The samples that two boxes share; None where there are none."""
    shared = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))
    return shared if all(start < stop for start, stop in shared) else None


def within(inner: Ranges, *, outer: Ranges) -> tuple[slice, ...]:
    """Where a box lies in an array that holds another one."""
    return tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(inner, outer, strict=True))


def _shard_at(corner: Extents, *, shape: Extents, shard: Extents) -> Ranges:
    return tuple((at, min(at + extent, size)) for at, extent, size in zip(corner, shard, shape, strict=True))
