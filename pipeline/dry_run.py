"""What a conversion would do, without doing it: its plan with costs, for people as tables, for machines as JSON."""

import time
import uuid
from math import prod
from typing import Any

import numpy as np
import zarr
from dask.utils import format_bytes
from distributed import Client
from rich.console import Console
from rich.table import Table

from data_catalog import Catalog, layout
from data_catalog.removal import remove_empty_folder
from pipeline.convert import Conduct, check_call, lay_out
from pipeline.plan.chunking import SAMPLE_NBYTES
from pipeline.plan.costs import (
    LOCAL,
    MIB,
    Reads,
    choose_reads,
    medium_of,
    output_nbytes,
    possible_reads,
    predicted_pattern,
    task_nbytes,
)
from pipeline.plan.design import StoreDesign, VolumeDesign
from pipeline.recipe import ConvertRecipe
from pipeline.segy.samples import StoredTraces
from pipeline.shards.column import decode_column
from pipeline.shards.reuse import predecessor
from pipeline.storage.codec import Codec
from pipeline.storage.new_objects import is_streamed
from pipeline.storage.objects import absolute, remove_folder
from pipeline.store.stored_plan import StoredPlan, planned_sources
from pipeline.store.target import absent_folders, remove_again
from pipeline.survey.files import Survey
from pipeline.survey.headers import Workplace
from pipeline.survey.order import NO_TRACE, Indexed
from pipeline.survey.placement import write_trace_numbers
from pipeline.survey.read_pattern import ReadPattern
from pipeline.survey.scan import scan
from pipeline.work.cluster import thread_count, worker_memory

SAMPLED_NBYTES = 8 * MIB
"""Of the file, decoded and encoded to see how fast that goes and how far it compresses."""


def dry_run(recipe: ConvertRecipe, *, client: Client, catalog: Catalog, conduct: Conduct) -> dict[str, Any]:
    """Plans a conversion, as JSON values.

    Args:
        recipe: What would be made of which files.
        client: Where the work would be done; reads headers, and a few MiB of samples.
        catalog: Where the entry would go.
        conduct: How it would go about it.

    Raises:
        InputError: If the conversion would refuse it, or the workers have too little memory.
    """
    if recipe.name in catalog.names():
        raise catalog.taken(recipe.name)
    surveys = check_call(recipe, catalog=catalog)
    recipe = recipe.model_copy(update={"out": absolute(recipe.out)})
    scratch, absent = f"{recipe.out}/{layout.WORK_GROUP}/.dry-run-{uuid.uuid4().hex}", absent_folders(recipe.out)
    workplace = Workplace(client, conduct.index or f"{scratch}/index", scratch)
    try:
        earlier = None if conduct.extends is None else predecessor(conduct.extends).chunks
        design = lay_out(recipe, surveys, header_scan=conduct.header_scan, workplace=workplace, earlier=earlier)
        surveys = design.located(surveys)
        patterns = {volume.name: _pattern(volume, design, surveys[volume.name], workplace) for volume in design.volumes}
    finally:
        remove_folder(scratch)
        remove_empty_folder(recipe.out)
        remove_again(absent[1:])
    return _described(recipe, surveys, design, patterns, client)


def _pattern(volume: VolumeDesign, design: StoreDesign, survey: Survey, workplace: Workplace) -> ReadPattern:
    if not isinstance(volume.order, Indexed):
        return predicted_pattern(volume.order, design.axes, design.chunks)
    array_url = f"{workplace.scratch}/{volume.name}"
    zarr.create_array(
        array_url,
        shape=design.chunks.shape[:-1],
        dtype="int64",
        chunks=design.chunks.trace_shard_shape,
        fill_value=NO_TRACE,
    )
    placed = write_trace_numbers(
        scan(survey, keep=workplace.index, client=workplace.client),
        design.axes,
        array_url=array_url,
        shard_shape=design.chunks.shard_shape,
        scratch=workplace.scratch,
        client=workplace.client,
        duplicates=design.duplicates,
        repeats_url=f"{workplace.scratch}/repeats",
    )
    return placed.pattern


def _described(
    recipe: ConvertRecipe,
    surveys: dict[str, Survey],
    design: StoreDesign,
    patterns: dict[str, ReadPattern],
    client: Client,
) -> dict[str, Any]:
    chunks, threads, memory = design.chunks, thread_count(client), worker_memory(client)
    plan = StoredPlan(recipe=recipe, sources=planned_sources(surveys), design=design)
    volumes, seconds, stored_nbytes = {}, 0.0, 0
    for volume in design.volumes:
        survey, pattern = surveys[volume.name], patterns[volume.name]
        medium = medium_of(survey.files[0].url)
        options = possible_reads(pattern, trace_nbytes=survey.trace_nbytes, medium=medium)
        may_sort = design.headers_tell_shards
        chosen = choose_reads(pattern, trace_nbytes=survey.trace_nbytes, medium=medium, may_sort=may_sort)
        sample_seconds, compressed_share = _sample(survey, chunks.chunk_shape, Codec(design.codec, SAMPLE_NBYTES))
        samples_nbytes = survey.trace_count * survey.files[0].sample_count * SAMPLE_NBYTES
        volume_nbytes = output_nbytes(chunks, compressed_share=compressed_share)
        if volume.label is not None:
            volume_nbytes //= SAMPLE_NBYTES  # classes are bytes
        stored_nbytes += volume_nbytes
        seconds += chosen.seconds + sample_seconds * samples_nbytes + volume_nbytes / LOCAL.nbytes_per_s
        volumes[volume.name] = _volume(survey, volume, pattern, chosen, options, compressed_share)
    return {
        "name": recipe.name,
        "plan": plan.fingerprint,
        "kind": design.kind.value,
        "sizes": {axis.name: axis.size for axis in design.all_axes},
        "chunk_shape": list(chunks.chunk_shape),
        "shard_shape": list(chunks.shard_shape),
        "shard_nbytes": prod(chunks.shard_shape) * SAMPLE_NBYTES,
        "shards": chunks.shard_count,
        "chunks": prod(chunks.chunk_grid),
        "codec": design.codec,
        "variables": volumes,
        "stored_nbytes_about": stored_nbytes,
        "stored_nbytes_at_most": sum(
            output_nbytes(chunks) // (SAMPLE_NBYTES if volume.label else 1) for volume in design.volumes
        ),
        "task_nbytes": task_nbytes(
            chunks,
            trace_nbytes=surveys[recipe.variable].trace_nbytes,
            header_nbytes=surveys[recipe.variable].files[0].trace_header_nbytes,
            is_streamed=is_streamed(recipe.out),
        ),
        "worker_memory_nbytes": memory.nbytes,
        "threads": threads,
        "seconds_about": seconds / threads,
        "warnings": list(design.warnings),
    }


def _volume(
    survey: Survey,
    volume: VolumeDesign,
    pattern: ReadPattern,
    chosen: Reads,
    options: list[Reads],
    compressed_share: float,
) -> dict[str, Any]:
    return {
        "files": len(survey.files),
        "traces": survey.trace_count,
        "source_nbytes": sum(file.nbytes for file in survey.files),
        "order": volume.order.name,
        "runs_per_shard": pattern.run_count / max(1, pattern.shard_count),
        "strategy": chosen.strategy.value,
        "requests": chosen.request_count,
        "read_amplification": chosen.read_nbytes / max(1, survey.traces_nbytes),
        "compressed_share": compressed_share,
        "strategies": {
            option.strategy.value: option.model_dump(mode="json", exclude={"strategy"}) for option in options
        },
    }


def _sample(survey: Survey, chunk_shape: tuple[int, ...], codec: Codec) -> tuple[float, float]:
    """Seconds for a byte of samples, decoding and encoding on one thread, and the share that compressing leaves."""
    count = min(survey.trace_count, max(1, SAMPLED_NBYTES // survey.trace_nbytes))
    first = (survey.trace_count - count) // 2
    content = np.empty((count, survey.trace_nbytes), np.uint8)
    survey.read(np.arange(first, first + count), content)
    file = survey.files[0]
    traces = StoredTraces(content, file.trace_header_nbytes, file.word_order, file.format_code)
    width = chunk_shape[-1]
    out = np.empty(-(-file.sample_count // width) * width * count, np.float32)
    begun = time.perf_counter()
    column = decode_column(traces, np.arange(count), width=width, out=out)
    encoded = sum(len(codec.encode(block)) for block in column.samples)
    return (time.perf_counter() - begun) / out.nbytes, encoded / out.nbytes


def print_dry_run(found: dict[str, Any], *, console: Console) -> None:
    """Prints what ``dry_run`` found."""
    sizes = ", ".join(f"{name} {size}" for name, size in found["sizes"].items())
    console.print(f"{found['name']}: {found['kind']} ({sizes}), plan {found['plan']}")
    console.print(
        f"chunks {_times(found['chunk_shape'])}, shards {_times(found['shard_shape'])} "
        f"({found['shard_nbytes'] / MIB:.0f} MiB): {found['chunks']} chunks in {found['shards']} shards, a task each"
    )
    for name, volume in found["variables"].items():
        console.print(
            f"{name}: {volume['traces']} traces in {volume['files']} files, {format_bytes(volume['source_nbytes'])}, "
            f"order: {volume['order']}, {volume['runs_per_shard']:.0f} runs of traces a shard"
        )
        table = Table("read by", "requests", "bytes read", "on scratch", "one reader, s", "", box=None, pad_edge=False)
        for strategy, reads in volume["strategies"].items():
            table.add_row(
                strategy,
                str(reads["request_count"]),
                format_bytes(reads["read_nbytes"]),
                format_bytes(reads["scratch_nbytes"]),
                f"{reads['seconds']:.0f}",
                f"chosen, reads {volume['read_amplification']:.2f} times the traces"
                if strategy == volume["strategy"]
                else "",
            )
        console.print(table)
    console.print(
        f"store: about {format_bytes(found['stored_nbytes_about'])} with {found['codec']}, at most "
        f"{format_bytes(found['stored_nbytes_at_most'])}"
    )
    console.print(
        f"memory: {format_bytes(found['task_nbytes'])} a task; a worker may use "
        f"{format_bytes(found['worker_memory_nbytes'])}"
    )
    console.print(
        f"time: about {_duration(found['seconds_about'])} on {found['threads']} threads, from a sample of the file and "
        "usual disks; no more than a guide"
    )
    for warning in found["warnings"]:
        console.print(f"warning: {warning}")


def _times(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
