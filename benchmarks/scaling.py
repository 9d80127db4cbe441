"""How a conversion scales with worker processes, and where their time goes.

In process, with the workers there and all modules imported: what is timed is `convert`, and `sync`. The file is in the
page cache.
"""

import os
from collections import defaultdict
from functools import partial
from importlib import import_module
from statistics import median

from call import CONSOLE, GB, Place, parse_call
from conversion import NAME, Target
from page_cache import read_through
from rich.table import Table
from surveys import survey_of, write_survey
from timing import spread, timed

from data_catalog import Catalog
from pipeline.convert import Conduct, convert
from pipeline.recipe import load_recipe
from pipeline.shards.write import write_shard
from pipeline.store.ledger import STAGES
from pipeline.telemetry import Telemetry
from pipeline.work.cluster import PROCESSES, dask_client
from pipeline.work.progress import CONSOLE as PROGRESS

WORKERS = (1, 2, 4)
MEMORY = "2GiB"
"""Limit of a worker: four of them fit into a small machine."""


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(2.0,), repeats=3)
    PROGRESS.quiet = True
    (nbytes,) = call.sizes
    with call.place(room_nbytes=3 * nbytes) as place:
        _measure(nbytes, place, repeats=call.repeats)


def _measure(nbytes: int, place: Place, *, repeats: int) -> None:
    source = write_survey(survey_of(nbytes), place.sources)
    target = Target(place.scratch / "target")
    recipe = load_recipe(name=NAME, paths=(str(source),), out=str(target.store))
    seconds: dict[int, list[float]] = defaultdict(list)
    telemetry = {workers: Telemetry() for workers in WORKERS}
    for _ in range(repeats):
        for workers in WORKERS:
            with dask_client(scheduler=PROCESSES, workers=workers, memory=MEMORY) as client:
                client.wait_for_workers(workers)
                client.run(import_module, write_shard.__module__)
                target.clear()
                read_through(source)
                conduct, catalog = Conduct(telemetry=telemetry[workers]), Catalog(target.catalog)
                took = timed(partial(convert, recipe, client=client, catalog=catalog, conduct=conduct))
            seconds[workers].append(took)
    table = Table(
        "worker processes",
        "convert, s",
        "time / time with one",
        "least - greatest",
        *(f"{stage}, s (share)" for stage in (*STAGES, "elsewhere")),
        title=f"{source.stat().st_size / GB:.2f} GB, cached, default codec, {os.cpu_count()} cores",
        caption="medians; stages: per conversion, of all workers together, and their share of the workers' time",
    )
    for workers, times in seconds.items():
        ratios = [mine / alone for mine, alone in zip(times, seconds[WORKERS[0]], strict=True)]
        in_workers = workers * sum(times)
        stages = telemetry[workers].seconds
        each = [*stages.values(), in_workers - sum(stages.values())]
        table.add_row(
            f"{workers}",
            f"{median(times):.2f}",
            f"{median(ratios):.2f}",
            spread(ratios),
            *(f"{stage / repeats:.2f} ({stage / in_workers:.0%})" for stage in each),
        )
    CONSOLE.print(table)


if __name__ == "__main__":
    main()
