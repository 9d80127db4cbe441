"""Options that several commands take, with their help."""

import os
from pathlib import Path
from typing import Annotated

import typer

from data_catalog import Kind
from pipeline.survey.inference import PRESETS

WORKERS = min(4, os.cpu_count() or 1)
"""Threads or processes, unless ``--workers`` says otherwise."""

# Where the work runs, and how shards are gone through.
SchedulerOption = Annotated[
    str | None,
    typer.Option(help="`threads` of this process, `processes`, or the address of a Dask scheduler [threads]."),
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Threads, or processes with one thread each.")]
MemoryOption = Annotated[str, typer.Option(help="What this process may use, or each worker process, e.g. 2GiB.")]
ClusterOption = Annotated[
    Path | None, typer.Option("--cluster", help="YAML file that describes a cluster to start (docs/clusters.md).")
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try shards in quarantine again.")]
FailuresOption = Annotated[int, typer.Option(min=0, help="Shards that may go into quarantine before the run stops.")]

# How SEG-Y is read.
IndexOption = Annotated[
    str | None,
    typer.Option(help="Folder that keeps indices of trace headers, so that a file is indexed once."),
]
HeaderByteOption = Annotated[int | None, typer.Option(min=1, max=237, help="First byte in the trace header.")]
HeaderWordOption = Annotated[
    list[str],
    typer.Option(metavar="NAME=BYTES", help="Where a header word is, e.g. shot=17 or cable=137-138; again for others."),
]
PresetOption = Annotated[
    str | None, typer.Option(metavar="NAME", help=f"Where some software has header words: {', '.join(PRESETS)}.")
]
KindOption = Annotated[
    Kind | None,
    typer.Option(metavar="KIND", help="stack3d, stack2d, gathers, shots, passive or flat; else inferred."),
]
FormatOption = Annotated[str | None, typer.Option("--format", help="segy, or su for Seismic Unix; else inferred.")]
TruncatedOption = Annotated[
    str | None,
    typer.Option(help="salvage, drop or fail: what becomes of a trace that the file's end cuts off [salvage]."),
]
DuplicatesOption = Annotated[
    str | None,
    typer.Option(help="first, last, mean, dimension or fail: what becomes of traces that share a cell [first]."),
]
SampleFormatOption = Annotated[
    int | None, typer.Option(help="Code of the sample format, where the file states another one.")
]

# What is made of it.
OutOption = Annotated[str | None, typer.Option(help="Where the store goes: a path or an fsspec URL.")]
VariableOption = Annotated[str | None, typer.Option(help="Name of the main variable [amplitude].")]
CodecOption = Annotated[str | None, typer.Option(help="lz4, zstd or none [lz4].")]
ChunkSizeOption = Annotated[str | None, typer.Option(help="About what an inner chunk should hold, e.g. 1MiB.")]

JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]
