"""Appending: the shards of an earlier dataset that its successor has as well are taken over as they are stored.

A published dataset never changes, so a survey to which files were added becomes a dataset of its own. Most of its
shards hold the same traces as before: on a local disk they become links to the same bytes, elsewhere they are copied.
"""

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import Entry, Role, layout
from data_catalog.storage import is_local, open_storage
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.design import StoreDesign
from pipeline.shards.fates import counts_of
from pipeline.storage.new_objects import NewObjects
from pipeline.storage.objects import remove_object
from pipeline.store.ledger import Arrays, Shard
from pipeline.store.template import object_url
from pipeline.survey.axis import Axis
from pipeline.survey.files import Survey

COPIED_NBYTES = 16 * 2**20
"""In memory at a time."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A published dataset that begins a new one.

    Attributes:
        url: Its store.
        chunks: Its chunks and shards.
        first_labels: First label of each of its trace axes.
    """

    url: str
    chunks: ChunkPlan
    first_labels: tuple[int, ...]

    def shard_at(self, shard: Shard, axes: tuple[Axis, ...], chunks: ChunkPlan) -> Shard | None:
        """Which of its shards covers the same cells as a shard of the successor; None where none does, to the cell."""
        found = []
        where = chunks.trace_slices(shard)
        for dim, (axis, part) in enumerate(zip(axes, where, strict=True)):
            shift, rest = divmod(axis.first + part.start * axis.step - self.first_labels[dim], axis.step)
            index, beside = divmod(shift, self.chunks.shard_shape[dim])
            if rest or beside or not 0 <= index < self.chunks.shard_grid[dim]:
                return None
            found.append(index)
        own = self.chunks.trace_slices(tuple(found))
        same_size = all(a.stop - a.start == b.stop - b.start for a, b in zip(own, where, strict=True))
        return tuple(found) if same_size else None

    def trace_numbers(self, shard: Shard, volume: str | None) -> NDArray[np.int64]:
        """Trace numbers of one of its shards."""
        array = zarr.open_array(f"{self.url}/{layout.trace_number_path(volume)}", mode="r")
        return np.asarray(array[self.chunks.trace_slices(shard)])

    def trace_headers(self, shard: Shard, volume: str | None) -> NDArray[np.uint8]:
        """Trace headers of one of its shards."""
        array = zarr.open_array(f"{self.url}/{layout.trace_header_path(volume)}", mode="r")
        return np.asarray(array[self.chunks.trace_slices(shard)])

    def fates(self, shard: Shard) -> dict[str, int]:
        """How many traces of one of its shards met which fate."""
        array = zarr.open_array(f"{self.url}/{layout.FATE}", mode="r")
        return counts_of(np.asarray(array[self.chunks.trace_slices(shard)]))

    def manifest(self, shard: Shard, name: str, arrays: Iterable[str]) -> Arrays:
        """What its manifest says of one of its shards, by ``VARIABLE/NAME``."""
        group = zarr.open_group(f"{self.url}/{layout.MANIFEST_GROUP}/{name}", mode="r")
        where = self.chunks.manifest_slices(shard)
        return {f"{name}/{each}": np.asarray(group[each][where]) for each in arrays}  # type: ignore[index]

    def object_url(self, path: str, shard: Shard, *, extra_dims: int) -> str:
        """Where the object of an array lies that belongs to one of its shards."""
        return object_url(self.url, path, (*shard, *(0,) * extra_dims))


def predecessor(entry: Entry) -> Predecessor:
    """A published dataset as one to begin with."""
    main = entry.variables[entry.main_variable]
    first_labels = tuple(int(zarr.open_array(f"{entry.url}/{dim}", mode="r")[0]) for dim in main.dims[:-1])  # type: ignore[arg-type]
    return Predecessor(entry.url, ChunkPlan(main.shape, main.chunk_shape, main.shard_shape), first_labels)


def is_alike(entry: Entry, design: StoreDesign) -> bool:
    """Whether a dataset's arrays are made as a design's are, so that objects can go from one to the other."""
    main = entry.variables.get(design.main.name)
    wanted = {coordinate.name for coordinate in design.coordinates}
    made = {layout.LIVE, layout.FATE, layout.TRACE_NUMBER, layout.TRACE_HEADER, *entry.sizes}
    found = {name for name, variable in entry.variables.items() if variable.role is Role.COORDINATE} - made
    return (
        main is not None
        and entry.kind == design.kind
        and main.chunk_shape == design.chunks.chunk_shape
        and main.shard_shape == design.chunks.shard_shape
        and entry.recipe.get("codec") == design.codec
        and main.dtype == design.main.dtype
        and entry.recipe.get("significant_bits") == design.significant_bits
        and entry.recipe.get("bad_traces") == design.bad_traces
        and design.duplicates != "mean"  # which traces share a cell, trace numbers do not tell
        and all(axis.listed is None for axis in design.axes)
        and layout.FATE in entry.variables
        and wanted == found
    )


def changed_source(entry: Entry, survey: Survey) -> str | None:
    """The first file of a dataset that is not certainly the one that it was made of; None where all are."""
    sources = [source for source in entry.sources if source.variable == entry.main_variable]
    for source, file, state in zip(sources, survey.files, survey.states, strict=False):
        known = (source.url, source.nbytes, source.version)
        if not state.version or known != (file.url, state.nbytes, state.version):
            return source.url
    return None


def hand_over(source: str, target: str, objects: NewObjects) -> int:
    """Makes what one object holds that of another, and removes that where the first is not stored.

    Args:
        source: URL of an object that never changes: a file on the same disk is shared.
        target: URL of the other.
        objects: Makes it where it cannot be shared, nor copied by the storage itself.

    Returns:
        Bytes of it; 0 where there is none.
    """
    (filesystem, path), (target_filesystem, target_path) = open_storage(source), open_storage(target)
    if not filesystem.exists(path):
        remove_object(target)
        return 0
    if is_local(filesystem) and is_local(target_filesystem) and _is_linked(Path(path), Path(target_path)):
        return Path(path).stat().st_size
    if filesystem == target_filesystem and not is_local(filesystem):
        filesystem.cp_file(path, target_path)
        return int(filesystem.info(path)["size"])
    new = objects.create(target)
    with filesystem.open(path, "rb") as file:
        while part := file.read(COPIED_NBYTES):
            new.append(part)
    new.complete()
    return new.nbytes


def _is_linked(path: Path, target: Path) -> bool:
    """Links a file to another name, if the disk can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        os.link(path, temporary)
    except OSError:  # another disk, or one without links
        return False
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # it stays where both are names of one file already
    return True
