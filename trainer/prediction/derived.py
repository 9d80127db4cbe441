"""A derived group: made empty, filled by all ranks, then published with the entry's next revision, or removed."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import zarr
from pydantic import JsonValue

from data_catalog import Box, Derived, Entry, InputError, Variable, layout
from data_catalog.schema import NAME_PATTERN
from trainer.data.store import Dataset
from trainer.reads.zarr_array import ZarrArray
from trainer.tasks.task import OutputVariable

MOST_TRIES = 5
"""Of publishing, where predictions of a dataset end together."""


def check_is_new(dataset: Dataset, derived_id: str) -> None:
    """Refuses to write where something is.

    Raises:
        InputError: If the id is no name, the dataset has a group of that id, or half of one lies there.
    """
    if not re.fullmatch(NAME_PATTERN, derived_id):
        raise InputError(
            f"{derived_id!r} is no name for a derived group: letters, digits, '.', '_' and '-', at most 100, beginning "
            "with a letter or digit; choose one with --id."
        )
    _check_is_free(dataset.entry, derived_id)
    if layout.derived_path(derived_id) in zarr.open_group(dataset.entry.url, mode="r", use_consolidated=False):
        raise InputError(
            f"{dataset.entry.url}/{layout.derived_path(derived_id)} exists, but the entry does not know it: it is "
            "being written, or its writer was killed. Wait, remove that folder, or choose another --id."
        )


@contextmanager
def new_group(
    dataset: Dataset, *, derived_id: str, like: Variable, outputs: Mapping[str, OutputVariable]
) -> Iterator[None]:
    """Makes the group with its empty arrays; removes it again if the block fails.

    Args:
        dataset: Where it goes.
        derived_id: Its name.
        like: The variable whose shape, chunks and shards the arrays take.
        outputs: What they are.

    Raises:
        InputError: If the store cannot be written.
    """
    with _refusal_of_store(dataset.entry.url):
        root = zarr.open_group(dataset.entry.url, mode="r+", use_consolidated=False)
        path = layout.derived_path(derived_id)
        group = root.create_group(path)
        try:
            for name, output in outputs.items():
                _create_array(group, name, output=output, like=like)
            yield
        except BaseException:
            del root[path]
            raise


def open_arrays(dataset: Dataset, *, derived_id: str, names: Mapping[str, object]) -> dict[str, ZarrArray]:
    """The group's arrays, for writing."""
    group = zarr.open_group(f"{dataset.entry.url}/{layout.derived_path(derived_id)}", mode="r+")
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
        zarr.consolidate_metadata(f"{dataset.entry.url}/{layout.derived_path(derived_id)}")
    group = Derived(
        variables=dict(variables),
        made_by="trainer predict",
        created=datetime.now(UTC),
        boxes=boxes,
        provenance=provenance,
    )
    if not any(_published(dataset, derived_id=derived_id, group=group) for _ in range(MOST_TRIES)):
        raise InputError(
            f"dataset {dataset.entry.name!r} was replaced by others {MOST_TRIES} times while {derived_id!r} was to be "
            "published: predict again when they are done."
        )


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


def _check_is_free(entry: Entry, derived_id: str) -> None:
    if derived_id in entry.derived:
        raise InputError(f"dataset {entry.name!r} has a derived group {derived_id!r} already; choose another --id.")


def _published(dataset: Dataset, *, derived_id: str, group: Derived) -> bool:
    """Whether the next revision was ours; False where another came between reading and publishing."""
    entry = dataset.catalog.read(dataset.entry.name)
    _check_is_free(entry, derived_id)
    update = {"revision": entry.revision + 1, "derived": {**entry.derived, derived_id: group}}
    try:
        dataset.catalog.publish(entry.model_copy(update=update))
    except InputError:
        if dataset.catalog.read(dataset.entry.name).revision == entry.revision:
            raise
        return False
    return True


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
