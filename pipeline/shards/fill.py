"""One task, one shard of a group that is computed: blocks are asked for, encoded chunk by chunk, and entered."""

import os
import socket
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import layout
from pipeline.plan.group import ArrayDesign, GroupDesign
from pipeline.shards.output import ShardOutput
from pipeline.shards.statistics import chunk_statistics, class_counts
from pipeline.storage.new_objects import NewObjects
from pipeline.store.ledger import Arrays, Ledger, Shard, ShardRecord
from pipeline.work.attempt import give_up_thread

Blocks = dict[str, NDArray[Any]]
"""Values by array, in a box of the tasks' dimensions, whole along all others."""


class Maker(Protocol):
    """What computes the blocks of a group: picklable and small, since every worker gets it."""

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """Values of all arrays and fields of the group.

        Args:
            where: A box of the tasks' dimensions.

        Raises:
            InputError: If what they are made from cannot be used.
            OSError: If it cannot be read.
        """


@dataclass(frozen=True)
class FillJob:
    """What every task needs.

    Attributes:
        url: The group, with its template in place.
        design: What it holds.
        maker: Computes it.
        fingerprint: Digest of everything that its values depend on.
        live_url: The array that says which traces were recorded; None where all were. Where none was, class labels
            hold their ignore value, and nothing is counted.
    """

    url: str
    design: GroupDesign
    maker: Maker
    fingerprint: str
    live_url: str | None = None

    @property
    def unfinished(self) -> str:
        """Where objects are written before they get their names."""
        return f"{self.url}/{layout.UNFINISHED_OBJECTS}/{self.fingerprint}"


@dataclass(frozen=True, slots=True)
class FillReport:
    """How one shard went.

    Attributes:
        record: What the ledger now says.
        was_complete: Whether it was found complete, and left as it is.
    """

    record: ShardRecord
    was_complete: bool = False


def fill_shard(job: FillJob, shard: Shard) -> FillReport:
    """Writes one shard of every array, whole; running it again writes the same.

    Args:
        job: What all shards share.
        shard: Index on the dimensions of the tasks.

    Raises:
        InputError: If what the values are made from cannot be used.
        OSError: If it cannot be read, or the store cannot be written.
    """
    ledger, task = Ledger(job.url), shard[: job.design.task_dims]
    earlier = ledger.record(shard)
    if earlier is not None and earlier.fingerprint == job.fingerprint:
        return FillReport(earlier, was_complete=True)
    where = job.design.chunks.trace_slices(shard)[: job.design.task_dims]
    with NewObjects(unfinished=job.unfinished) as objects:
        output = ShardOutput(
            objects, job.url, task, chunks=job.design.chunks, codec=job.design.codec, replaces=earlier is not None
        )
        with output.timed("decode"):
            blocks = job.maker.blocks(where)
            live = None if job.live_url is None else _live(job.live_url, where)
        for array in job.design.arrays:
            _write_array(output, array, blocks.pop(array.name), live, task)
        for field in job.design.fields:
            output.write_per_trace(field.name, blocks.pop(field.name), fill=field.fill)
        give_up_thread()  # the disk has some of the shard still to take: the next one is begun meanwhile
        output.publish()
    record = ShardRecord(
        shard=shard,
        fingerprint=job.fingerprint,
        source_nbytes=0,
        stored_nbytes=output.stored_nbytes,
        seconds=output.seconds,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        headers={},
    )
    ledger.complete(record, output.manifest)
    return FillReport(record)


def _live(url: str, where: tuple[slice, ...]) -> NDArray[np.bool_]:
    """Which cells of the tasks' dimensions were recorded: where there are more, such as components, any of them."""
    live = np.asarray(zarr.open_array(url, mode="r")[where], np.bool_)
    return np.asarray(live.any(axis=tuple(range(len(where), live.ndim))), np.bool_)


def _write_array(
    output: ShardOutput, array: ArrayDesign, block: NDArray[Any], live: NDArray[np.bool_] | None, task: Shard
) -> None:
    if live is not None and array.is_label:
        block[~live] = array.fill
    manifest = _manifest(output, array, task)
    lengths = array.chunks.chunk_shape
    with output.shard_of(array.name, array.chunks) as encoder:
        for index in np.ndindex(*(-(-size // length) for size, length in zip(block.shape, lengths, strict=True))):
            where = tuple(slice(i * length, (i + 1) * length) for i, length in zip(index, lengths, strict=True))
            part = block[where]
            is_live = None if live is None else live[where[: live.ndim]]
            with output.timed("decode"):
                for name, values in _told(array, part, is_live).items():
                    manifest[name][index] = values
            if _is_fill(part, array.fill):
                if array.has_manifest:
                    manifest[layout.IS_FILL][index] = True
                continue
            checksum = output.add(encoder, index, _whole(part, lengths, array.fill))
            if array.has_manifest:
                manifest[layout.CHECKSUM][index] = checksum


def _manifest(output: ShardOutput, array: ArrayDesign, task: Shard) -> Arrays:
    """This task's part of an array's manifest, still empty; gathered under the array's name."""
    if not array.has_manifest:
        return {}
    grid = tuple(part.stop - part.start for part in array.chunks.manifest_slices(array.chunks.shard_of_task(task)))
    found: Arrays = {
        name: np.zeros((*grid, *extra), dtype)
        for name, (dtype, extra) in layout.manifest_arrays(is_label=array.is_label).items()
    }
    output.manifest |= {f"{array.name}/{name}": values for name, values in found.items()}
    return found


def _told(array: ArrayDesign, part: NDArray[Any], live: NDArray[np.bool_] | None) -> Blocks:
    """What the manifest tells of the values of a chunk."""
    if not array.has_manifest:
        return {}
    counted = part if live is None else part[live]
    if array.is_label:
        return {layout.CLASS_COUNTS: class_counts(counted.reshape(1, -1), np.ones(1, np.bool_), counted.size)}
    return chunk_statistics(counted)


def _is_fill(part: NDArray[Any], fill: float) -> bool:
    return bool(np.isnan(part).all() if fill != fill else (part == fill).all() and not np.signbit(part).any())


def _whole(part: NDArray[Any], lengths: tuple[int, ...], fill: float) -> NDArray[Any]:
    """A chunk padded beyond the edge of the array, contiguous."""
    if part.size == prod(lengths):
        return np.ascontiguousarray(part)
    whole = np.full(lengths, fill, part.dtype)
    whole[tuple(slice(0, size) for size in part.shape)] = part
    return whole
