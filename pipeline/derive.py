"""A derived group that is computed: made, and published with the dataset's next revision."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import zarr
from distributed import Client

from data_catalog import Catalog, Derived, Entry, hold_lease, layout
from pipeline.group_run import Made, Plan, as_json, begin_group, emptied_if_worthless, fill_group, remove_work, told
from pipeline.shard_run import RunConduct
from pipeline.store.publish import describe_variables


@dataclass(frozen=True)
class Derivation:
    """A group to make.

    Attributes:
        name: The dataset.
        derived_id: The group's name.
        verb: What is done, for people to read: ``label``.
        plan: Everything that its values depend on.
        prepare: Finds out what it holds, given the group's URL, below whose ``work/`` it may keep things.
    """

    name: str
    derived_id: str
    verb: str
    plan: Plan
    prepare: Callable[[str], Made]


def derive(derivation: Derivation, *, client: Client, catalog: Catalog, conduct: RunConduct) -> Entry:
    """Makes a derived group and publishes it; goes on with what an earlier call left unfinished.

    Args:
        derivation: What to make.
        client: Where the work is done.
        catalog: Where the entry is.
        conduct: How to go about it.

    Returns:
        The entry's new revision.

    Raises:
        InputError: If the dataset, the id or what the values are made from cannot be used. What an earlier call
            finished stays.
        WorkError: If some shards could not be written, or what runs the work failed. The same call goes on.
    """
    name, derived_id, verb = derivation.name, derivation.derived_id, derivation.verb
    entry = catalog.read(name)
    if (there := entry.derived.get(derived_id)) and as_json(derivation.plan).items() <= there.provenance.items():
        return entry  # a call that was killed at its very end, and is repeated, has succeeded
    catalog.check_derived_id(name, derived_id)
    url = f"{entry.url.rstrip('/')}/{layout.derived_path(derived_id)}"
    live_url = f"{entry.url}/{layout.LIVE}" if layout.LIVE in entry.variables else None
    with told(url), hold_lease(url, purpose=f"{verb} {name} {derived_id}") as lease:
        begin_group(url, derivation.plan, removal=f"python -m data_catalog remove {name} --derived {derived_id}")
        with emptied_if_worthless(url, lease):
            zarr.open_group(entry.url, mode="r+", use_consolidated=False).require_group(layout.DERIVED_GROUP)
            made = derivation.prepare(url)
            fill_group(
                url,
                made,
                derivation.plan,
                verb=verb,
                name=name,
                live_url=live_url,
                client=client,
                lease=lease,
                conduct=conduct,
            )
        published = catalog.publish_derived(
            name,
            derived_id,
            Derived(
                variables=describe_variables(url),
                made_by=f"pipeline {verb}",
                created=datetime.now(UTC).replace(microsecond=0),
                boxes=made.boxes,
                provenance=derivation.plan | (made.provenance or {}),
            ),
        )
        remove_work(url)
    return published
