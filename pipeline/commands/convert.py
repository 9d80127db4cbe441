"""``convert``: SEG-Y to a dataset."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from data_catalog import Catalog, InputError, command_line
from data_catalog.command_line import CatalogOption
from pipeline.commands.messages import print_dashboard, print_entry, stopped_in_a_sentence
from pipeline.commands.option_values import (
    classes_from_0,
    given,
    header_bytes,
    last_by_name,
    nbytes,
    recipe_file,
    values_by_name,
)
from pipeline.commands.options import (
    WORKERS,
    ChunkSizeOption,
    ClusterOption,
    CodecOption,
    DuplicatesOption,
    FailuresOption,
    FormatOption,
    HeaderByteOption,
    HeaderWordOption,
    IndexOption,
    KindOption,
    MemoryOption,
    OutOption,
    PresetOption,
    RetryOption,
    SampleFormatOption,
    SchedulerOption,
    TruncatedOption,
    VariableOption,
    WorkersOption,
)
from pipeline.convert import Conduct, check_call
from pipeline.convert import convert as convert_survey
from pipeline.dry_run import dry_run, print_dry_run
from pipeline.recipe import extended_recipe, load_recipe
from pipeline.status import how_to_go_on
from pipeline.storage.objects import absolute
from pipeline.telemetry import Telemetry, open_lines
from pipeline.work.cluster import dask_client


def convert(  # noqa: PLR0913 (a command's options)
    paths: Annotated[list[str], typer.Argument(help="SEG-Y files of one survey, or one recipe (.yaml).")],
    name: Annotated[str | None, typer.Option(help="Name in the catalog.")] = None,
    out: OutOption = None,
    kind: KindOption = None,
    variable: VariableOption = None,
    domain: Annotated[str | None, typer.Option(help="time or depth [time].")] = None,
    inline_byte: HeaderByteOption = None,
    crossline_byte: HeaderByteOption = None,
    cdp_byte: HeaderByteOption = None,
    cdp_x_byte: HeaderByteOption = None,
    cdp_y_byte: HeaderByteOption = None,
    header_byte: HeaderWordOption = [],  # noqa: B006
    preset: PresetOption = None,
    file_format: FormatOption = None,
    sample_format: SampleFormatOption = None,
    truncated: TruncatedOption = None,
    duplicates: DuplicatesOption = None,
    bad_traces: Annotated[
        str | None, typer.Option(help="salvage, drop or fail: what becomes of traces with NaN samples [salvage].")
    ] = None,
    label: Annotated[
        list[str], typer.Option(help="NAME=PATH: a label volume on the same grid; once for each of its files.")
    ] = [],  # noqa: B006
    classes: Annotated[list[str], typer.Option(help="NAME=WORD,WORD,...: its classes, from 0.")] = [],  # noqa: B006
    split: Annotated[
        list[str], typer.Option(help="NAME=DIM:FIRST:LAST in labels, or NAME=DIM:FROM%:TO%; again for more boxes.")
    ] = [],  # noqa: B006
    volume: Annotated[
        list[str], typer.Option(help="NAME=PATH: another volume on the same grid; once for each of its files.")
    ] = [],  # noqa: B006
    codec: CodecOption = None,
    extend: Annotated[
        str | None,
        typer.Option(help="A dataset to whose files these are added, in a new dataset that shares its shards."),
    ] = None,
    significant_bits: Annotated[
        int | None, typer.Option(help="Round samples to so many significant bits of 24; 11 loses what float16 would.")
    ] = None,
    native_dtype: Annotated[
        bool, typer.Option("--native-dtype", help="Keep integers and 8-byte floats as they are, not as float32.")
    ] = False,
    chunk_size: ChunkSizeOption = None,
    shard_size: Annotated[str | None, typer.Option(help="About what a shard should hold, e.g. 64MiB.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be done, and what it costs; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan: for machines.")] = False,
    full_scan: Annotated[
        bool, typer.Option("--full-scan", help="Read all headers before any sample, whatever a sample of them says.")
    ] = False,
    index: IndexOption = None,
    retry_failed: RetryOption = False,
    allowed_failures: FailuresOption = 10,
    telemetry: Annotated[Path | None, typer.Option(help="File for JSON lines: the stages of each shard.")] = None,
    scheduler: SchedulerOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = WORKERS,
    memory: MemoryOption = "auto",
    catalog: CatalogOption = None,
) -> None:
    """Converts SEG-Y into a chunked, labelled Zarr store, and lists it in the catalog; resumes by itself."""
    recipe_path = recipe_file(paths)
    positions = header_bytes(
        preset,
        header_byte,
        inline=inline_byte,
        crossline=crossline_byte,
        cdp=cdp_byte,
        cdp_x=cdp_x_byte,
        cdp_y=cdp_y_byte,
    )
    reading = given(format=file_format, truncated=truncated, sample_format=sample_format)
    recipe = load_recipe(
        recipe_path,
        paths=None if recipe_path else tuple(paths),
        name=name,
        out=out,
        kind=kind,
        variable=variable,
        domain=domain,
        header_bytes=positions or None,
        reading=reading or None,
        duplicates=duplicates,
        bad_traces=bad_traces,
        volumes=values_by_name(volume, "--volume") or None,
        labels=_labels(label, classes) or None,
        splits=values_by_name(split, "--split") or None,
        codec=codec,
        significant_bits=significant_bits,
        native_dtype=native_dtype or None,
        chunk_nbytes=nbytes(chunk_size, "--chunk-size"),
        shard_nbytes=nbytes(shard_size, "--shard-size"),
    )
    opened = Catalog(catalog)
    extended = opened.open(extend) if extend else None
    if extended is not None:
        recipe = extended_recipe(extended, recipe)
    check_call(recipe, catalog=opened)  # before processes are started for nothing
    conduct = Conduct(
        header_scan="full" if full_scan else "sample",
        index=None if index is None else absolute(index),
        retry_failed=retry_failed,
        allowed_failures=allowed_failures,
        telemetry=Telemetry(open_lines(telemetry) if telemetry else None),
        extends=extended,
    )
    with (
        stopped_in_a_sentence(lambda: how_to_go_on(recipe.name, catalog=opened)),
        dask_client(scheduler=scheduler, cluster=cluster, workers=workers, memory=memory) as client,
    ):
        if plan:
            _print_plan(dry_run(recipe, client=client, catalog=opened, conduct=conduct), as_json=as_json)
            return
        print_dashboard(client)
        entry = convert_survey(recipe, client=client, catalog=opened, conduct=conduct)
    print_entry(entry)


def _labels(labels: list[str], classes: list[str]) -> dict[str, Any]:
    """Label volumes as recipes have them: the files of each, and the words of its classes."""
    paths, words = values_by_name(labels, "--label"), last_by_name(classes, "--classes")
    if paths.keys() != words.keys():
        raise InputError(
            f"each --label NAME=PATH needs its --classes NAME=WORD,WORD,...: labels are {', '.join(paths) or 'none'}, "
            f"classes are given for {', '.join(words) or 'none'}."
        )
    return {name: {"paths": files, "classes": classes_from_0(words[name])} for name, files in paths.items()}


def _print_plan(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_dry_run(found, console=command_line.console())
