"""Whether the objects of a store are there: by its manifest and listings, without reading a sample."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.problem import Problem
from data_catalog.schema import Entry, Variable
from data_catalog.storage import open_storage, reached

MOST_NAMED = 3
"""Of the shards that are missing; the rest is counted."""


def check_shards(entry: Entry) -> list[Problem]:
    """Shards that hold data by the manifest, and are not there.

    Args:
        entry: The dataset, whose metadata keep to the contract.

    Raises:
        InputError: If zarr is not installed, or the store cannot be read.
    """
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise InputError("looking for shards takes zarr: pip install zarr, or check without --shards.") from None
    problems: list[Problem] = []
    with reached(entry.url):
        for path, variable in entry.all_variables().items():
            missing = list(_missing(entry.url, path, variable))
            if missing:
                named = ", ".join(missing[:MOST_NAMED])
                more = f" and {len(missing) - MOST_NAMED} others" if len(missing) > MOST_NAMED else ""
                problems.append(Problem(f"store/{path}", "no-shard", f"{named}{more} should hold data, and is missing"))
    return problems


def _missing(url: str, path: str, variable: Variable) -> Iterator[str]:
    """Names of missing objects below the array's own, such as ``c/0/1``; none where the manifest does not tell."""
    import numpy as np
    import zarr

    group, _, name = path.rpartition("/")
    base = f"{url.rstrip('/')}/{group}".rstrip("/")
    try:
        is_fill = zarr.open_array(f"{base}/{layout.manifest_path(name, layout.IS_FILL)}", mode="r")
    except FileNotFoundError:
        return
    array = zarr.open_array(f"{base}/{name}", mode="r")
    filesystem, root = open_storage(f"{base}/{name}")
    there = {found[len(root) :].lstrip("/") for found in filesystem.find(root)}
    ratios = [shard // chunk for shard, chunk in zip(variable.shard_shape, variable.chunk_shape, strict=True)]
    shards = [-(-size // shard) for size, shard in zip(variable.shape, variable.shard_shape, strict=True)]
    for at in product(*map(range, shards)):
        shard = array.metadata.encode_chunk_key(at)
        chunks = tuple(slice(number * ratio, (number + 1) * ratio) for number, ratio in zip(at, ratios, strict=True))
        if shard not in there and not np.asarray(is_fill[chunks]).all():
            yield shard
