"""Traces that have no cell, because another one has it or they lie off the axes: kept whole, for the export.

Bytes behind the last trace of a file are kept as well.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import zarr
from distributed import Client

from data_catalog import layout
from pipeline.plan.design import StoreDesign, VolumeDesign
from pipeline.segy.read import read_bytes
from pipeline.store.template import codec_of, create_array
from pipeline.survey.files import Survey
from pipeline.survey.order import Indexed
from pipeline.survey.placement import OUTSIDE, Repeats
from pipeline.work.engine import run_windowed

PIECE_NBYTES = 16 * 2**20
"""Of traces, in one chunk and one task."""


@dataclass(frozen=True)
class _Job:
    url: str
    name: str
    survey: Survey
    repeats: Repeats
    counts: dict[str, int]

    @property
    def count(self) -> int:
        """Traces in all."""
        return sum(self.counts.values())

    @property
    def per_piece(self) -> int:
        """Traces in a piece."""
        return min(max(1, PIECE_NBYTES // self.survey.trace_nbytes), self.count)


def keep_repeated(url: str, design: StoreDesign, surveys: dict[str, Survey], *, client: Client) -> dict[str, int]:
    """Writes the traces of all volumes that have no cell; writing them again writes the same.

    Args:
        url: The store.
        design: What it holds.
        surveys: The files of each variable.
        client: Where the work is done.

    Returns:
        How many there are of the main variable, ``repeated``, ``auxiliary`` and ``outside``.
    """
    fates: dict[str, int] = {}
    for volume in design.volumes:
        if volume.label is None and isinstance(volume.order, Indexed):
            repeats = repeats_of(url, volume)
            counts = repeats.counts()
            if counts:
                _keep(url, design, _Job(url, volume.name, surveys[volume.name], repeats, counts), client)
            if volume.is_main:
                outside = sum(count for name, count in counts.items() if name.startswith(OUTSIDE))
                found = {
                    "repeated": sum(counts.values()) - outside,
                    "auxiliary": design.auxiliary_count,
                    "outside": outside - design.auxiliary_count,
                }
                fates = {name: count for name, count in found.items() if count}
    return fates


def _keep(url: str, design: StoreDesign, job: _Job, client: Client) -> None:
    root = zarr.open_group(url, mode="a")
    for path, shape, dtype, dims in (
        (layout.repeated_number_path(job.name), (job.count,), "int64", ("repeated",)),
        (layout.repeated_path(job.name), (job.count, job.survey.trace_nbytes), "uint8", ("repeated", "trace_byte")),
    ):
        create_array(
            root,
            path,
            shape=shape,
            dtype=dtype,
            chunks=(job.per_piece, *shape[1:]),
            compressors=codec_of(design, dtype).compressors(),
            dimension_names=dims,
            attributes={"long_name": "traces that have no cell"},
        )
    for outcome in run_windowed(client, _write_piece, range(-(-job.count // job.per_piece)), shared=job):
        outcome.result()


def repeats_of(url: str, volume: VolumeDesign) -> Repeats:
    """What is known of a volume's traces that have no cell."""
    return Repeats(f"{url}/{layout.REPEATS}/{volume.name}", f"{url}/{layout.trace_number_path(volume.key)}")


def _write_piece(job: _Job, piece: int) -> None:
    """One task: a piece of the list of all blocks' traces, one chunk of each array."""
    start = piece * job.per_piece
    edges = list(accumulate(job.counts.values(), initial=0))
    stop = min(start + job.per_piece, edges[-1])
    parts = []
    for block, (first, last) in zip(job.counts, pairwise(edges), strict=True):
        if first < stop and start < last:
            parts.append(job.repeats.numbers(block)[max(start, first) - first : min(stop, last) - first])
    numbers = np.concatenate(parts)
    order = np.argsort(numbers)
    traces = np.empty((numbers.size, job.survey.trace_nbytes), np.uint8)
    job.survey.read(numbers[order], traces)
    in_list = np.empty_like(traces)
    in_list[order] = traces
    where = slice(start, stop)
    zarr.open_array(f"{job.url}/{layout.repeated_path(job.name)}", mode="r+")[where] = in_list
    zarr.open_array(f"{job.url}/{layout.repeated_number_path(job.name)}", mode="r+")[where] = numbers


def keep_tails(url: str, design: StoreDesign, surveys: dict[str, Survey]) -> None:
    """Writes the bytes behind the last trace of each file that has any."""
    root = zarr.open_group(url, mode="a")
    for volume in design.volumes:
        for index, file in enumerate(surveys[volume.name].files if volume.label is None else ()):
            if file.tail_nbytes:
                array = create_array(
                    root,
                    layout.tail_path(volume.name, index),
                    shape=(file.tail_nbytes,),
                    dtype="uint8",
                    chunks=(min(file.tail_nbytes, PIECE_NBYTES),),
                    compressors=codec_of(design, "uint8").compressors(),
                    dimension_names=("source_byte",),
                    attributes={"long_name": "what follows the last trace in the source"},
                )
                for start in range(0, file.tail_nbytes, PIECE_NBYTES):
                    stop = min(start + PIECE_NBYTES, file.tail_nbytes)
                    piece = read_bytes(file.url, file.tail_start + start, stop - start)
                    array[start:stop] = np.frombuffer(piece, np.uint8)
