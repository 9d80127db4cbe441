"""The plan of a store: inner chunks, shards and the list of tasks. Pure integers.

An inner chunk is what a trainer reads and decodes at once; a shard is a stored object, and one task writes it whole.
A shard holds whole traces, since SEG-Y gives whole traces: it spans the sample axis.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

MIB = 2**20
CHUNK_NBYTES = (64 * 2**10, 2 * MIB)
"""Least and greatest size of an inner chunk: small datasets get small chunks, so that splits and ranks find several."""
CHUNKS_WANTED = 64
SHARD_NBYTES = (4 * MIB, 128 * MIB)
SHARDS_WANTED = 16
SAMPLE_NBYTES = 4


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Chunks and shards of the variables on one grid.

    Attributes:
        shape: Trace dimensions, then samples.
        chunk_shape: Inner chunk.
        shard_shape: Shard: a multiple of the chunk along each dimension, and all of the sample axis.
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    shard_shape: tuple[int, ...]

    @property
    def trace_shard_shape(self) -> tuple[int, ...]:
        """The shard without its sample axis: the chunk of what there is one of for each trace."""
        return self.shard_shape[:-1]

    @property
    def chunk_grid(self) -> tuple[int, ...]:
        """Inner chunks along each dimension."""
        return tuple(ceil(size / chunk) for size, chunk in zip(self.shape, self.chunk_shape, strict=True))

    @property
    def chunks_per_shard(self) -> tuple[int, ...]:
        """Inner chunks of a shard along each dimension."""
        return tuple(shard // chunk for shard, chunk in zip(self.shard_shape, self.chunk_shape, strict=True))

    @property
    def shard_grid(self) -> tuple[int, ...]:
        """Shards along each trace dimension."""
        return tuple(ceil(size / shard) for size, shard in zip(self.shape[:-1], self.trace_shard_shape, strict=True))

    @property
    def shard_count(self) -> int:
        """Shards of each variable: tasks of a conversion."""
        return prod(self.shard_grid)

    def shard_of_task(self, task: tuple[int, ...]) -> tuple[int, ...]:
        """Index of the shard on the trace dimensions that a task writes; further dimensions lie in one shard."""
        return (*task, *(0,) * (len(self.shape) - 1 - len(task)))

    def shards(self) -> Iterator[tuple[int, ...]]:
        """Index of every shard on the trace dimensions, in storage order."""
        return product(*(range(count) for count in self.shard_grid))

    def trace_slices(self, shard: tuple[int, ...]) -> tuple[slice, ...]:
        """Where a shard lies on the trace dimensions, cut at the array's edge."""
        return tuple(
            slice(index * length, min((index + 1) * length, size))
            for index, length, size in zip(shard, self.trace_shard_shape, self.shape[:-1], strict=True)
        )

    def manifest_slices(self, shard: tuple[int, ...]) -> tuple[slice, ...]:
        """Where a shard's inner chunks lie on the chunk grid."""
        along_traces = tuple(
            slice(index * count, min((index + 1) * count, grid))
            for index, count, grid in zip(shard, self.chunks_per_shard, self.chunk_grid, strict=False)
        )
        return (*along_traces, slice(0, self.chunk_grid[-1]))

    def columns(self, shard: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Columns of inner chunks, over all samples, of a shard: those that hold part of the array.

        Yields:
            The index of a column on the trace dimensions of the shard, and where it lies in it: a whole one, which at
            the array's edge reaches beyond it.
        """
        counts = (part.stop - part.start for part in self.manifest_slices(shard)[:-1])
        for index in product(*(range(count) for count in counts)):
            yield (
                index,
                tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(index, self.chunk_shape, strict=False)),
            )


def plan_chunks(
    shape: tuple[int, ...], *, chunk_nbytes: int | None = None, shard_nbytes: int | None = None
) -> ChunkPlan:
    """Chooses chunks as near to cubes as the shape allows, and shards that hold whole traces.

    Edges divide the shape nearly evenly, so that padding at the far end stays below one sample a chunk and dimension:
    an uncompressed store is hardly larger than its samples.

    Args:
        shape: Trace dimensions, then samples.
        chunk_nbytes: About what a chunk should hold; None chooses by the size of the whole.
        shard_nbytes: About what a shard should hold; None chooses as well.
    """
    nbytes = prod(shape) * SAMPLE_NBYTES
    chunk_target = chunk_nbytes or _clamp(nbytes // CHUNKS_WANTED, CHUNK_NBYTES)
    chunk_shape = _near_cube(shape, chunk_target // SAMPLE_NBYTES)
    shard_target = shard_nbytes or _clamp(nbytes // SHARDS_WANTED, SHARD_NBYTES)
    grid = [ceil(size / chunk) for size, chunk in zip(shape, chunk_shape, strict=True)]
    counts = [1] * len(shape)
    counts[-1] = grid[-1]
    for dim in reversed(range(len(shape) - 1)):
        room = max(1, shard_target // (prod(counts) * prod(chunk_shape) * SAMPLE_NBYTES))
        counts[dim] = _even_part(grid[dim], room)
    shard_shape = tuple(chunk * count for chunk, count in zip(chunk_shape, counts, strict=True))
    return ChunkPlan(shape, chunk_shape, shard_shape)


def plan_examples(
    shape: tuple[int, ...], *, along: int, itemsize: int = SAMPLE_NBYTES, chunk_nbytes: int | None = None
) -> ChunkPlan:
    """Chunks of one example or picture, of several where they are small, of parts where they are large.

    What is trained on is cut out of one of them: a chunk over many would be decoded for each again.

    Args:
        shape: Of the dataset.
        along: Dimension that examples are counted along.
        itemsize: Bytes of a sample.
        chunk_nbytes: About what a chunk should hold; None chooses.
    """
    rest = shape[:along] + shape[along + 1 :]
    example_nbytes = prod(rest) * itemsize
    most = chunk_nbytes or CHUNK_NBYTES[1]
    parts = rest if example_nbytes <= most else _near_cube(rest, most // itemsize)
    count = min(shape[along], max(1, (chunk_nbytes or CHUNK_NBYTES[0]) // example_nbytes))
    chunk_shape = (*parts[:along], count, *parts[along:])
    whole = tuple(ceil(size / part) * part for size, part in zip(rest, parts, strict=True))
    chunks = ceil(shape[along] / count)
    per_shard = _even_part(chunks, max(1, SHARD_NBYTES[0] * 4 // (prod(whole) * itemsize * count)))
    return ChunkPlan(shape, chunk_shape, (*whole[:along], count * per_shard, *whole[along:]))


def _near_cube(shape: tuple[int, ...], sample_count: int) -> tuple[int, ...]:
    """Edges of equal length, but for dimensions shorter than that, which are taken whole."""
    edges = dict.fromkeys(range(len(shape)), 0)
    room = float(max(1, sample_count))
    for position, dim in enumerate(sorted(edges, key=lambda dim: shape[dim])):
        edge = max(1, round(room ** (1 / (len(shape) - position))))
        edges[dim] = _even_part(shape[dim], edge)
        room = max(1.0, room / edges[dim])
    return tuple(edges[dim] for dim in range(len(shape)))


def _even_part(size: int, at_most: int) -> int:
    """Length of the parts when ``size`` is cut as evenly as can be into parts of about ``at_most``."""
    return ceil(size / ceil(size / at_most))


def _clamp(value: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(value, bounds[1]))
