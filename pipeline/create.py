"""A dataset that is made from other things than SEG-Y: its root group computed, and published with its entry."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

import numpy as np
import zarr
from distributed import Client
from numpy.typing import NDArray

from data_catalog import Box, Catalog, Entry, InputError, Kind, Role, hold_lease
from pipeline.group_run import Made, Plan, begin_group, emptied_if_worthless, fill_group, remove_work, told
from pipeline.shard_run import RunConduct
from pipeline.storage.objects import absolute
from pipeline.store.publish import describe_variables
from pipeline.store.target import check_target, make_folder
from pipeline.store.template import create_array

NAME = "name"
"""Coordinate for what examples are called."""


@dataclass(frozen=True)
class AxisLabels:
    """A dimension with its labels.

    Attributes:
        name: Of the dimension.
        values: int64 or float64.
        long_name: CF long name.
        units: CF units; None for a number.
    """

    name: str
    values: NDArray[np.int64] | NDArray[np.float64]
    long_name: str
    units: str | None = None


@dataclass(frozen=True)
class Contents:
    """What a dataset is to hold.

    Attributes:
        kind: What the dimensions mean.
        main_variable: That which training reads by default.
        axes: All dimensions.
        made: The arrays, and what computes them.
        names: What each position along the first dimension is called; empty where they have no names.
        splits: Boxes of each split.
        warnings: What was odd and how it was handled.
    """

    kind: Kind
    main_variable: str
    axes: tuple[AxisLabels, ...]
    made: Made
    names: tuple[str, ...] = ()
    splits: dict[str, tuple[Box, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Creation:
    """A dataset to make.

    Attributes:
        name: In the catalog.
        out: Where its store goes.
        verb: What is done, for people to read: ``ingest``.
        recipe: What was asked for, as the entry keeps it.
        plan: Everything that its values depend on.
        prepare: Finds out what it holds.
    """

    name: str
    out: str
    verb: str
    recipe: Plan
    plan: Plan
    prepare: Callable[[], Contents]


def create(creation: Creation, *, client: Client, catalog: Catalog, conduct: RunConduct) -> Entry:
    """Makes a dataset and publishes it; goes on with what an earlier call left unfinished.

    Args:
        creation: What to make.
        client: Where the work is done.
        catalog: Where the entry goes, last.
        conduct: How to go about it.

    Returns:
        The published entry.

    Raises:
        InputError: If the name, the target or what the values are made from cannot be used. What an earlier call
            finished stays.
        WorkError: If some shards could not be written, or what runs the work failed. The same call goes on.
    """
    name, url = creation.name, absolute(creation.out)
    catalog.check_writable()
    if name in catalog.names():
        entry = catalog.open(name)
        if entry.url != url or entry.recipe != creation.recipe:
            raise catalog.taken(name)
        return entry  # a call that was killed at its very end, and is repeated, has succeeded
    check_target(url)
    contents = creation.prepare()
    is_new = catalog.unfinished(name) is None
    catalog.begin(name, url)
    try:
        make_folder(url)
        with told(url), hold_lease(url, purpose=f"{creation.verb} {name}") as lease:
            begin_group(url, creation.plan, removal=f"python -m data_catalog remove {name}")
            with emptied_if_worthless(url, lease):
                _write_axes(url, contents.axes)
                _write_names(url, contents)
                fill_group(
                    url,
                    contents.made,
                    creation.plan,
                    verb=creation.verb,
                    name=name,
                    client=client,
                    lease=lease,
                    conduct=conduct,
                )
            entry = Entry(
                name=name,
                kind=contents.kind,
                url=url,
                created=datetime.now(UTC).replace(microsecond=0),
                main_variable=contents.main_variable,
                sizes={axis.name: len(axis.values) for axis in contents.axes},
                variables=describe_variables(url),
                splits=contents.splits,
                recipe=creation.recipe,
                warnings=contents.warnings,
            )
            catalog.publish(entry)
            remove_work(url)
    except InputError:
        if is_new and name not in catalog.names():
            catalog.forget(name)
        raise
    return entry


def _write_axes(url: str, axes: tuple[AxisLabels, ...]) -> None:
    root = zarr.open_group(url, mode="a")
    for axis in axes:
        units = {} if axis.units is None else {"units": axis.units}
        array = create_array(
            root,
            axis.name,
            shape=axis.values.shape,
            dtype=str(axis.values.dtype),
            chunks=axis.values.shape,
            dimension_names=(axis.name,),
            attributes={"role": Role.COORDINATE.value, "long_name": axis.long_name} | units,
        )
        array[:] = axis.values


def _write_names(url: str, contents: Contents) -> None:
    """Writes what examples are called, unless something else of the dataset is called ``name``."""
    names, dim, design = contents.names, contents.axes[0].name, contents.made.design
    taken = [[each.name for each in named] for named in (contents.axes, design.arrays, design.fields)]
    if not names or NAME in chain(*taken):
        return
    array = create_array(
        zarr.open_group(url, mode="a"),
        NAME,
        shape=(len(names),),
        dtype=np.dtypes.StringDType(),
        chunks=(len(names),),
        dimension_names=(dim,),
        attributes={"role": Role.COORDINATE.value, "long_name": f"name of the {dim}"},
    )
    array[:] = np.array(names, np.dtypes.StringDType())
