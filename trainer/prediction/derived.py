"""A derived group: made empty, filled by all ranks, then published with the entry's next revision."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

import zarr
from pydantic import JsonValue

from data_catalog import Box, Derived, InputError, Variable, hold_lease, layout
from trainer.data.store import Dataset
from trainer.prediction.ledger import Ledger, Plan
from trainer.reads.zarr_array import ZarrArray
from trainer.tasks.task import OutputVariable


def check_may_begin(dataset: Dataset, derived_id: str, *, plan: Plan) -> None:
    """Refuses to write where something is, unless it is the beginning of the same.

    Args:
        dataset: Where the group goes.
        derived_id: Its name.
        plan: What is to be predicted.

    Raises:
        InputError: If the id is no name, the dataset has a group of that id, or half of another one lies there.
    """
    dataset.catalog.check_derived_id(dataset.entry.name, derived_id)
    url, name = url_of(dataset, derived_id), dataset.entry.name
    begun = Ledger(url).plan()
    removal = f"`python -m data_catalog remove {name} --derived {derived_id}`"
    if begun is not None and begun != plan:
        different = sorted(key for key in begun.keys() | plan.keys() if begun.get(key) != plan.get(key))
        raise InputError(
            f"{url} is the beginning of another prediction, with another {', '.join(different)}: repeat the command "
            f"that began it, choose another --id, or discard it with {removal}."
        )
    if begun is None and layout.derived_path(derived_id) in _root(dataset, mode="r"):
        raise InputError(
            f"{url} exists, but the entry does not know it, and no prediction began there: choose another --id, or "
            f"discard it with {removal}."
        )


@contextmanager
def group_at_work(
    dataset: Dataset, *, derived_id: str, like: Variable, outputs: Mapping[str, OutputVariable], plan: Plan
) -> Iterator[None]:
    """Makes the group with its empty arrays, as far as they are not there, for this process alone.

    Args:
        dataset: Where it goes.
        derived_id: Its name.
        like: The variable whose shape, chunks and shards the arrays take.
        outputs: What they are.
        plan: What is predicted.

    Raises:
        InputError: If the store cannot be written, or another process is writing the group.
    """
    url = url_of(dataset, derived_id)
    with _refusal_of_store(dataset.entry.url):
        root = _root(dataset, mode="r+")
        with hold_lease(url, purpose=f"predict {derived_id}"):
            Ledger(url).begin(plan)  # first: what lies there without a plan is somebody else's
            group = root.require_group(layout.derived_path(derived_id))
            for name, output in outputs.items():
                if name not in group:
                    _create_array(group, name, output=output, like=like)
            yield


def url_of(dataset: Dataset, derived_id: str) -> str:
    """Where a derived group lies."""
    return f"{dataset.entry.url.rstrip('/')}/{layout.derived_path(derived_id)}"


def open_arrays(dataset: Dataset, *, derived_id: str, names: Mapping[str, object]) -> dict[str, ZarrArray]:
    """The group's arrays, for writing."""
    group = zarr.open_group(url_of(dataset, derived_id), mode="r+", use_consolidated=False)
    arrays = {name: group[name] for name in names}
    return {name: array for name, array in arrays.items() if isinstance(array, zarr.Array)}


def publish(
    dataset: Dataset,
    *,
    derived_id: str,
    variables: Mapping[str, Variable],
    boxes: tuple[Box, ...],
    provenance: dict[str, JsonValue],
) -> None:
    """Makes the group visible: the entry's next revision, after those that others publish meanwhile.

    Args:
        dataset: Where it is.
        derived_id: Its name.
        variables: What it holds.
        boxes: Where it holds values; empty means everywhere.
        provenance: What it came from.

    Raises:
        InputError: If the entry has such a group by now, or cannot be written.
    """
    with warnings.catch_warnings():
        # The group by itself: the root's consolidated metadata stays as it was published.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", message=f"Object at {layout.WORK_GROUP} is not recognized")
        zarr.consolidate_metadata(url_of(dataset, derived_id))
    group = Derived(
        variables=dict(variables),
        made_by="trainer predict",
        created=datetime.now(UTC),
        boxes=boxes,
        provenance=provenance,
    )
    dataset.catalog.publish_derived(dataset.entry.name, derived_id, group)
    Ledger(url_of(dataset, derived_id)).end()


def describe(output: OutputVariable, *, like: Variable) -> Variable:
    """What the entry says of an output: chunks and shards are those of the variable that it was made from."""
    rank = len(output.dims)
    meanings = output.attributes.get("flag_meanings")
    return Variable(
        role=output.role,
        dims=output.dims,
        shape=like.shape[:rank],
        dtype=output.dtype,
        chunk_shape=like.chunk_shape[:rank],
        shard_shape=like.shard_shape[:rank],
        units=output.attributes.get("units"),
        long_name=output.attributes.get("long_name"),
        flag_values=output.attributes.get("flag_values"),
        flag_meanings=None if meanings is None else tuple(meanings.split()),
        ignore_value=output.attributes.get("ignore_value"),
    )


def _root(dataset: Dataset, *, mode: Literal["r", "r+"]) -> zarr.Group:
    return zarr.open_group(dataset.entry.url, mode=mode, use_consolidated=False)


@contextmanager
def _refusal_of_store(url: str) -> Iterator[None]:
    """Makes of an error in writing a sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{url} cannot be written ({error.strerror or error}): a derived group needs a store that is there, with "
            "room, and open to you."
        ) from error


def _create_array(group: zarr.Group, name: str, *, output: OutputVariable, like: Variable) -> None:
    variable = describe(output, like=like)
    sharded = variable.shard_shape != variable.chunk_shape
    group.create_array(
        name,
        shape=variable.shape,
        dtype=output.dtype,
        chunks=variable.chunk_shape,
        shards=variable.shard_shape if sharded else None,
        fill_value=output.fill_value,
        dimension_names=output.dims,
        attributes={"role": output.role.value, **output.attributes},
    )
