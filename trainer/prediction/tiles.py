"""How a volume is cut for prediction: columns of shards for the ranks, tiles for the network.

A *column* is all output shards above each other along the last dimension, so that variables without that dimension have
one writer too. A *tile* is a core, which is written, inside what is read: a halo on either side for context, clipped at
the volume, beginning at multiples of what the network halves down to, so that tiles and whole images agree:

    volume   |--------------------------------|
    read           |~~~~[  core  ]~~~~|              starts at a multiple of 2^(levels - 1)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from trainer.plan.windows import Extents, Ranges


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the volume that the network runs on at once.

    Attributes:
        read: What it is shown, a range for each dimension.
        core: What is kept, inside ``read``.
    """

    read: Ranges
    core: Ranges


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
    """

    shape: Extents
    network_axes: tuple[int, ...]
    tile: int
    halo: int
    multiple: int
    sections: int

    def tiles(self, region: Ranges) -> Iterator[Tile]:
        """Cuts a region into tiles whose cores cover it once."""
        left = self.sections
        pieces = []
        for axis in reversed(range(len(region))):
            start, stop = region[axis]
            extent = self.tile if axis in self.network_axes else max(1, min(left, stop - start))
            left = left if axis in self.network_axes else left // extent
            pieces.append([(at, min(at + extent, stop)) for at in range(start, stop, extent)])
        for core in product(*reversed(pieces)):
            yield Tile(read=tuple(self._widened(axis, *bounds) for axis, bounds in enumerate(core)), core=core)

    def padding(self, tile: Tile) -> tuple[int, ...]:
        """Samples to add behind a tile along each network axis, up to the next multiple: only where the volume ends."""
        return tuple((tile.read[axis][0] - tile.read[axis][1]) % self.multiple for axis in self.network_axes)

    def _widened(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        if axis not in self.network_axes:
            return start, stop
        first = max(0, start - self.halo) // self.multiple * self.multiple
        last = math.ceil((stop + self.halo) / self.multiple) * self.multiple
        return first, min(last, self.shape[axis])


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
