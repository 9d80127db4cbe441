"""``label``: labels for a dataset."""

from pathlib import Path
from typing import Annotated, Any

import typer

from data_catalog import Catalog
from data_catalog.command_line import CatalogOption
from pipeline.commands.messages import print_dashboard, stopped_in_a_sentence
from pipeline.commands.option_values import (
    check_choice,
    check_given,
    classes_from_0,
    given,
    last_by_name,
    recipe_file,
    words,
)
from pipeline.commands.options import (
    WORKERS,
    ClusterOption,
    FailuresOption,
    MemoryOption,
    RetryOption,
    SchedulerOption,
    WorkersOption,
)
from pipeline.inspection.printing import usable_name
from pipeline.label import described, load_label_recipe
from pipeline.label import label as label_dataset
from pipeline.shard_run import RunConduct
from pipeline.work.cluster import dask_client


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
    recipe_path = recipe_file(paths)
    check_choice(source, "--as", ("volume", "horizons", "faults", "pictures", "arrivals"))
    if recipe_path is None:
        check_given({"--as": source, "--id": derived_id}, says="what the files are, and what to call the labels")
    files: dict[str, Any] = {}
    if paths and recipe_path is None:
        files = {source: _named_files(paths)} if source in {"horizons", "faults"} else {"paths": paths}
    options = given(
        source=source,
        classes=classes_from_0(classes) if classes else None,
        match=match,
        zones=words(zones),
        z=z,
        gap=gap,
        width=width,
        ignore_band=ignore_band,
        each=each,
        palette=words(palette),
        ignored=words(ignored),
        phases=words(phases),
        coordinates=last_by_name(coordinate, "--coordinate") or None,
        stations=stations,
        unpicked=unpicked,
    )
    recipe = load_label_recipe(
        recipe_path,
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
        print_dashboard(client)
        with stopped_in_a_sentence():
            entry = label_dataset(recipe, client=client, catalog=opened, conduct=conduct)
    group = entry.derived[recipe.id]
    print(f"{name}: derived/{recipe.id} ({', '.join(group.variables)})")
    for line in described(group):
        print(line)


def _named_files(paths: list[str]) -> list[dict[str, str]]:
    """Horizons or faults that are called as their files are."""
    return [{"name": usable_name(Path(path).stem), "path": path} for path in paths]
