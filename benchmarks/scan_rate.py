"""Trace headers into an index: how many a second on one core from the page cache, and what a cold scan costs.

A cold scan is compared with reading the same file from end to end, each with the file dropped from the page cache
before: headers are spread so evenly that a disk hands out all of the file either way.
"""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from call import CONSOLE, GB, parse_call
from distributed import Client
from page_cache import cached_share, drop, read_through, told
from rich.table import Table
from surveys import survey_of, write_survey
from timing import PAIR_COLUMNS, Pairs, interleaved, spread, timed

from pipeline.recipe import HeaderBytes
from pipeline.survey.files import Survey, open_survey
from pipeline.survey.scan import scan
from pipeline.work.cluster import THREADS, dask_client
from pipeline.work.progress import CONSOLE as PROGRESS

WORKERS = 2
OTHER_SAMPLES = (500, 1000)
"""A header costs a page of memory that is mapped, the samples beside it more of them: shorter traces cost less."""


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(4.0,), repeats=5)
    PROGRESS.quiet = True
    (nbytes,) = call.sizes
    with call.place(room_nbytes=2 * nbytes) as place:
        path = write_survey(survey_of(nbytes), place.sources)
        survey = open_survey((str(path),), HeaderBytes())
        index = place.scratch / "index"
        _scan_cold(survey, path, index, repeats=call.repeats)
        others = [write_survey(survey_of(nbytes, samples=samples), place.sources) for samples in OTHER_SAMPLES]
        _scan_cached([*others, path], index, repeats=call.repeats)


def _scan_cold(survey: Survey, path: Path, index: Path, *, repeats: int) -> None:
    cached: list[float | None] = []

    def prepare() -> None:
        shutil.rmtree(index, ignore_errors=True)
        drop(path)
        cached.append(cached_share(path))

    with dask_client(scheduler=THREADS, workers=WORKERS, memory="auto") as client:
        _scan(survey, index, client)  # what is imported and compiled at the first time is not timed
        name = f"cold scan, {WORKERS} threads"
        variants = {name: lambda: _scan(survey, index, client)}
        pairs: dict[str, Pairs] = interleaved(
            variants, reference=lambda: read_through(path), before=prepare, repeats=repeats
        )
    table = Table(
        "reference: reading the file end to end",
        *PAIR_COLUMNS,
        title=f"{path.stat().st_size / GB:.2f} GB, {survey.trace_count:,} traces of {survey.trace_nbytes} bytes",
        caption=f"seconds: medians; still in the page cache of the file that was dropped: {told(cached)}",
    )
    table.add_row(name, *pairs[name].cells())
    CONSOLE.print(table)


def _scan_cached(paths: Sequence[Path], index: Path, *, repeats: int) -> None:
    table = Table(
        "traces",
        "bytes of each",
        "million traces a second, median",
        "least - greatest",
        "GB of file a second",
        "of the file in the page cache",
        title="cached scan on one core, in process",
        caption="`sync` after the index is written included",
    )
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # threads that are started from here on, the worker's too, inherit it
    with dask_client(scheduler=THREADS, workers=1, memory="auto") as client:
        for path in paths:
            survey = open_survey((str(path),), HeaderBytes())
            rates: list[float] = []
            shares: list[float | None] = []
            for _ in range(repeats):
                shutil.rmtree(index, ignore_errors=True)
                read_through(path)
                shares.append(cached_share(path))
                rates.append(survey.trace_count / timed(partial(_scan, survey, index, client)))
            millions = [rate / 1e6 for rate in rates]
            table.add_row(
                f"{survey.trace_count:,}",
                f"{survey.trace_nbytes}",
                f"{median(millions):.2f}",
                spread(millions),
                f"{median(rates) * survey.trace_nbytes / GB:.1f}",
                told(shares),
            )
    os.sched_setaffinity(0, cores)
    CONSOLE.print(table)


def _scan(survey: Survey, index: Path, client: Client) -> None:
    scan(survey, keep=str(index), client=client)


if __name__ == "__main__":
    main()
