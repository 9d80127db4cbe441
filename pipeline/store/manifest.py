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
from pipeline.plan.design import StoreDesign
from pipeline.store.ledger import Ledger, Shard
from pipeline.store.template import create_manifest
from pipeline.survey.header_words import HeaderSummary
from pipeline.work.engine import run_windowed

CHUNKS_PER_PIECE = 2048
"""Inner chunks that one piece of the manifest tells of: their histograms are 16 MiB, most of it zeros."""


@dataclass(frozen=True)
class _ManifestJob:
    url: str
    design: StoreDesign
    piece: Shard

    def shards(self, index: Shard) -> Iterator[Shard]:
        """The shards whose records make one piece."""
        grid = self.design.chunks.shard_grid
        yield from product(
            *(range(i * n, min((i + 1) * n, size)) for i, n, size in zip(index, self.piece, grid, strict=True))
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


def write_manifest(url: str, design: StoreDesign, *, client: Client) -> Gathered:
    """Writes the manifest of all variables from a complete ledger.

    Args:
        url: The store.
        design: What it holds.
        client: Where the work is done.

    Returns:
        What is known of all traces.

    Raises:
        WorkError: If a shard has no record.
    """
    chunks = design.chunks
    piece = _piece(chunks.shard_grid, prod(chunks.chunks_per_shard))
    per_dimension = zip(piece, chunks.chunks_per_shard, strict=False)
    create_manifest(url, design, (*(n * count for n, count in per_dimension), chunks.chunk_grid[-1]))
    pieces = product(*(range(ceil(size / n)) for size, n in zip(chunks.shard_grid, piece, strict=True)))
    job = _ManifestJob(url, design, piece)
    gathered = Gathered({}, {})
    for outcome in run_windowed(client, _write_piece, pieces, shared=job):
        gathered = gathered.plus(outcome.result())
    return gathered


def _write_piece(job: _ManifestJob, index: Shard) -> Gathered:
    chunks, ledger = job.design.chunks, Ledger(job.url)
    shards = list(job.shards(index))
    first, last = chunks.manifest_slices(shards[0]), chunks.manifest_slices(shards[-1])
    where = tuple(slice(low.start, high.stop) for low, high in zip(first, last, strict=True))
    pieces = {
        f"{volume.name}/{name}": np.zeros((*(part.stop - part.start for part in where), *extra), dtype)
        for volume in job.design.volumes
        for name, (dtype, extra) in job.design.manifest_arrays(volume).items()
    }
    gathered = Gathered({}, {})
    for shard in shards:
        found = ledger.read(shard)
        if found is None:
            raise WorkError(f"the ledger of {job.url} has no record of shard {shard}: give the same command again.")
        record, arrays = found
        target = tuple(
            slice(part.start - origin.start, part.stop - origin.start)
            for part, origin in zip(chunks.manifest_slices(shard), where, strict=True)
        )
        for name, values in arrays.items():
            pieces[name][target] = values
        gathered = gathered.plus(Gathered(record.headers, record.fates))
    for name, values in pieces.items():
        _write_whole_chunk(zarr.open_array(f"{job.url}/{layout.MANIFEST_GROUP}/{name}", mode="r+"), where, values)
    return gathered


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
