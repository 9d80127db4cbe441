"""The manifest: what the ledger's records say of each inner chunk, put together in a few large pieces."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np
import zarr
from distributed import Client
from numpy.typing import NDArray

from data_catalog import WorkError, layout
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.group import ManifestPart
from pipeline.store.ledger import Ledger, Shard
from pipeline.store.template import create_manifest
from pipeline.survey.header_words import HeaderSummary
from pipeline.work.engine import run_windowed

CHUNKS_PER_PIECE = 2048
"""Inner chunks that one piece of the manifest tells of: their histograms are 16 MiB, most of it zeros."""


@dataclass(frozen=True)
class _ManifestJob:
    url: str
    chunks: ChunkPlan
    grid: Shard
    parts: tuple[ManifestPart, ...]
    piece: Shard

    def tasks(self, index: Shard) -> Iterator[Shard]:
        """The tasks whose records make one piece."""
        yield from product(
            *(range(i * n, min((i + 1) * n, size)) for i, n, size in zip(index, self.piece, self.grid, strict=True))
        )


@dataclass(frozen=True)
class Gathered:
    """What the records of shards say together.

    Attributes:
        headers: What the trace headers of each variable are like.
        fates: How many traces of the main variable met which fate.
    """

    headers: dict[str, HeaderSummary]
    fates: dict[str, int]

    def plus(self, other: "Gathered") -> "Gathered":
        """What the records of both say."""
        fates = {name: self.fates.get(name, 0) + other.fates.get(name, 0) for name in {**self.fates, **other.fates}}
        return Gathered(_merged(self.headers, other.headers), fates)


def write_manifest(
    url: str, parts: tuple[ManifestPart, ...], *, chunks: ChunkPlan, task_dims: int, client: Client
) -> Gathered:
    """Writes the manifest of all variables from a complete ledger.

    Args:
        url: The group that holds them.
        parts: What is told of each variable.
        chunks: Whose shards are the tasks.
        task_dims: How many dimensions tasks are cut along.
        client: Where the work is done.

    Returns:
        What is known of all traces.

    Raises:
        WorkError: If a shard has no record.
    """
    grid = chunks.shard_grid[:task_dims]
    piece = _piece(grid, max((prod(part.chunks.chunks_per_shard) for part in parts), default=1))
    for part in parts:
        along_tasks = (n * count for n, count in zip(piece, part.chunks.chunks_per_shard, strict=False))
        create_manifest(url, part, (*along_tasks, *part.chunks.chunk_grid[task_dims:]))
    pieces = product(*(range(ceil(size / n)) for size, n in zip(grid, piece, strict=True)))
    job = _ManifestJob(url, chunks, grid, parts, piece)
    gathered = Gathered({}, {})
    for outcome in run_windowed(client, _write_piece, pieces, shared=job):
        gathered = gathered.plus(outcome.result())
    return gathered


def _write_piece(job: _ManifestJob, index: Shard) -> Gathered:
    ledger, tasks = Ledger(job.url), list(job.tasks(index))
    where = {part.name: _between(part, tasks[0], tasks[-1]) for part in job.parts}
    pieces = {
        f"{part.name}/{name}": np.zeros((*(each.stop - each.start for each in where[part.name]), *extra), dtype)
        for part in job.parts
        for name, (dtype, extra) in part.arrays.items()
    }
    gathered = Gathered({}, {})
    for task in tasks:
        found = ledger.read(job.chunks.shard_of_task(task))
        if found is None:
            raise WorkError(f"the ledger of {job.url} has no record of shard {task}: give the same command again.")
        record, arrays = found
        for part in job.parts:
            target = tuple(
                slice(each.start - origin.start, each.stop - origin.start)
                for each, origin in zip(_between(part, task, task), where[part.name], strict=True)
            )
            for name in part.arrays:
                pieces[f"{part.name}/{name}"][target] = arrays[f"{part.name}/{name}"]
        gathered = gathered.plus(Gathered(record.headers, record.fates))
    for part in job.parts:
        for name in part.arrays:
            array = zarr.open_array(f"{job.url}/{layout.manifest_path(part.name, name)}", mode="r+")
            _write_whole_chunk(array, where[part.name], pieces[f"{part.name}/{name}"])
    return gathered


def _between(part: ManifestPart, first: Shard, last: Shard) -> tuple[slice, ...]:
    """Where the inner chunks of the shards from one task's to another's lie on the chunk grid."""
    low, high = (part.chunks.manifest_slices(part.chunks.shard_of_task(task)) for task in (first, last))
    return tuple(slice(one.start, other.stop) for one, other in zip(low, high, strict=True))


def _piece(shard_grid: tuple[int, ...], chunks_per_shard: int) -> Shard:
    """How many shards along each dimension one piece tells of: as many as fit, the last dimension first."""
    counts = [1] * len(shard_grid)
    for dim in reversed(range(len(shard_grid))):
        room = max(1, CHUNKS_PER_PIECE // (prod(counts) * chunks_per_shard))
        counts[dim] = min(shard_grid[dim], room)
    return tuple(counts)


def _write_whole_chunk(array: zarr.Array[Any], where: tuple[slice, ...], values: NDArray[Any]) -> None:
    """Writes one chunk, never a part of one: that would read, change and write what another task may be writing."""
    for part, length, size in zip(where, array.chunks, array.shape, strict=False):
        if part.start % length or part.stop != min(part.start + length, size):
            raise RuntimeError(f"{array.path}: {part} is not one whole chunk of {length}")
    array[where] = values


def _merged(one: dict[str, HeaderSummary], other: dict[str, HeaderSummary]) -> dict[str, HeaderSummary]:
    both = {name: one[name].merged(other[name]) for name in one.keys() & other.keys()}
    return one | other | both
