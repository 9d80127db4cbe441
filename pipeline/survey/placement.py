"""Traces onto the grid: trace numbers written block by block, each block filled from what was sorted for it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
import zarr
from distributed import Client
from numpy.typing import NDArray

from data_catalog.schema import Model
from data_catalog.storage import open_storage
from pipeline.recipe import Duplicates
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import absolute, find_object, object_names, read_object
from pipeline.survey.axis import Axis
from pipeline.survey.external_sort import RUN_TRACES, Keys, SortedRuns, sort_runs
from pipeline.survey.header_words import HeaderWords
from pipeline.survey.read_pattern import ReadPattern, read_pattern
from pipeline.survey.trace_index import TraceIndex
from pipeline.work.engine import run_windowed

NO_TRACE = -1
"""Trace number of an empty cell."""

REPEAT = np.dtype([("cell", "<i8"), ("trace_number", "<i8")])
"""A trace whose cell another one has; cells are counted in their block."""

OUTSIDE = "outside-"
"""Begins the names of parts that hold traces off the axes."""

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
        return tuple(name for axis in self.axes for name in axis.words)

    def __call__(self, words: HeaderWords) -> tuple[Keys, NDArray[np.bool_]]:
        """Keys, and which traces have one, both (trace); those that lie off the axes have none."""
        positions = [
            np.zeros_like(words[self.names[0]]) if axis.word is None else axis.positions_of(words) for axis in self.axes
        ]
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
    duplicates: Duplicates
    repeats_url: str
    truncated: tuple[int, ...]


def write_trace_numbers(  # noqa: PLR0913 (what is placed, how, and where it is put)
    index: TraceIndex,
    axes: tuple[Axis, ...],
    *,
    array_url: str,
    shard_shape: tuple[int, ...],
    scratch: str,
    client: Client,
    duplicates: Duplicates = "first",
    repeats_url: str,
    truncated: tuple[int, ...] = (),
    run_traces: int = RUN_TRACES,
    block_cells: int = BLOCK_CELLS,
) -> Placement:
    """Writes the running number of the trace in each cell of a grid.

    Args:
        index: The traces.
        axes: Axes of the grid, each labelled by a header word, but for one that counts those of one cell.
        array_url: Zarr array, int64 on the axes, that is filled.
        shard_shape: Shard of the samples; without its sample axis it is the array's chunk.
        scratch: Folder for what has to be sorted, a local path or an fsspec URL that workers reach too.
        client: Where to work.
        duplicates: Which of several traces that claim a cell has it.
        repeats_url: Folder for what is to be known of the others: `Repeats` reads it.
        truncated: Traces that the end of their file cuts off: others that claim their cells have them.
        run_traces: Traces that a task sorts.
        block_cells: Cells that a task writes, about.
    """
    array_url = absolute(array_url)
    blocks = _blocks_of(array_url, block_cells)
    if duplicates == "dimension" and axes[-1].word is not None:
        raise RuntimeError("no dimension is there for traces that share a cell")
    if axes[-1].word is None:  # those of one cell lie in one block
        blocks = replace(
            blocks, block_shape=(*blocks.block_shape[:-1], _multiple(blocks.chunk_shape[-1], axes[-1].size))
        )
    expected = tuple(axis.size for axis in axes), shard_shape[: len(axes)]
    if (blocks.shape, blocks.chunk_shape) != expected:
        raise RuntimeError(f"{array_url} has shape and chunk {blocks.shape, blocks.chunk_shape}, not {expected}")
    block_count = prod(blocks.counts)
    splitters = prod(blocks.block_shape) * np.arange(1, block_count, dtype=np.uint64)
    with sort_runs(
        index,
        BlockKey(axes, blocks),
        splitters=splitters,
        scratch=scratch,
        client=client,
        run_traces=run_traces,
        outside=absolute(repeats_url),
    ) as runs:
        pattern, repeat_count = ReadPattern(), 0
        job = BlockJob(array_url, blocks, runs, duplicates, absolute(repeats_url), truncated)
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
    repeated = [np.empty(0, REPEAT)]
    for records in job.runs.read(block):
        claimed = records["key"].astype(np.int64) - block * cells.size
        repeated.append(_claim(cells, claimed, records["trace_number"], job.duplicates, most=numbers.shape[-1]))
    repeats = np.concatenate(repeated)
    _prefer_whole(cells, repeats, np.array(job.truncated, np.int64), job.duplicates)
    repeats = np.sort(repeats, order="trace_number")
    if repeats.size:
        write_object(f"{job.repeats_url}/{block}", repeats.tobytes())
    where = job.blocks.slices(block)
    inside = numbers[tuple(slice(part.stop - part.start) for part in where)]
    zarr.open_array(job.array_url, mode="r+")[where] = inside
    pattern = ReadPattern()
    for chunk in _chunks(inside.shape, job.blocks.chunk_shape):
        pattern = pattern.merged(read_pattern(inside[chunk]))
    return pattern, repeats.size


def _claim(
    cells: NDArray[np.int64],
    claimed: NDArray[np.int64],
    numbers: NDArray[np.int64],
    duplicates: Duplicates,
    *,
    most: int,
) -> NDArray[Any]:
    """Gives cells to the traces of one run, and says which traces go without.

    Args:
        cells: int64 (cell): which trace has it so far.
        claimed: int64 (trace), ascending: the cell of each trace.
        numbers: int64 (trace): running numbers, ascending where cells are equal, and greater than those of before.
        duplicates: Who has a cell that several claim.
        most: How many may share one, along the last dimension, where they do.

    Returns:
        `REPEAT` (trace).
    """
    begins = np.flatnonzero(np.diff(claimed, prepend=-1) != 0)
    if duplicates == "dimension":
        among_equals = np.arange(claimed.size) - np.repeat(begins, np.diff(np.append(begins, claimed.size)))
        taken = (cells.reshape(-1, most)[claimed // most] != NO_TRACE).sum(axis=1)  # by those of earlier runs
        cells[claimed + taken + among_equals] = numbers
        return np.empty(0, REPEAT)
    if duplicates == "last":
        ends = np.append(begins[1:], claimed.size) - 1
        chosen = np.zeros(claimed.size, np.bool_)
        chosen[ends] = True
        holders = cells[claimed[ends]]
        before = _repeats(claimed[ends][holders != NO_TRACE], holders[holders != NO_TRACE])
    else:
        chosen = np.zeros(claimed.size, np.bool_)
        chosen[begins] = cells[claimed[begins]] == NO_TRACE
        before = np.empty(0, REPEAT)
    cells[claimed[chosen]] = numbers[chosen]
    return np.concatenate([before, _repeats(claimed[~chosen], numbers[~chosen])])


def _prefer_whole(
    cells: NDArray[np.int64], repeats: NDArray[Any], truncated: NDArray[np.int64], duplicates: Duplicates
) -> None:
    """Gives cells that hold a trace which its file's end cuts off to another one that claims them, in place."""
    for number in truncated[np.isin(truncated, cells)].tolist():
        cell = int(np.flatnonzero(cells == number)[0])
        others = np.flatnonzero((repeats["cell"] == cell) & ~np.isin(repeats["trace_number"], truncated))
        if others.size:
            order = repeats["trace_number"][others]
            chosen = int(others[order.argmax() if duplicates == "last" else order.argmin()])
            cells[cell], repeats["trace_number"][chosen] = repeats["trace_number"][chosen], number


def _repeats(cells: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[Any]:
    found = np.empty(cells.size, REPEAT)
    found["cell"], found["trace_number"] = cells, numbers
    return found


@dataclass(frozen=True, slots=True)
class Repeats:
    """Traces that have no cell, because another one has it, block by block, or because they lie off the axes.

    Attributes:
        url: Folder that `write_trace_numbers` has filled.
        array_url: The array of trace numbers.
    """

    url: str
    array_url: str

    def counts(self) -> dict[str, int]:
        """How many there are in each part that has any: a block, by its number, or what lies off the axes of a run."""
        filesystem, path = open_storage(self.url)
        return {
            name: int(filesystem.size(f"{path}/{name}")) // _dtype_of(name).itemsize
            for name in sorted(object_names(self.url))
            if name.isdigit() or name.startswith(OUTSIDE)
        }

    def numbers(self, part: str) -> NDArray[np.int64]:
        """int64, ascending: running numbers of those of one part."""
        found = np.frombuffer(read_object(f"{self.url}/{part}"), _dtype_of(part))
        return (found if part.startswith(OUTSIDE) else found["trace_number"]).astype(np.int64)

    def within(self, where: tuple[slice, ...]) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.int64]]:
        """Those whose cells lie in a box that lies in one block.

        Args:
            where: The box.

        Returns:
            Indices of their cells in the box, and their running numbers, ascending.
        """
        blocks = _blocks_of(self.array_url, BLOCK_CELLS)
        block = int(
            np.ravel_multi_index(
                [part.start // length for part, length in zip(where, blocks.block_shape, strict=True)], blocks.counts
            )
        )
        content = find_object(f"{self.url}/{block}")
        found = np.frombuffer(content or b"", REPEAT)
        index = np.unravel_index(found["cell"].astype(np.intp), blocks.block_shape)
        own = blocks.slices(block)
        local = tuple(each + mine.start - part.start for each, mine, part in zip(index, own, where, strict=True))
        inside = np.all(
            [(each >= 0) & (each < part.stop - part.start) for each, part in zip(local, where, strict=True)], axis=0
        )
        return tuple(each[inside] for each in local), found["trace_number"][inside].astype(np.int64)


def _dtype_of(part: str) -> np.dtype[Any]:
    return np.dtype("<i8") if part.startswith(OUTSIDE) else REPEAT


def _multiple(step: int, size: int) -> int:
    """The least multiple of a step that is not less than a size."""
    return -(-size // step) * step


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
