"""How far a conversion or a labelling is: read from its plan, ledger and lease, by anyone, at any time."""

import re
from collections.abc import Iterator
from datetime import datetime
from math import ceil, prod
from typing import Any

from rich.console import Console

from data_catalog import Catalog, Entry, LeaseRecord, layout, live_lease
from data_catalog.zarr_metadata import read_array_metadata
from pipeline.storage.objects import find_object, object_names
from pipeline.store.ledger import Ledger
from pipeline.store.stored_plan import read_plan

METADATA = "zarr.json"
"""Of the group of all derived groups: no group itself."""

State = dict[str, Any]
"""JSON values."""


def read_status(name: str, *, catalog: Catalog) -> State:
    """State of a dataset, and of groups of it that are not finished.

    Args:
        name: Of the dataset.
        catalog: Where its entry is, or will be.

    Raises:
        InputError: If there is no such dataset, finished or not.
    """
    record = catalog.unfinished(name)
    if record is None:
        entry = catalog.read(name)
        return {"name": name, "state": "published", "url": entry.url, "unfinished": list(_unfinished_groups(entry))}
    plan = read_plan(record.url)
    shards = None if plan is None else plan.design.chunks.shard_count
    about = {"begun": record.begun.isoformat(), "plan": None if plan is None else plan.fingerprint}
    return {"name": name, **_progress(record.url, shards), **about}


def _unfinished_groups(entry: Entry) -> Iterator[State]:
    """Labels and predictions that were begun and are not published."""
    for name in sorted(object_names(f"{entry.url}/{layout.DERIVED_GROUP}") - entry.derived.keys() - {METADATA}):
        url = f"{entry.url}/{layout.derived_path(name)}"
        if find_object(f"{url}/{layout.PLAN}") is not None:  # else nobody says that it is being made
            yield {"name": layout.derived_path(name), **_progress(url, _shards(url))}


def _shards(url: str) -> int | None:
    """Shards of all of a group; None before its arrays are there."""
    arrays = [read_array_metadata(f"{url}/{name}") for name in object_names(url) - {METADATA}]
    grids = [zip(each.shape, each.shard_shape, strict=True) for each in arrays if each is not None]
    return max((prod(ceil(size / length) for size, length in grid) for grid in grids), default=None)


def _progress(url: str, shards: int | None) -> State:
    lease, ledger, columns = live_lease(url), Ledger(url), _columns(url)
    return {
        "state": "running" if lease else "stopped",
        "url": url,
        "writer": None if lease is None else _writer(lease),
        "shards": None if columns else shards,
        "completed": len(columns) or len(ledger.completed()),
        "unit": "columns of shards" if columns else "shards",
        "failures": [failure.model_dump(mode="json") for failure in ledger.failures()],
    }


def _columns(url: str) -> list[str]:
    """Columns of shards that a prediction has written; how many there will be, it does not say."""
    return [name for name in object_names(f"{url}/{layout.LEDGER}") if re.fullmatch(r"\d+(-\d+)*", name)]


def _writer(lease: LeaseRecord) -> State:
    return {"user": lease.user, "host": lease.host, "pid": lease.pid, "since": lease.since.isoformat()}


def print_status(found: State, *, console: Console) -> None:
    """Prints what ``read_status`` found."""
    if found["state"] == "published":
        console.print(f"{found['name']}: published, {found['url']}")
        for group in found["unfinished"]:
            _print_progress(group, console=console, without_plan="nothing is written yet")
        return
    _print_progress(found, console=console, without_plan="headers are read; there is no plan yet")


def _print_progress(found: State, *, console: Console, without_plan: str) -> None:
    writer = found["writer"]
    by = (
        f", written by {writer['user']}@{writer['host']} (process {writer['pid']}) since "
        f"{datetime.fromisoformat(writer['since']):%Y-%m-%d %H:%M %Z}"
        if writer
        else ""
    )
    console.print(f"{found['name']}: {found['state']}{by}, {found['url']}")
    if found["shards"] is None:
        done = f"{found['completed']} {found['unit']} are written"
        console.print(done if found["completed"] else without_plan)
    else:
        share, plan = found["completed"] / found["shards"], f", plan {found['plan']}" if "plan" in found else ""
        console.print(f"{found['completed']} of {found['shards']} shards ({share:.0%}){plan}")
    for failure in found["failures"]:
        console.print(f"failed: shard {failure['shard']}, {failure['kind']}: {failure['message']}")
    if found["failures"]:
        console.print("try these again: the same command with --retry-failed")


def how_to_go_on(name: str, *, catalog: Catalog) -> str:
    """What a stopped conversion leaves, and what to do with it, in a sentence."""
    record = catalog.unfinished(name)
    plan = read_plan(record.url) if record else None
    if record is None:
        return "nothing was written."
    if plan is None:
        return f"no shard was written: the same command begins anew, `python -m data_catalog remove {name}` forgets it."
    done = len(Ledger(record.url).completed())
    return (
        f"{done} of {plan.design.chunks.shard_count} shards are kept: the same command goes on from there, "
        f"`python -m data_catalog remove {name}` discards them."
    )
