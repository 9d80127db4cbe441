"""``ingest``: what is not SEG-Y to a dataset."""

from typing import Annotated

import typer

from data_catalog import Catalog
from data_catalog.command_line import CatalogOption
from pipeline.commands.messages import print_dashboard, print_entry, stopped_in_a_sentence
from pipeline.commands.option_values import check_choice, check_given, given, nbytes, recipe_file, words
from pipeline.commands.options import (
    WORKERS,
    ChunkSizeOption,
    ClusterOption,
    CodecOption,
    FailuresOption,
    MemoryOption,
    OutOption,
    RetryOption,
    SchedulerOption,
    VariableOption,
    WorkersOption,
)
from pipeline.ingest.run import ingest as ingest_files
from pipeline.ingest.run import load_ingest_recipe
from pipeline.shard_run import RunConduct
from pipeline.work.cluster import dask_client


def ingest(  # noqa: PLR0913 (a command's options)
    file_format: Annotated[str, typer.Argument(metavar="FORMAT", help="images or numpy; or one YAML recipe.")],
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files, folders, or patterns such as 'lines/*.png'.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the dataset.")] = None,
    out: OutOption = None,
    variable: VariableOption = None,
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
    chunk_size: ChunkSizeOption = None,
    retry_failed: RetryOption = False,
    allowed_failures: FailuresOption = 10,
    scheduler: SchedulerOption = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = WORKERS,
    memory: MemoryOption = "auto",
    catalog: CatalogOption = None,
) -> None:
    """Makes a dataset of what is not SEG-Y: pictures, or arrays of numbers; resumes by itself."""
    recipe_path = recipe_file([file_format])
    if recipe_path is None:
        check_choice(file_format, "FORMAT", ("images", "numpy"))
        check_given({"--name": name, "--out": out}, says="what to call the dataset, and where its store goes")
    samples = given(domain=domain, first=first, interval=interval)
    files = given(
        format=None if recipe_path else file_format,
        paths=paths or None,
        each=each,
        array=array,
        dims=words(dims),
        samples=samples or None,
    )
    recipe = load_ingest_recipe(
        recipe_path,
        name=name,
        out=out,
        files=files,
        variable=variable,
        codec=codec,
        chunk_nbytes=nbytes(chunk_size, "--chunk-size"),
    )
    conduct = RunConduct(retry_failed=retry_failed, allowed_failures=allowed_failures)
    with dask_client(scheduler=scheduler, cluster=cluster, workers=workers, memory=memory) as client:
        print_dashboard(client)
        with stopped_in_a_sentence():
            entry = ingest_files(recipe, client=client, catalog=Catalog(catalog), conduct=conduct)
    print_entry(entry)
