"""A dataset that is larger than any disk here: all of its metadata, and none of its chunks."""

from typing import Any

import numpy as np
import zarr

from data_catalog import Catalog, Entry, layout
from tests.data_catalog.written_store import folder_of

STACK = ("inline", "crossline", "time")


def write_huge_dataset(catalog: Catalog) -> Entry:
    """720 GB that hold nothing: metadata alone, as large as that of a real survey."""
    shape, chunk = (9000, 5000, 4000), (64, 64, 128)
    grid = tuple(-(-size // extent) for size, extent in zip(shape, chunk, strict=True))
    group = zarr.create_group(str(folder_of(catalog) / "huge.zarr"))
    described: dict[str, Any] = {}

    def create(name: str, role: str, dims: tuple[str, ...], dtype: str, **about: Any) -> None:
        extents = dict(zip(STACK, chunk, strict=True))
        sizes = dict(zip(STACK, shape, strict=True))
        values = {"shape": [sizes[dim] for dim in dims], "chunks": [extents[dim] for dim in dims]}
        group.create_array(name, dtype=dtype, dimension_names=dims, attributes={"role": role, **about}, **values)
        described[name] = {"role": role, "dims": dims, "shape": values["shape"], "dtype": dtype, **about} | {
            "chunk_shape": values["chunks"],
            "shard_shape": values["chunks"],
        }

    create("amplitude", "input", STACK, "float32")
    create("cdp_x", "coordinate", STACK[:2], "float64")
    create("cdp_y", "coordinate", STACK[:2], "float64")
    create("trace_number", "coordinate", STACK[:2], "int64")
    create("salt", "class_label", STACK, "uint8", flag_values=[0, 1], ignore_value=255)
    described["salt"]["flag_meanings"] = ["rock", "salt"]
    for dim in STACK:
        create(dim, "coordinate", (dim,), "int32")
        group[dim][...] = np.arange(group[dim].size)
    for name, is_label in (("amplitude", False), ("salt", True)):
        for statistic, (dtype, extra) in layout.manifest_arrays(is_label=is_label).items():
            chunks = (*(min(16, size) for size in grid), *(min(256, size) for size in extra))
            path = layout.manifest_path(name, statistic)
            group.create_array(path, shape=(*grid, *extra), chunks=chunks, dtype=dtype)
    values = {
        "name": "huge",
        "kind": "stack3d",
        "url": str(folder_of(catalog) / "huge.zarr"),
        "created": "2026-01-02T00:00:00Z",
        "main_variable": "amplitude",
        "sizes": dict(zip(STACK, shape, strict=True)),
        "variables": described,
        "splits": {"train": [{"inline": [0, 5000]}]},
    }
    entry = Entry.model_validate(values)
    catalog.publish(entry)
    return entry
