"""Arrivals onto a dataset: a mask of given width around each pick, shard by shard."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from data_catalog import InputError, layout
from pipeline.group_run import Made
from pipeline.labels.class_array import class_array
from pipeline.labels.grid import DatasetGrid
from pipeline.labels.pick_cells import picked_dims
from pipeline.labels.pick_tables import Picks, read_picks
from pipeline.labels.recipe import ArrivalLabels, LabelRecipe
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.group import GroupDesign
from pipeline.shards.fill import Blocks
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import find_object

ON_SAMPLE = 1e-6
"""Samples that the end of a mask may lie short of a sample and still take it: a time over an interval is not exact."""

MOST_TOLD = 10
"""Phases and stations that are named where picks of them are passed over."""


@dataclass(frozen=True)
class ArrivalMaker:
    """Computes masks of a box of traces.

    Attributes:
        picks_url: Folder of the picks of each shard.
        shard_shape: Of a shard along the dimensions of the tasks.
        sample_count: Of the dataset.
        half_width: Of a mask, in samples.
        band: On either side of it, in samples.
        is_unpicked_ignored: Whether traces without any pick are left out.
        variable: What the masks become.
        ignore_value: Of what is left out.
    """

    picks_url: str
    shard_shape: tuple[int, ...]
    sample_count: int
    half_width: float
    band: float
    is_unpicked_ignored: bool
    variable: str
    ignore_value: int

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        """Masks, uint8, of a box along the dimensions of the tasks that is one shard."""
        shape = tuple(part.stop - part.start for part in where)
        background = self.ignore_value if self.is_unpicked_ignored else 0
        block = np.full((*shape, self.sample_count), background, np.uint8)
        content = find_object(f"{self.picks_url}/{_shard_name(where, self.shard_shape)}.npz")
        if content is not None:
            with np.load(io.BytesIO(content), allow_pickle=False) as found:
                cells, samples, phases = found["cells"], found["samples"], found["phases"]
            flat = np.ravel_multi_index(tuple((cells - [part.start for part in where]).T), shape)
            self._draw(block.reshape(-1, self.sample_count), flat, samples, phases)
        return {self.variable: block}

    def _draw(
        self,
        rows: NDArray[np.uint8],
        at: NDArray[np.int64],
        samples: NDArray[np.float64],
        phases: NDArray[np.int64],
    ) -> None:
        rows[at] = 0
        for half, is_band in ((self.half_width + self.band, True), (self.half_width, False)):
            if is_band and not self.band:
                continue
            first = np.maximum(0, np.ceil(samples - half - ON_SAMPLE)).astype(np.int64)
            stop = np.minimum(self.sample_count, np.floor(samples + half + ON_SAMPLE) + 1).astype(np.int64)
            for row, begin, end, phase in zip(at, first, stop, phases, strict=True):
                rows[row, begin:end] = self.ignore_value if is_band else phase


def prepare_arrivals(labels: ArrivalLabels, recipe: LabelRecipe, grid: DatasetGrid, url: str) -> Made:
    """Reads the picks, and leaves those of each shard where its task finds them.

    Args:
        labels: Which picks.
        recipe: What they become.
        grid: Of the dataset.
        url: The group, below whose ``work/`` they are kept.

    Raises:
        InputError: If picks cannot be read, or none lies on the dataset.
    """
    picks = read_picks(labels, grid)
    if not len(picks.samples):
        told = [f"{count} of {what.replace('_', ' ')}" for what, count in picks.skipped.items() if count]
        told += [f"{what} ({count})" for what, count in picks.strangers.most_common(MOST_TOLD)]
        raise InputError(f"no pick lies on {grid.entry.name!r}: {', '.join(told) or 'there are none'}.")
    dims = picked_dims(grid)
    kept = [grid.main.dims.index(dim) for dim in (*dims, grid.main.dims[-1])]
    chunks = ChunkPlan(
        *(
            tuple(of[dim] for dim in kept)
            for of in (grid.chunks.shape, grid.chunks.chunk_shape, grid.chunks.shard_shape)
        )
    )
    picks_url = f"{url}/{layout.SCRATCH}/picks"
    _write_picks(picks_url, picks, chunks)
    array = class_array(
        recipe,
        dims=(*dims, grid.main.dims[-1]),
        chunks=chunks,
        classes={0: "none", **dict(enumerate(labels.phases, start=1))},
        long_name="phase of an arrival",
    )
    interval = grid.interval or 1.0
    maker = ArrivalMaker(
        picks_url=picks_url,
        shard_shape=chunks.trace_shard_shape,
        sample_count=grid.main.shape[-1],
        half_width=labels.width / 2 / interval,
        band=labels.ignore_band / interval,
        is_unpicked_ignored=labels.unpicked == "ignore",
        variable=recipe.variable,
        ignore_value=recipe.ignore_value,
    )
    counts = np.bincount(picks.phases, minlength=len(labels.phases) + 1)[1:].tolist()
    told_picks: dict[str, JsonValue] = {
        "picks": dict(zip(labels.phases, counts, strict=True)),
        "skipped": dict(picks.skipped),
        "skipped_most": dict(picks.strangers.most_common(MOST_TOLD)),
    }
    return Made(
        GroupDesign(chunks=chunks, arrays=(array,), task_dims=len(dims), codec=recipe.codec),
        maker,
        provenance=told_picks,
    )


def _write_picks(picks_url: str, picks: Picks, chunks: ChunkPlan) -> None:
    """An object for each shard that has picks."""
    shards = np.ravel_multi_index(tuple((picks.cells // chunks.trace_shard_shape).T), chunks.shard_grid)
    order = np.argsort(shards, kind="stable")
    edges = np.flatnonzero(np.diff(shards[order], prepend=-1))
    for rows in np.split(order, edges[1:]):
        shard = np.unravel_index(int(shards[rows[0]]), chunks.shard_grid)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, cells=picks.cells[rows], samples=picks.samples[rows], phases=picks.phases[rows])
        write_object(f"{picks_url}/{'.'.join(map(str, shard))}.npz", buffer.getvalue())


def _shard_name(where: tuple[slice, ...], shard_shape: tuple[int, ...]) -> str:
    return ".".join(str(part.start // length) for part, length in zip(where, shard_shape, strict=True))
