"""One task, one shard: read its traces, put them on the grid, write every array's part, count as it goes by."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import InputError, layout
from pipeline.chunking import ChunkPlan
from pipeline.recipe import Label
from pipeline.segy.samples import residue_words
from pipeline.statistics import chunk_statistics, class_counts
from pipeline.survey import Survey

Slices = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class ShardJob:
    """What every shard's task needs: a few names, no survey-sized array. Trace numbers are read from the store.

    Attributes:
        url: The store, with its template in place.
        variable: Name of the main variable.
        survey: Its files.
        plan: Chunks and shards.
        labels: Label volumes by variable name, each with its files.
    """

    url: str
    variable: str
    survey: Survey
    plan: ChunkPlan
    labels: dict[str, tuple[Label, Survey]]


def write_shard(job: ShardJob, shard: tuple[int, ...]) -> int:
    """Writes one shard of every variable, whole; running it again writes the same.

    Args:
        job: What all shards share.
        shard: Index on the trace dimensions.

    Returns:
        Source bytes that were read.

    Raises:
        InputError: If a source became shorter, or a label holds what is not a class.
    """
    root = zarr.open_group(job.url, mode="r+")
    where = job.plan.trace_slices(shard)
    numbers = _read(root, layout.TRACE_NUMBER, where)
    live, nbytes = _write_main(root, job, shard, numbers)
    for name, (label, survey) in job.labels.items():
        nbytes += _write_label(root, job, shard, name, label, survey, live)
    return nbytes


def _write_main(
    root: zarr.Group, job: ShardJob, shard: tuple[int, ...], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], int]:
    where = job.plan.trace_slices(shard)
    cells, ordered = _cells_in_file_order(numbers)
    block = job.survey.read(ordered)
    samples = _on_grid(numbers.shape, cells, block.samples)
    # By bits, sign aside: comparing signalling NaN with zero would warn.
    live = _on_grid(numbers.shape, cells, np.asarray((block.samples.view(np.uint32) << 1).any(axis=1)))
    _write(root, job.variable, where, samples)
    _write(root, layout.LIVE, where, live)
    _write(root, layout.TRACE_HEADER, where, _on_grid(numbers.shape, cells, block.headers))
    residue = residue_words(block.words, block.samples, is_ibm=block.is_ibm)
    if residue is not None:
        _write(root, layout.residue_path(job.variable), where, _on_grid(numbers.shape, cells, residue))
    _write_statistics(root, job, shard, samples, live)
    return live, ordered.size * job.survey.files[0].trace_nbytes


def _write_label(
    root: zarr.Group,
    job: ShardJob,
    shard: tuple[int, ...],
    name: str,
    label: Label,
    survey: Survey,
    live: NDArray[np.bool_],
) -> int:
    where = job.plan.trace_slices(shard)
    numbers = _read(root, layout.label_traces_path(name), where)
    cells, ordered = _cells_in_file_order(numbers)
    block = survey.read(ordered)
    classes = np.full((*numbers.shape, job.plan.shape[-1]), label.ignore_value, np.uint8)
    classes[cells] = _as_classes(name, label, block.samples, ordered)
    classes[~live] = label.ignore_value
    _write(root, name, where, classes)
    counts = np.zeros((*_manifest_shape(job.plan, shard), layout.CLASS_VALUE_COUNT), np.int64)
    for index, part in job.plan.chunk_slices(classes.shape):
        counts[index] = class_counts(classes[part], live[part[:-1]])
    _write(root, layout.manifest_path(name, layout.CLASS_COUNTS), job.plan.manifest_slices(shard), counts)
    return ordered.size * survey.files[0].trace_nbytes


def _write_statistics(
    root: zarr.Group, job: ShardJob, shard: tuple[int, ...], samples: NDArray[np.float32], live: NDArray[np.bool_]
) -> None:
    arrays = {
        statistic: np.zeros(_manifest_shape(job.plan, shard), dtype) for statistic, dtype in layout.STATISTICS.items()
    }
    for index, part in job.plan.chunk_slices(samples.shape):
        for statistic, value in chunk_statistics(samples[part], live[part[:-1]]).items():
            arrays[statistic][index] = value
    for statistic, values in arrays.items():
        _write(root, layout.manifest_path(job.variable, statistic), job.plan.manifest_slices(shard), values)


def _as_classes(
    name: str, label: Label, samples: NDArray[np.float32], trace_numbers: NDArray[np.int64]
) -> NDArray[np.uint8]:
    allowed = np.array([*label.classes, label.ignore_value], np.float32)
    wrong = ~np.isin(samples, allowed)
    if wrong.any():
        trace, sample = (int(index[0]) for index in np.nonzero(wrong))
        raise InputError(
            f"label {name!r} holds {samples[trace, sample]:g} at sample {sample} of trace {int(trace_numbers[trace])}, "
            f"which is neither a class ({', '.join(map(str, label.classes))}) nor the ignore value "
            f"{label.ignore_value}: declare it with --classes, or correct the file."
        )
    return samples.astype(np.uint8)


def _cells_in_file_order(numbers: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64]]:
    """Cells that hold a trace, and their trace numbers, both in the order in which the file is read."""
    cells = np.nonzero(numbers >= 0)
    order = np.argsort(numbers[cells])
    in_order = tuple(index[order] for index in cells)
    return in_order, numbers[in_order]


def _on_grid(shape: tuple[int, ...], cells: Any, values: NDArray[Any]) -> NDArray[Any]:
    grid = np.zeros((*shape, *values.shape[1:]), values.dtype)
    grid[cells] = values
    return grid


def _manifest_shape(plan: ChunkPlan, shard: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in plan.manifest_slices(shard))


def _read(root: zarr.Group, path: str, where: Slices) -> NDArray[Any]:
    return np.asarray(_array(root, path)[where])


def _write(root: zarr.Group, path: str, where: Slices, values: NDArray[Any]) -> None:
    """Writes whole chunks only: a part of one would read, change and write what another task may be writing."""
    array = _array(root, path)
    lengths = array.shards or array.chunks
    for part, length, size in zip(where, lengths, array.shape, strict=False):
        if part.start % length or (part.stop % length and part.stop != size):
            raise RuntimeError(f"{path}: {part} is not made of whole chunks of {length}")
    array[where] = values


def _array(root: zarr.Group, path: str) -> zarr.Array[Any]:
    array = root[path]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{path} is a group")
    return array
