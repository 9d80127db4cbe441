"""``python -m pipeline inspect | convert | ingest | label | split | status | verify | export | synthesize``."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C just ends the program while it is loaded

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from dask.utils import parse_bytes

from data_catalog import Catalog, Entry, InputError, Kind, WorkError, command_line
from data_catalog.command_line import CatalogOption
from data_catalog.model_file import read_mapping, validated
from pipeline.convert import Conduct, check_call
from pipeline.convert import convert as convert_survey
from pipeline.dry_run import dry_run, print_dry_run
from pipeline.export.export import export as export_variable
from pipeline.export.target import nbytes_of
from pipeline.ingest.run import ingest as ingest_files
from pipeline.ingest.run import load_ingest_recipe
from pipeline.inspection.inspect import inspect_survey, moved_words
from pipeline.inspection.picture import draw
from pipeline.inspection.printing import print_inspection, usable_name
from pipeline.inspection.recipe_file import recipe_text, write_recipe
from pipeline.label import described, load_label_recipe
from pipeline.label import label as label_dataset
from pipeline.recipe import as_duplicates, as_header_bytes, as_reading, extended_recipe, load_recipe
from pipeline.shard_run import RunConduct
from pipeline.split import SURVEY, load_split_recipe, split_surveys
from pipeline.split import split as split_dataset
from pipeline.status import how_to_go_on, print_status, read_status
from pipeline.storage.objects import absolute
from pipeline.survey.files import open_survey
from pipeline.survey.inference import PRESETS
from pipeline.telemetry import Telemetry, open_lines
from pipeline.verification.subject import open_subject
from pipeline.verification.verify import print_verification
from pipeline.verification.verify import verify as verify_dataset
from pipeline.work.cluster import THREADS, dask_client
from pipeline.work.progress import CONSOLE

app = typer.Typer(
    help="Raw SEG-Y to prepared datasets, with Dask; and back.", no_args_is_help=True, rich_markup_mode=None
)

SchedulerOption = Annotated[
    str | None,
    typer.Option(help="`threads` of this process, `processes`, or the address of a Dask scheduler [threads]."),
]
WorkersOption = Annotated[int, typer.Option(min=1, help="Threads, or processes with one thread each.")]
MemoryOption = Annotated[str, typer.Option(help="What this process may use, or each worker process, e.g. 2GiB.")]
ClusterOption = Annotated[
    Path | None, typer.Option("--cluster", help="YAML file that describes a cluster to start (docs/clusters.md).")
]
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
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try shards in quarantine again.")]
FailuresOption = Annotated[int, typer.Option(min=0, help="Shards that may go into quarantine before the run stops.")]
CodecOption = Annotated[str | None, typer.Option(help="lz4, zstd or none [lz4].")]

WORKERS = min(4, os.cpu_count() or 1)


@app.command()
def inspect(  # noqa: PLR0913 (a command's options)
    paths: Annotated[list[str], typer.Argument(help="SEG-Y or Seismic Unix files of one survey.")],
    kind: KindOption = None,
    inline_byte: HeaderByteOption = None,
    crossline_byte: HeaderByteOption = None,
    header_byte: HeaderWordOption = [],  # noqa: B006
    preset: PresetOption = None,
    file_format: FormatOption = None,
    truncated: TruncatedOption = None,
    sample_format: SampleFormatOption = None,
    duplicates: DuplicatesOption = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file to write a recipe to that `convert` takes.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file for a picture: a section, header words and a map.")
    ] = None,
    index: IndexOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Says what is in a file, what is odd, and which conversion would fit."""
    positions = _header_bytes(preset, header_byte, inline=inline_byte, crossline=crossline_byte)
    reading = _given(format=file_format, truncated=truncated, sample_format=sample_format)
    survey = open_survey(tuple(paths), as_header_bytes(positions), as_reading(reading))
    with dask_client(scheduler=THREADS, workers=WORKERS, memory="auto") as client:
        policy = as_duplicates(duplicates)
        found, located = inspect_survey(survey, kind=kind, duplicates=policy, index=index, client=client)
    name = usable_name(Path(paths[0]).stem)
    if recipe is not None:
        moved = moved_words(located, {*found["axes"], *found["keys"]})
        text = recipe_text(found, name=name, moved=moved, reading=reading, duplicates=duplicates, file=recipe.name)
        write_recipe(recipe, text)
    if picture is not None:
        draw(located, picture, title=f"{name}: {found['kind']}", first_ms=list(found["axes"].values())[-1]["first"])
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        given = _given(kind=kind, duplicates=duplicates, **reading)
        options = {option.replace("_", "-"): value for option, value in given.items()}
        positions = {**positions, **moved_words(located, ())}
        options |= {"header-byte": [f"{word}={place}" for word, place in positions.items()]}
        print_inspection(found, name=name, paths=paths, options=options, console=command_line.console())


@app.command()
def convert(  # noqa: PLR0913 (a command's options)
    paths: Annotated[list[str], typer.Argument(help="SEG-Y files of one survey, or one recipe (.yaml).")],
    name: Annotated[str | None, typer.Option(help="Name in the catalog.")] = None,
    out: Annotated[str | None, typer.Option(help="Where the store goes: a path or an fsspec URL.")] = None,
    kind: KindOption = None,
    variable: Annotated[str | None, typer.Option(help="Name of the main variable [amplitude].")] = None,
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
    chunk_size: Annotated[str | None, typer.Option(help="About what an inner chunk should hold, e.g. 1MiB.")] = None,
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
    is_recipe = len(paths) == 1 and Path(paths[0]).suffix in {".yaml", ".yml"}
    header_bytes = _header_bytes(
        preset,
        header_byte,
        inline=inline_byte,
        crossline=crossline_byte,
        cdp=cdp_byte,
        cdp_x=cdp_x_byte,
        cdp_y=cdp_y_byte,
    )
    reading = _given(format=file_format, truncated=truncated, sample_format=sample_format)
    recipe = load_recipe(
        paths[0] if is_recipe else None,
        paths=None if is_recipe else tuple(paths),
        name=name,
        out=out,
        kind=kind,
        variable=variable,
        domain=domain,
        header_bytes=header_bytes or None,
        reading=reading or None,
        duplicates=duplicates,
        bad_traces=bad_traces,
        volumes=_lists(volume, "--volume") or None,
        labels=_labels(label, classes) or None,
        splits=_lists(split, "--split") or None,
        codec=codec,
        significant_bits=significant_bits,
        native_dtype=native_dtype or None,
        chunk_nbytes=_nbytes(chunk_size, "--chunk-size"),
        shard_nbytes=_nbytes(shard_size, "--shard-size"),
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
    try:
        with dask_client(scheduler=scheduler, cluster=cluster, workers=workers, memory=memory) as client:
            if plan:
                _print_plan(dry_run(recipe, client=client, catalog=opened, conduct=conduct), as_json=as_json)
                return
            CONSOLE.print(f"dask dashboard: {client.dashboard_link}", soft_wrap=True)
            entry = convert_survey(recipe, client=client, catalog=opened, conduct=conduct)
    except (KeyboardInterrupt, SystemExit):
        CONSOLE.print(f"stopped; {how_to_go_on(recipe.name, catalog=opened)}", highlight=False, soft_wrap=True)
        raise
    _print_entry(entry)


@app.command()
def ingest(  # noqa: PLR0913 (a command's options)
    file_format: Annotated[str, typer.Argument(metavar="FORMAT", help="images or numpy; or one YAML recipe.")],
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, or patterns such as 'lines/*.png'.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the dataset.")] = None,
    out: Annotated[str | None, typer.Option(help="Where the store goes: a path or an fsspec URL.")] = None,
    variable: Annotated[str | None, typer.Option(help="Name of the main variable [amplitude].")] = None,
    each: Annotated[
        str | None, typer.Option(help="What a picture is: inline or crossline, by the number in its name, or example.")
    ] = None,
    array: Annotated[str | None, typer.Option(help="Of .npz files: the array that is the input.")] = None,
    dims: Annotated[
        str | None, typer.Option(metavar="DIM,DIM,...", help="Of NumPy files: names of the array's dimensions.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Of the rows of sections: time or depth [time].")] = None,
    first: Annotated[float | None, typer.Option(help="Label of the first sample, in ms or m [0].")] = None,
    interval: Annotated[float | None, typer.Option(help="From one sample to the next, in ms or m [1].")] = None,
    codec: CodecOption = None,
    chunk_size: Annotated[str | None, typer.Option(help="About what an inner chunk should hold, e.g. 1MiB.")] = None,
    retry_failed: RetryOption = False,
    allowed_failures: FailuresOption = 10,
    scheduler: SchedulerOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = WORKERS,
    memory: MemoryOption = "auto",
    catalog: CatalogOption = None,
) -> None:
    """Makes a dataset of what is not SEG-Y: pictures, or arrays of numbers; resumes by itself."""
    is_recipe = Path(file_format).suffix in {".yaml", ".yml"}
    _one_of(None if is_recipe else file_format, "FORMAT", ("images", "numpy"))
    if not is_recipe and (missing := [f"--{option}" for option, value in (("name", name), ("out", out)) if not value]):
        raise InputError(f"{' and '.join(missing)} missing: what to call the dataset, and where its store goes.")
    samples = _given(domain=domain, first=first, interval=interval)
    files = _given(
        format=None if is_recipe else file_format,
        paths=paths or None,
        each=each,
        array=array,
        dims=dims.split(",") if dims else None,
        samples=samples or None,
    )
    recipe = load_ingest_recipe(
        file_format if is_recipe else None,
        name=name,
        out=out,
        files=files,
        variable=variable,
        codec=codec,
        chunk_nbytes=_nbytes(chunk_size, "--chunk-size"),
    )
    conduct = RunConduct(retry_failed=retry_failed, allowed_failures=allowed_failures)
    with dask_client(scheduler=scheduler, cluster=cluster, workers=workers, memory=memory) as client:
        CONSOLE.print(f"dask dashboard: {client.dashboard_link}", soft_wrap=True)
        with _stopped_in_a_sentence():
            entry = ingest_files(recipe, client=client, catalog=Catalog(catalog), conduct=conduct)
    _print_entry(entry)


@app.command()
def label(  # noqa: PLR0913 (a command's options)
    name: Annotated[str, typer.Argument(help="The dataset.")],
    paths: Annotated[list[str] | None, typer.Argument(help="Files of labels, or one YAML recipe.")] = None,
    derived_id: Annotated[str | None, typer.Option("--id", help="Name of the labels in the dataset.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="WHAT", help="What the files are: volume, horizons, faults, pictures or arrivals."
        ),
    ] = None,
    variable: Annotated[str | None, typer.Option(help="Name of the variable of classes [label].")] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="WORD,...", help="Of a volume or pictures: a word for each class, from 0 on.")
    ] = None,
    match: Annotated[
        str | None, typer.Option(help="Of a volume: `numbers` of lines or map `positions` say where it belongs.")
    ] = None,
    zones: Annotated[
        str | None, typer.Option(metavar="WORD,...", help="Of horizons: a word for each zone, from the top.")
    ] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="Of horizons and faults: down, up, seconds or seconds_up; else found out.")
    ] = None,
    gap: Annotated[float | None, typer.Option(help="Of horizons: bins to the nearest point, at most [10].")] = None,
    width: Annotated[float | None, typer.Option(help="Bins across a fault [3], or ms around an arrival.")] = None,
    ignore_band: Annotated[
        float | None,
        typer.Option(help="What is left out beside horizons (samples), faults (bins) and arrivals (ms) [0]."),
    ] = None,
    phases: Annotated[
        str | None, typer.Option(metavar="WORD,...", help="Of arrivals: the phases, which become classes from 1 on.")
    ] = None,
    coordinate: Annotated[
        list[str], typer.Option(metavar="PHASE=NAME", help="Of arrivals: a coordinate that holds picks, not a file.")
    ] = [],  # noqa: B006
    stations: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Of arrivals: a table of which receiver a station is (station,receiver)."),
    ] = None,
    unpicked: Annotated[
        str | None, typer.Option(help="Of arrivals: traces without picks are none of the phases, or `ignore` [none].")
    ] = None,
    each: Annotated[
        str | None, typer.Option(help="What a picture is: inline, crossline or example, by the number in its name.")
    ] = None,
    palette: Annotated[
        str | None, typer.Option(metavar="#RRGGBB,...", help="Of pictures: the colour of each class.")
    ] = None,
    ignored: Annotated[
        str | None, typer.Option(metavar="#RRGGBB,...", help="Of pictures: colours that are left out.")
    ] = None,
    ignore_value: Annotated[int | None, typer.Option(help="Label value of what is left out [255].")] = None,
    retry_failed: RetryOption = False,
    allowed_failures: FailuresOption = 10,
    scheduler: SchedulerOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = WORKERS,
    memory: MemoryOption = "auto",
    catalog: CatalogOption = None,
) -> None:
    """Puts labels onto the dimensions of a dataset, as a derived group; the dataset itself stays as it is."""
    paths = paths or []
    _one_of(source, "--as", ("volume", "horizons", "faults", "pictures", "arrivals"))
    is_recipe = len(paths) == 1 and Path(paths[0]).suffix in {".yaml", ".yml"}
    files: dict[str, Any] = {}
    if not is_recipe and (
        missing := [option for option, value in (("--as", source), ("--id", derived_id)) if not value]
    ):
        raise InputError(f"{' and '.join(missing)} missing: what the files are, and what to call the labels.")
    if paths and not is_recipe:
        files = {source: _named_files(paths)} if source in {"horizons", "faults"} else {"paths": paths}
    options = _given(
        source=source,
        classes=dict(enumerate(classes.split(","))) if classes else None,
        match=match,
        zones=zones.split(",") if zones else None,
        z=z,
        gap=gap,
        width=width,
        ignore_band=ignore_band,
        each=each,
        palette=palette.split(",") if palette else None,
        ignored=ignored.split(",") if ignored else None,
        phases=phases.split(",") if phases else None,
        coordinates={phase: names[-1] for phase, names in _lists(coordinate, "--coordinate").items()} or None,
        stations=stations,
        unpicked=unpicked,
    )
    recipe = load_label_recipe(
        paths[0] if is_recipe else None,
        name=name,
        id=derived_id,
        variable=variable,
        labels=options | files or None,
        ignore_value=ignore_value,
    )
    opened = Catalog(catalog)
    opened.read(name)  # before processes are started for nothing
    conduct = RunConduct(retry_failed=retry_failed, allowed_failures=allowed_failures)
    with dask_client(scheduler=scheduler, cluster=cluster, workers=workers, memory=memory) as client:
        CONSOLE.print(f"dask dashboard: {client.dashboard_link}", soft_wrap=True)
        with _stopped_in_a_sentence():
            entry = label_dataset(recipe, client=client, catalog=opened, conduct=conduct)
    group = entry.derived[recipe.id]
    print(f"{name}: derived/{recipe.id} ({', '.join(group.variables)})")
    for line in described(group):
        print(line)


@app.command()
def split(  # noqa: PLR0913 (a command's options)
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The dataset; with --by survey, several.")],
    by: Annotated[
        str, typer.Option(help="The dimension that is cut: inline, record, receiver, example, ...; or survey.")
    ],
    shares: Annotated[
        str, typer.Option(metavar="NAME=SHARE,...", help="Of it, e.g. train=0.6,validation=0.2,test=0.2.")
    ],
    guard: Annotated[
        int, typer.Option(min=0, help="Positions between splits that belong to none: at least a training window.")
    ] = 0,
    blocks: Annotated[
        int | None, typer.Option(min=2, help="Blocks that are dealt at random; else one range for each split.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COORDINATE", help="Positions with one value stay together, e.g. of an event.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is dealt at random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Splits a dataset, and says how near and how alike the splits are; or deals whole datasets to splits."""
    values = {key: found[-1] for key, found in _lists(shares.split(","), "--shares").items()}
    recipe = load_split_recipe(by=by, shares=values, guard=guard, blocks=blocks, group=group, seed=seed)
    if by == SURVEY:
        dealt = split_surveys(recipe, names=names, catalog=Catalog(catalog))
        print(json.dumps(dealt, indent=2) if as_json else "\n".join(f"{name}: {into}" for name, into in dealt.items()))
        return
    if len(names) > 1:
        raise InputError(f"{len(names)} datasets are split one by one, or dealt as wholes with --by survey.")
    entry, between = split_dataset(recipe, name=names[0], catalog=Catalog(catalog))
    if as_json:
        told = [asdict(border) for border in between]
        print(json.dumps({"splits": entry.splits, "split_by": entry.split_by, "borders": told}, indent=2))
        return
    for split_name, boxes in entry.splits.items():
        ranges = ", ".join(f"[{box[by][0]}, {box[by][1]})" for box in boxes[:8]) + (" ..." if len(boxes) > 8 else "")
        count = sum(box[by][1] - box[by][0] for box in boxes)
        share = count / entry.sizes[by]
        print(f"{split_name}: {count} of {entry.sizes[by]} ({share:.0%}) along {by}: {ranges}, counted from 0")
    for border in between:
        print(
            f"{' and '.join(border.splits)}: {border.distance} apart along {by}; samples on either side correlate by "
            f"{border.correlation:.2f}, neighbours by {border.neighbouring:.2f}"
            f"{': they are alike, widen the guard band' if border.is_alike else ''}"
        )


@app.command()
def status(
    name: str,
    as_json: Annotated[bool, typer.Option("--json", help="For machines, with all failures.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Says how far a conversion or a labelling is, and what failed."""
    found = read_status(name, catalog=Catalog(catalog))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_status(found, console=command_line.console())


@app.command()
def verify(  # noqa: PLR0913 (a command's options)
    name: str,
    sample: Annotated[
        float | None, typer.Option(metavar="FRACTION", help="Share of the shards to look at, e.g. 0.1 [all].")
    ] = None,
    checksums_only: Annotated[
        bool, typer.Option("--checksums-only", help="Look at the store by itself, not at its source.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines, with up to 1000 findings.")] = False,
    scheduler: SchedulerOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = WORKERS,
    memory: MemoryOption = "auto",
    catalog: CatalogOption = None,
) -> None:
    """Compares a dataset with its checksums and with the SEG-Y that it was made of, bit for bit."""
    opened = Catalog(catalog)
    with_source = not checksums_only
    open_subject(name, catalog=opened, sample=sample, with_source=with_source)  # before processes are started
    with dask_client(scheduler=scheduler, cluster=cluster, workers=workers, memory=memory) as client:
        CONSOLE.print(f"dask dashboard: {client.dashboard_link}", soft_wrap=True)
        found = verify_dataset(name, catalog=opened, client=client, sample=sample, with_source=with_source)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        print_verification(found, console=command_line.console())
    if found.finding_count:
        raise WorkError(
            f"{found.finding_count} faults were found in {name!r}: restore what is named from a copy of the store, or "
            "the source if that is what changed, or convert it again under another name."
        )


@app.command()
def export(
    name: str,
    out: Annotated[str, typer.Option(help="The SEG-Y file, or an fsspec URL; a folder for a survey of several files.")],
    variable: Annotated[
        str | None, typer.Option(help="A variable, also of a derived group: derived/ID/NAME [the main one].")
    ] = None,
    box: Annotated[
        str | None, typer.Option(help="DIM:FIRST:LAST in labels, several joined by commas; a part of the traces.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Writes a variable back to SEG-Y with the original headers; samples from SEG-Y come out byte for byte."""
    opened = Catalog(catalog)
    for path in export_variable(name, out=out, variable=variable, catalog=opened, overwrite=overwrite, box=box):
        print(f"{path}: {nbytes_of(path)} bytes")


@app.command()
def synthesize(
    recipe: Annotated[Path, typer.Argument(help="YAML with the values of a SaltSurvey.")],
    out: Annotated[Path, typer.Option(help="Folder for the SEG-Y files.")],
) -> None:
    """Makes a synthetic salt survey: SEG-Y of amplitudes, and SEG-Y of where the salt is."""
    # Imported here: what they are made with (SciPy) would delay every other command.
    from pipeline.synthetic.salt_survey import SaltSurvey
    from pipeline.synthetic.segy_writer import write_salt_survey

    survey = validated(SaltSurvey, read_mapping(recipe), subject=str(recipe), root="recipe")
    try:
        files = write_salt_survey(survey, out=out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror}): choose another --out.") from None
    for path in (files.amplitude, files.salt):
        print(f"{path}: {path.stat().st_size} bytes")


def _print_plan(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_dry_run(found, console=command_line.console())


def _nbytes(text: str | None, option: str) -> int | None:
    try:
        return None if text is None else parse_bytes(text)
    except ValueError:
        raise InputError(f"{option} {text} is no size: write e.g. 64MiB.") from None


def _header_bytes(preset: str | None, words: list[str], **options: Any) -> dict[str, Any]:
    """Positions of header words: those of a preset, over which options win."""
    if preset is not None and preset not in PRESETS:
        raise InputError(f"--preset {preset} is not known: choose one of {', '.join(PRESETS)}.")
    named = {name: values[-1] for name, values in _lists(words, "--header-byte").items()}
    positions = {name: int(value) if value.isdigit() else value for name, value in named.items()}
    return {**(PRESETS[preset] if preset else {}), **positions, **_given(**options)}


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _stopped_in_a_sentence() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        CONSOLE.print("stopped; what is done is kept: the same command goes on from there.", highlight=False)
        raise


def _one_of(value: str | None, option: str, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InputError(f"{option} {value} is not known: choose one of {', '.join(choices)}.")


def _named_files(paths: list[str]) -> list[dict[str, str]]:
    """Horizons or faults that are called as their files are."""
    return [{"name": usable_name(Path(path).stem), "path": path} for path in paths]


def _lists(texts: list[str], option: str) -> dict[str, tuple[str, ...]]:
    """``NAME=VALUE`` options by name; a name may be given several times."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise InputError(f"{option} takes NAME=..., found {text!r}.")
        found[name] = (*found.get(name, ()), value)
    return found


def _labels(labels: list[str], classes: list[str]) -> dict[str, Any]:
    paths, words = _lists(labels, "--label"), _lists(classes, "--classes")
    if paths.keys() != words.keys():
        raise InputError(
            f"each --label NAME=PATH needs its --classes NAME=WORD,WORD,...: labels are {', '.join(paths) or 'none'}, "
            f"classes are given for {', '.join(words) or 'none'}."
        )
    return {
        name: {"paths": files, "classes": dict(enumerate(words[name][-1].split(",")))} for name, files in paths.items()
    }


def _print_entry(entry: Entry) -> None:
    main = entry.variables[entry.main_variable]
    sizes = ", ".join(f"{dim} {size}" for dim, size in zip(main.dims, main.shape, strict=True))
    print(f"{entry.name}: {entry.kind} ({sizes}) in {entry.url}")
    for warning in entry.warnings:
        print(f"warning: {warning}")


if __name__ == "__main__":
    command_line.run(app, name="python -m pipeline")
