"""Memory of a conversion against the size of its input: client, scheduler and two workers together, as summed PSS.

It is looked at five times a second while the whole command runs, once with a LocalCluster (client and scheduler are one
process) and once with a scheduler and workers in processes of their own. Growing inputs are computed (`rehearsal://`),
so that they need no disk. A file on disk, shards of other sizes, and files in other orders than inline by inline
follow.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import psutil
from call import CONSOLE, GB, Place, parse_call
from conversion import Target
from dask_processes import dask_processes
from footprint import Footprint, Roles, watch, with_children
from page_cache import read_through
from rich.table import Table
from surveys import Order, survey_of, url_of, write_survey

from pipeline.work.cluster import PROCESSES

WORKERS = 2
FILE_SHARE = 8
"""The file on disk is so many times smaller than the largest input: 2 GB against 16."""

SHARDS_MIB = (32, 64, 128, 256)
ORDERS: tuple[Order, ...] = ("inline", "crossline", "random")
ROLES = ("client", "scheduler", "workers")
LOCAL, SEPARATE = "LocalCluster", "processes of their own"


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(2.0, 8.0, 16.0), repeats=3)
    file_nbytes = max(call.sizes) // FILE_SHARE
    with call.place(room_nbytes=(len(ORDERS) + 3) * file_nbytes) as place:
        _print_growth(call.sizes, file_nbytes, place)
        _print_shards(min(call.sizes), place)
        _print_orders(file_nbytes, place, repeats=call.repeats)


def _print_growth(sizes: Sequence[int], file_nbytes: int, place: Place) -> None:
    inputs = {f"{size / GB:g} GB, computed": url_of(survey_of(size)) for size in sizes}
    inputs[f"{file_nbytes / GB:g} GB, a file"] = str(write_survey(survey_of(file_nbytes), place.sources))
    target = Target(place.scratch / "target")
    table = Table(
        "cluster",
        "input",
        "all, MiB",
        "client (and scheduler), MiB",
        "scheduler, MiB",
        "workers, MiB",
        "shards",
        "s",
        title=f"greatest PSS, {WORKERS} workers, default chunks and shards",
        caption="all: at one time; the others: each by itself, whenever that was",
    )
    for kind, watched in ((LOCAL, _watch_local), (SEPARATE, _watch_separate)):
        totals = []
        for name, source in inputs.items():
            target.clear()
            found = watched(source, target, place.scratch / "dask")
            shards = target.closing_line()["shards"]
            totals.append(found.total_mib)
            each = (f"{found.mib(role):.0f}" if found.peak[role] else "-" for role in ROLES)
            table.add_row(kind, name, f"{found.total_mib:.0f}", *each, f"{shards}", f"{found.seconds:.1f}")
        computed = totals[: len(sizes)]
        growth, ratio = max(computed) - min(computed), max(computed) / min(computed)
        table.add_row(kind, "spread over the computed ones", f"{growth:.0f} ({ratio:.3f} times)", end_section=True)
    CONSOLE.print(table)


def _print_shards(nbytes: int, place: Place) -> None:
    source, target = url_of(survey_of(nbytes)), Target(place.scratch / "target")
    table = Table(
        *("shard", "all, MiB", "shards", "s"), title=f"{nbytes / GB:g} GB, computed, LocalCluster of {WORKERS} workers"
    )
    for shard_mib in SHARDS_MIB:
        target.clear()
        found = _watch_local(source, target, place.scratch, "--shard-size", f"{shard_mib}MiB")
        shards = target.closing_line()["shards"]
        table.add_row(f"{shard_mib} MiB", f"{found.total_mib:.0f}", f"{shards}", f"{found.seconds:.1f}")
    CONSOLE.print(table)


def _print_orders(nbytes: int, place: Place, *, repeats: int) -> None:
    sources = {order: write_survey(survey_of(nbytes, order=order), place.sources) for order in ORDERS}
    target = Target(place.scratch / "target")
    found: dict[Order, list[Footprint]] = {order: [] for order in ORDERS}
    for _ in range(repeats):
        for order, source in sources.items():
            target.clear()
            read_through(source)
            found[order].append(_watch_local(str(source), target, place.scratch))
    table = Table(
        "order of the traces",
        "all, MiB",
        "times inline order",
        "s",
        "times inline order",
        title=f"{nbytes / GB:g} GB, a cached file, LocalCluster of {WORKERS} workers",
        caption=f"medians of {repeats}; ratios within each round",
    )
    for order, footprints in found.items():
        rounds = list(zip(footprints, found["inline"], strict=True))
        table.add_row(
            order,
            f"{median(each.total_mib for each in footprints):.0f}",
            f"{median(each.peak_total / inline.peak_total for each, inline in rounds):.2f}",
            f"{median(each.seconds for each in footprints):.1f}",
            f"{median(each.seconds / inline.seconds for each, inline in rounds):.2f}",
        )
    CONSOLE.print(table)


def _watch_local(source: str, target: Target, scratch: Path, *more: str) -> Footprint:
    def roles(command: psutil.Process) -> Roles:
        return {"client": [command], "workers": command.children(recursive=True)}

    options = ("--scheduler", PROCESSES, "--workers", str(WORKERS), "--telemetry", str(target.telemetry), *more)
    return watch(target.command(source, *options), roles)


def _watch_separate(source: str, target: Target, scratch: Path) -> Footprint:
    with dask_processes(scratch, workers=WORKERS) as dask:

        def roles(command: psutil.Process) -> Roles:
            workers = [process for worker in dask.workers for process in with_children(worker)]
            return {"client": with_children(command), "scheduler": with_children(dask.scheduler), "workers": workers}

        options = ("--scheduler", dask.address, "--telemetry", str(target.telemetry))
        return watch(target.command(source, *options), roles)


if __name__ == "__main__":
    main()
