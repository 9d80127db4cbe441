"""What a conversion will cost, before it is begun: requests, bytes, memory, time. Pure arithmetic.

Three ways lead to the traces of a shard, and the cheapest by this arithmetic is taken:

``bands``   read from the shard's first trace to its last, and throw away what belongs to others: files in the order of
            the grid, where that is little
``gather``  read each run of successive traces by itself, through gaps that cost less than another request
``sort``    read the file once from end to end and put its traces into a heap for each shard, on scratch; then read
            those: files whose order has nothing to do with the grid
"""

from enum import StrEnum
from math import ceil, prod

import numpy as np

from data_catalog import InputError
from data_catalog.schema import Model
from data_catalog.storage import open_storage
from pipeline.plan.chunking import SAMPLE_NBYTES, ChunkPlan, plan_chunks
from pipeline.segy.fields import TRACE_HEADER_NBYTES
from pipeline.survey.axis import Axis
from pipeline.survey.order import AsInFile, LineByLine
from pipeline.survey.read_pattern import ReadPattern, read_pattern
from pipeline.work.memory import WorkerMemory

MIB = 2**20

SAMPLED_SHARDS = 64

GAP_LIMIT_NBYTES = 16 * MIB
"""Never read through more than that."""

SORT_RANGE_NBYTES = 64 * MIB
"""Of a file, sorted at a time in memory; or more, if that makes small pieces."""

SORT_PIECE_NBYTES = 64 * 2**10
"""What a range should have for each shard: a shard is put together from such pieces, by a request for each."""

SORT_RELUCTANCE = 1.5
"""Sorting has to be that much cheaper before it is done: it takes as much disk again as the files."""

WORKER_NBYTES = 400 * MIB
"""A worker process before its first task: Python, Dask, Numba and their libraries."""

PLACES_NBYTES = 120
"""For each trace of a task: its header words, its number and its place, each an int64."""

HELD_SHARDS = 2
"""An encoded shard that goes out in one request is in memory twice: as its chunks, and as the request."""

FILE_OVERHEAD = 1.02
"""Output besides the samples: headers, coordinates, manifest and metadata."""


class ReadStrategy(StrEnum):
    """Which way leads to the traces of a shard."""

    BANDS = "bands"
    GATHER = "gather"
    SORT = "sort"


class Medium(Model):
    """What reading costs.

    Attributes:
        request_s: Seconds before the first byte, over how many requests run side by side.
        nbytes_per_s: Bytes a second after that.
    """

    request_s: float
    nbytes_per_s: float

    @property
    def worthwhile_gap_nbytes(self) -> int:
        """What is read in the time of one more request."""
        return min(GAP_LIMIT_NBYTES, int(self.request_s * self.nbytes_per_s))


LOCAL = Medium(request_s=1e-4, nbytes_per_s=1e9)
"""A solid-state disk, or a parallel file system near by."""

REMOTE = Medium(request_s=4e-3, nbytes_per_s=2e8)
"""An object store: 30 ms to the first byte, eight requests at a time."""


class Reads(Model):
    """How the traces of one variable are read.

    Attributes:
        strategy: Which way.
        gap_nbytes: Gaps up to this are read through.
        request_count: Requests in all.
        read_nbytes: Bytes read in all, from files and from scratch.
        scratch_nbytes: Bytes on scratch at a time.
        seconds: What reading will take one reader.
    """

    strategy: ReadStrategy
    gap_nbytes: int
    request_count: int
    read_nbytes: int
    scratch_nbytes: int
    seconds: float

    @property
    def is_sorted(self) -> bool:
        """Whether traces go through heaps on scratch."""
        return self.strategy is ReadStrategy.SORT


def choose_reads(pattern: ReadPattern, *, trace_nbytes: int, medium: Medium, may_sort: bool = True) -> Reads:
    """The cheapest way to the traces of all shards.

    Args:
        pattern: How the traces of the shards lie in the files.
        trace_nbytes: Bytes of a trace with its header.
        medium: What the files are read from.
        may_sort: Whether headers tell the shard of each trace.
    """
    options = possible_reads(pattern, trace_nbytes=trace_nbytes, medium=medium)
    options = [reads for reads in options if may_sort or not reads.is_sorted]
    return min(options, key=lambda reads: reads.seconds * (SORT_RELUCTANCE if reads.is_sorted else 1))


def possible_reads(pattern: ReadPattern, *, trace_nbytes: int, medium: Medium) -> list[Reads]:
    """Each way with its costs, the simplest first: of equal ones it is taken."""
    source_nbytes = pattern.trace_count * trace_nbytes
    gap_count = pattern.run_count - pattern.shard_count
    mean_gap_nbytes = (pattern.span - pattern.trace_count) * trace_nbytes // max(1, gap_count)
    options = []
    if mean_gap_nbytes <= GAP_LIMIT_NBYTES:
        options.append((ReadStrategy.BANDS, GAP_LIMIT_NBYTES, pattern.shard_count, pattern.span * trace_nbytes, 0))
    options.append((ReadStrategy.GATHER, medium.worthwhile_gap_nbytes, pattern.run_count, source_nbytes, 0))
    # Each range of the file has a piece for each shard, of a trace at least; it takes two requests to find and read it.
    range_count = ceil(source_nbytes / sort_range_nbytes(pattern.shard_count, source_nbytes))
    piece_count = min(range_count * pattern.shard_count, pattern.trace_count)
    options.append((ReadStrategy.SORT, 0, range_count + 2 * piece_count, 2 * source_nbytes, source_nbytes))
    return [
        Reads(
            strategy=strategy,
            gap_nbytes=gap_nbytes,
            request_count=request_count,
            read_nbytes=read_nbytes,
            scratch_nbytes=scratch_nbytes,
            seconds=request_count * medium.request_s + (read_nbytes + scratch_nbytes) / medium.nbytes_per_s,
        )
        for strategy, gap_nbytes, request_count, read_nbytes, scratch_nbytes in options
    ]


def sort_range_nbytes(shard_count: int, source_nbytes: int) -> int:
    """How much of a badly ordered survey is sorted at a time.

    Each shard should have a piece in it that is worth a request; but where a range is large, it is no larger than a
    shard: who has the memory to write one has the memory to sort as much.
    """
    shard_nbytes = ceil(source_nbytes / max(1, shard_count))
    return max(SORT_RANGE_NBYTES, min(SORT_PIECE_NBYTES * shard_count, shard_nbytes))


def task_nbytes(
    chunks: ChunkPlan, *, trace_nbytes: int, header_nbytes: int = TRACE_HEADER_NBYTES, is_streamed: bool = True
) -> int:
    """Memory of one task: traces as read, headers also apart, one column of chunks, what is encoded at its worst.

    Args:
        chunks: Chunks and shards.
        trace_nbytes: Bytes of a trace with its header.
        header_nbytes: Of them those of the header.
        is_streamed: Whether each chunk is written when it is encoded, as on a disk; else the shard is in one request.
    """
    trace_count = prod(chunks.trace_shard_shape)
    column = prod(chunks.chunk_shape[:-1]) * chunks.shard_shape[-1] * SAMPLE_NBYTES
    encoded = SAMPLE_NBYTES * (prod(chunks.chunk_shape) if is_streamed else HELD_SHARDS * prod(chunks.shard_shape))
    return trace_count * (trace_nbytes + 3 * header_nbytes + PLACES_NBYTES) + column + encoded


def plan_chunks_for(
    shape: tuple[int, ...],
    *,
    trace_nbytes: int,
    header_nbytes: int = TRACE_HEADER_NBYTES,
    memory: WorkerMemory,
    chunk_nbytes: int | None = None,
    shard_nbytes: int | None = None,
    is_streamed: bool = True,
) -> ChunkPlan:
    """Chunks and shards that workers have the memory for: smaller ones if need be, unless their size was asked for.

    Args:
        shape: Trace dimensions, then samples.
        trace_nbytes: Bytes of a trace with its header.
        header_nbytes: Of them those of the header.
        memory: Of the smallest worker.
        chunk_nbytes: About what a chunk should hold; None chooses.
        shard_nbytes: About what a shard should hold; None chooses.
        is_streamed: Whether each chunk is written when it is encoded.

    Raises:
        InputError: If they have not, with the size asked for or with any.
    """
    chunks = plan_chunks(shape, chunk_nbytes=chunk_nbytes, shard_nbytes=shard_nbytes)
    while True:
        of_task = task_nbytes(chunks, trace_nbytes=trace_nbytes, header_nbytes=header_nbytes, is_streamed=is_streamed)
        needed = WORKER_NBYTES + memory.threads * of_task
        if needed <= memory.nbytes:
            return chunks
        size = prod(chunks.shard_shape) * SAMPLE_NBYTES
        smaller = plan_chunks(shape, chunk_nbytes=chunk_nbytes, shard_nbytes=size // 2)
        if shard_nbytes is not None or smaller.shard_shape == chunks.shard_shape:
            raise InputError(
                f"a worker with {memory.threads} threads needs {needed / MIB:.0f} MiB for shards of "
                f"{size / MIB:.0f} MiB and has {memory.nbytes / MIB:.0f} MiB: give it more with --memory, or ask for "
                "smaller shards with --shard-size or smaller chunks with --chunk-size."
            )
        chunks = smaller


def medium_of(url: str) -> Medium:
    """What a file is read from."""
    filesystem, _ = open_storage(url)
    return REMOTE if filesystem.async_impl else LOCAL


def predicted_pattern(order: LineByLine | AsInFile, axes: tuple[Axis, ...], chunks: ChunkPlan) -> ReadPattern:
    """How traces lie in files of a known order: from shards spread over the grid, scaled to all.

    Args:
        order: Of the files.
        axes: Trace axes.
        chunks: Chunks and shards.
    """
    step = max(1, chunks.shard_count // SAMPLED_SHARDS)
    found = ReadPattern()
    for position in range(0, chunks.shard_count, step):
        shard = tuple(int(index) for index in np.unravel_index(position, chunks.shard_grid))
        where = chunks.trace_slices(shard)
        labels = tuple(axis.labels(part.start, part.stop) for axis, part in zip(axes, where, strict=True))
        found = found.merged(read_pattern(order.trace_numbers(labels)))
    sampled = len(range(0, chunks.shard_count, step))
    scaled = {name: round(count * chunks.shard_count / sampled) for name, count in found.model_dump().items()}
    return ReadPattern.model_validate(scaled)


def output_nbytes(chunks: ChunkPlan, *, compressed_share: float = 1.0) -> int:
    """Size of the store, for a variable of samples.

    Args:
        chunks: Chunks and shards.
        compressed_share: Size of compressed chunks to that of their samples.
    """
    padded = prod(count * chunk for count, chunk in zip(chunks.chunk_grid, chunks.chunk_shape, strict=True))
    return int(padded * SAMPLE_NBYTES * compressed_share * FILE_OVERHEAD)
