"""A group that is computed, whether all of a store or a derived part of one: begun, filled, made ready to publish."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import Client
from pydantic import JsonValue

from data_catalog import Box, InputError, Lease, layout
from data_catalog.removal import empty_store, remove_empty_folder
from pipeline.plan.group import GroupDesign
from pipeline.shard_run import RunConduct, ShardRun
from pipeline.shards.fill import FillJob, Maker, fill_shard
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import find_object, flush_folder, object_names, remove_folder
from pipeline.store.ledger import Ledger
from pipeline.store.manifest import write_manifest
from pipeline.store.target import make_folder, remove_partial_files
from pipeline.store.template import consolidate_metadata, create_group
from pipeline.work.failure import writing_told

Plan = dict[str, JsonValue]
"""Everything that the values of a group depend on, as JSON: only the same call goes on with what another one began."""


@dataclass(frozen=True)
class Made:
    """What a group holds, and what computes it.

    Attributes:
        design: Its arrays.
        maker: Computes them.
        boxes: Where they hold values; empty means everywhere.
        provenance: What is to be known of them, beside the plan.
    """

    design: GroupDesign
    maker: Maker
    boxes: tuple[Box, ...] = ()
    provenance: Plan | None = None


def as_json(plan: Plan) -> Plan:
    """A plan as it is read again after it was written: a tuple is a list."""
    found: Plan = json.loads(json.dumps(plan))
    return found


def begin_group(url: str, plan: Plan, *, removal: str) -> None:
    """Sees that nothing lies there, or the beginning of the same, and says what is being made.

    Args:
        url: The group.
        plan: What is made.
        removal: The command that discards what lies there.

    Raises:
        InputError: If something else lies there.
    """
    content = find_object(f"{url}/{layout.PLAN}")
    if content is None and object_names(url) - {layout.WORK_GROUP}:
        raise InputError(
            f"{url} exists, but the entry does not know it, and no such command began it: choose another place, or "
            f"discard it with `{removal}`."
        )
    try:
        begun = None if content is None else json.loads(content)
    except ValueError:
        begun = None  # its writer was killed at once
    wanted = as_json(plan)
    if begun is not None and begun != wanted:
        different = sorted(key for key in begun.keys() | wanted.keys() if begun.get(key) != wanted.get(key))
        raise InputError(
            f"{url} was begun otherwise, with another {', '.join(different)}: give the same options for the same files "
            f"to go on, choose another place, or discard it with `{removal}`."
        )
    write_object(f"{url}/{layout.PLAN}", json.dumps(plan, indent=2).encode())


def fill_group(  # noqa: PLR0913 (what is made of what, how, and with what)
    url: str,
    made: Made,
    plan: Plan,
    *,
    verb: str,
    name: str,
    live_url: str | None = None,
    client: Client,
    lease: Lease,
    conduct: RunConduct,
) -> None:
    """Goes from wherever a group is to where it can be published.

    Args:
        url: The group.
        made: What it holds.
        plan: Everything that its values depend on.
        verb: What is done, for people to read.
        name: Of the dataset.
        live_url: The array that says which traces were recorded; None where all were.
        client: Where the work is done.
        lease: On the group.
        conduct: How to go about it.
    """
    create_group(url, made.design)
    fingerprint = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]
    job = FillJob(url, made.design, made.maker, fingerprint, live_url)
    make_folder(job.unfinished)
    run = ShardRun(url, verb=verb, name=name, client=client, lease=lease, conduct=conduct)
    nbytes = made.design.task_nbytes * made.design.chunks.shard_count
    for report in run.reports(fill_shard, job, made.design.chunks, nbytes=nbytes):
        if not report.was_complete:
            conduct.telemetry.add(report.record)
    write_manifest(
        url,
        made.design.manifest_parts,
        chunks=made.design.chunks,
        task_dims=made.design.task_dims,
        client=client,
    )
    lease.check()
    remove_partial_files(url)
    consolidate_metadata(url)
    flush_folder(url)
    lease.check()


def remove_work(url: str) -> None:
    """Removes all of a group's work folder but the caller's lease, which ends by itself."""
    for name in object_names(f"{url}/{layout.WORK_GROUP}") - {Path(layout.LEASE).name}:
        remove_folder(f"{url}/{layout.WORK_GROUP}/{name}")


@contextmanager
def emptied_if_worthless(url: str, lease: Lease) -> Iterator[None]:
    """Leaves nothing of a group that was refused before any of its shards was complete."""
    try:
        yield
    except InputError:
        if not Ledger(url).completed():
            empty_store(url, lease=lease)
        raise


@contextmanager
def told(url: str) -> Iterator[None]:
    """Makes sentences of errors in reading and writing a group."""
    try:
        with writing_told(url):
            yield
    except InputError:
        remove_empty_folder(url)
        raise
