"""Traces onto the grid: trace numbers written block by block, each block filled from what was sorted for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import zarr
from distributed import Client
from numpy.typing import NDArray

from data_catalog.schema import Model
from pipeline.storage.objects import absolute
from pipeline.survey.axis import Axis
from pipeline.survey.external_sort import RUN_TRACES, Keys, SortedRuns, sort_runs
from pipeline.survey.header_words import HeaderWords
from pipeline.survey.read_pattern import ReadPattern, read_pattern
from pipeline.survey.trace_index import TraceIndex
from pipeline.work.engine import run_windowed

NO_TRACE = -1
"""Trace number of an empty cell."""

BLOCK_CELLS = 2**21
"""In one block, about: 16 MB of trace numbers, and as much again while they are encoded."""


class Placement(Model):
    """What became of the traces of a survey.

    Attributes:
        pattern: How the traces of each shard lie in the files.
        outside_count: Traces that lie off the axes.
        repeat_count: Traces whose cell an earlier trace has.
    """

    pattern: ReadPattern
    outside_count: int
    repeat_count: int


class Coverage(Model):
    """How the cells of two surveys differ.

    Attributes:
        missing: Cells with a trace of the first one alone.
        extra: Cells with a trace of the other one alone.
    """

    missing: int
    extra: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """A grid of cells cut into rectangles of whole chunks, small enough to be held one at a time.

    Attributes:
        shape: Cells along each dimension.
        chunk_shape: Of the array.
        block_shape: A multiple of the chunk along each dimension.
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    block_shape: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each dimension."""
        return tuple(-(-size // length) for size, length in zip(self.shape, self.block_shape, strict=True))

    def slices(self, block: int) -> tuple[slice, ...]:
        """Where a block lies, cut at the edge of the grid."""
        place = (int(index) for index in np.unravel_index(block, self.counts))
        return tuple(
            slice(index * length, min((index + 1) * length, size))
            for index, length, size in zip(place, self.block_shape, self.shape, strict=True)
        )


def cut_blocks(shape: tuple[int, ...], chunk_shape: tuple[int, ...], *, block_cells: int = BLOCK_CELLS) -> Blocks:
    """Takes as many chunks as there is room for, along the last dimension first; one chunk at least."""
    block_shape = list(chunk_shape)
    for dim in reversed(range(len(shape))):
        chunk_count = -(-shape[dim] // chunk_shape[dim])
        block_shape[dim] *= min(max(block_cells // prod(block_shape), 1), chunk_count)
    return Blocks(shape, chunk_shape, tuple(block_shape))


@dataclass(frozen=True, slots=True)
class BlockKey:
    """The number of a trace's cell, counted block after block: traces that are sorted by it come in blocks.

    Attributes:
        axes: Of header words, as many as the grid has dimensions.
        blocks: How the grid is cut.
    """

    axes: tuple[Axis, ...]
    blocks: Blocks

    @property
    def names(self) -> tuple[str, ...]:
        """Header words that it is made from."""
        return tuple(axis.name for axis in self.axes)

    def __call__(self, words: HeaderWords) -> tuple[Keys, NDArray[np.bool_]]:
        """Keys, and which traces have one, both (trace); those that lie off the axes have none."""
        positions = [axis.positions(words[axis.name]) for axis in self.axes]
        block, cell = (np.zeros_like(positions[0]) for _ in range(2))
        for along, count, length in zip(positions, self.blocks.counts, self.blocks.block_shape, strict=True):
            block = block * count + along // length
            cell = cell * length + along % length
        keys = block * prod(self.blocks.block_shape) + cell
        return keys.astype(np.uint64), np.all([along >= 0 for along in positions], axis=0)


@dataclass(frozen=True, slots=True)
class BlockJob:
    """What all tasks share that write trace numbers."""

    array_url: str
    blocks: Blocks
    runs: SortedRuns


def write_trace_numbers(
    index: TraceIndex,
    axes: tuple[Axis, ...],
    *,
    array_url: str,
    shard_shape: tuple[int, ...],
    scratch: str,
    client: Client,
    run_traces: int = RUN_TRACES,
    block_cells: int = BLOCK_CELLS,
) -> Placement:
    """Writes the running number of the trace in each cell of a grid.

    Args:
        index: The traces. Where several claim a cell, the first one in running order has it.
        axes: Axes of the grid, each labelled by the header word of its name.
        array_url: Zarr array, int64 on the axes, that is filled.
        shard_shape: Shard of the samples; without its sample axis it is the array's chunk.
        scratch: Folder for what has to be sorted, a local path or an fsspec URL that workers reach too.
        client: Where to work.
        run_traces: Traces that a task sorts.
        block_cells: Cells that a task writes, about.
    """
    array_url = absolute(array_url)
    blocks = _blocks_of(array_url, block_cells)
    expected = tuple(axis.size for axis in axes), shard_shape[: len(axes)]
    if (blocks.shape, blocks.chunk_shape) != expected:
        raise RuntimeError(f"{array_url} has shape and chunk {blocks.shape, blocks.chunk_shape}, not {expected}")
    block_count = prod(blocks.counts)
    splitters = prod(blocks.block_shape) * np.arange(1, block_count, dtype=np.uint64)
    with sort_runs(
        index, BlockKey(axes, blocks), splitters=splitters, scratch=scratch, client=client, run_traces=run_traces
    ) as runs:
        pattern, repeat_count = ReadPattern(), runs.repeat_count
        job = BlockJob(array_url, blocks, runs)
        for outcome in run_windowed(client, write_block, range(block_count), shared=job):
            of_block, repeats = outcome.result()
            pattern = pattern.merged(of_block)
            repeat_count += repeats
    return Placement(pattern=pattern, outside_count=runs.outside_count, repeat_count=repeat_count)


def write_block(job: BlockJob, block: int) -> tuple[ReadPattern, int]:
    """One task: writes the trace numbers of one block, whole chunks.

    Args:
        job: What all blocks share.
        block: Its number.

    Returns:
        How the traces of its shards lie in the files, and how many traces found their cell taken.
    """
    numbers = np.full(job.blocks.block_shape, NO_TRACE, np.int64)
    cells = numbers.reshape(-1)
    repeat_count = 0
    for records in job.runs.read(block):
        claimed = records["key"].astype(np.int64) - block * cells.size
        free = cells[claimed] == NO_TRACE
        cells[claimed[free]] = records["trace_number"][free]
        repeat_count += int((~free).sum())
    where = job.blocks.slices(block)
    inside = numbers[tuple(slice(part.stop - part.start) for part in where)]
    zarr.open_array(job.array_url, mode="r+")[where] = inside
    pattern = ReadPattern()
    for chunk in _chunks(inside.shape, job.blocks.chunk_shape):
        pattern = pattern.merged(read_pattern(inside[chunk]))
    return pattern, repeat_count


def compare_coverage(array_url: str, other_url: str, *, client: Client) -> Coverage:
    """Compares which cells hold traces in two arrays of trace numbers on the same grid.

    Args:
        array_url: Zarr array, int64.
        other_url: The other one.
        client: Where to compare.
    """
    urls = absolute(array_url), absolute(other_url)
    blocks = _blocks_of(urls[0], BLOCK_CELLS)
    missing = extra = 0
    for outcome in run_windowed(client, compare_block, range(prod(blocks.counts)), shared=(urls, blocks)):
        of_block: Coverage = outcome.result()
        missing += of_block.missing
        extra += of_block.extra
    return Coverage(missing=missing, extra=extra)


def compare_block(job: tuple[tuple[str, str], Blocks], block: int) -> Coverage:
    """One task: compares one block."""
    urls, blocks = job
    here, there = (np.asarray(zarr.open_array(url, mode="r")[blocks.slices(block)]) != NO_TRACE for url in urls)
    return Coverage(missing=int((here & ~there).sum()), extra=int((there & ~here).sum()))


def _blocks_of(array_url: str, block_cells: int) -> Blocks:
    array = zarr.open_array(array_url, mode="r")
    return cut_blocks(array.shape, array.chunks, block_cells=block_cells)


def _chunks(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Where each chunk of a block lies in it."""
    starts = [range(0, size, length) for size, length in zip(shape, chunk_shape, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(start, start + length) for start, length in zip(corner, chunk_shape, strict=True))
