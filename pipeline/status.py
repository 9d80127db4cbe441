"""How far a conversion is: read from its plan, its ledger and its lease, by anyone, at any time."""

from datetime import datetime
from typing import Any

from rich.console import Console

from data_catalog import Catalog, live_lease
from pipeline.store.ledger import Ledger
from pipeline.store.stored_plan import read_plan


def read_status(name: str, *, catalog: Catalog) -> dict[str, Any]:
    """State of a dataset as JSON values.

    Args:
        name: Of the dataset.
        catalog: Where its entry is, or will be.

    Raises:
        InputError: If there is no such dataset, finished or not.
    """
    record = catalog.unfinished(name)
    if record is None:
        entry = catalog.read(name)
        return {"name": name, "state": "published", "url": entry.url}
    lease = live_lease(record.url)
    plan, ledger = read_plan(record.url), Ledger(record.url)
    found: dict[str, Any] = {
        "name": name,
        "state": "running" if lease else "stopped",
        "url": record.url,
        "begun": record.begun.isoformat(),
        "writer": None
        if lease is None
        else {"user": lease.user, "host": lease.host, "pid": lease.pid, "since": lease.since.isoformat()},
        "plan": None if plan is None else plan.fingerprint,
        "shards": None if plan is None else plan.design.chunks.shard_count,
        "completed": len(ledger.completed()),
        "failures": [failure.model_dump(mode="json") for failure in ledger.failures()],
    }
    return found


def print_status(found: dict[str, Any], *, console: Console) -> None:
    """Prints what ``read_status`` found."""
    if found["state"] == "published":
        console.print(f"{found['name']}: published, {found['url']}")
        return
    writer = found["writer"]
    by = (
        f", written by {writer['user']}@{writer['host']} (process {writer['pid']}) since "
        f"{datetime.fromisoformat(writer['since']):%Y-%m-%d %H:%M %Z}"
        if writer
        else ""
    )
    console.print(f"{found['name']}: {found['state']}{by}, {found['url']}")
    if found["shards"] is None:
        console.print("headers are read; there is no plan yet")
    else:
        share = found["completed"] / found["shards"]
        console.print(f"{found['completed']} of {found['shards']} shards ({share:.0%}), plan {found['plan']}")
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
