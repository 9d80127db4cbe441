"""The trainer, installed alone, learns from a dataset made by the book (SPEC.md) with plain Zarr, predicts and exports.

There is no Dask, no xarray, no segyio and no ONNX: whatever keeps to the contract can be trained on.
"""

import importlib.util
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import zarr

from data_catalog import Catalog, Entry, layout

for absent in ("dask", "distributed", "xarray", "segyio", "numba", "scipy", "onnx"):
    assert importlib.util.find_spec(absent) is None, f"{absent} is installed: the trainer is not alone"

DIMS, SHAPE, CHUNK = ("inline", "crossline", "time"), (24, 32, 64), (8, 32, 64)


def run(*arguments: str) -> None:
    """Prints and runs a command of the project."""
    print("$ python -m", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", *arguments], check=True)


store = Path("store.zarr").absolute()
root = zarr.create_group(store)
variables = {}


def add(name: str, values: np.ndarray, *, role: str, dims: tuple[str, ...], **attributes: object) -> None:
    """Writes an array as SPEC.md asks, and notes it for the entry."""
    chunk = tuple(dict(zip(DIMS, CHUNK, strict=True))[dim] for dim in dims)
    attributes |= {"role": role}
    array = root.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunk, dimension_names=dims, attributes=attributes
    )
    array[...] = values
    variables[name] = {"role": role, "dims": dims, "shape": values.shape, "dtype": values.dtype.name}
    variables[name] |= {"chunk_shape": chunk, "shard_shape": chunk}


salt = (np.add.outer(np.add.outer(np.arange(24), np.arange(32)), np.arange(64)) % 40 < 16).astype(np.uint8)
amplitude = (salt * 2.0 + np.random.default_rng(0).normal(size=SHAPE)).astype(np.float32)
add("amplitude", amplitude, role="input", dims=DIMS)
add("salt", salt, role="class_label", dims=DIMS, flag_values=[0, 1], flag_meanings="rock salt", ignore_value=255)
variables["salt"] |= {"flag_values": (0, 1), "flag_meanings": ("rock", "salt"), "ignore_value": 255}
add("live", np.ones(SHAPE[:2], bool), role="coordinate", dims=DIMS[:2])
for dim, size in zip(DIMS, SHAPE, strict=True):
    add(dim, np.arange(size, dtype=np.int64), role="coordinate", dims=(dim,))
blocks = amplitude.astype(float).reshape(3, 8, 32, 64)
moments = {
    "count": 8 * 32 * 64,
    "nonfinite_count": 0,
    "mean": blocks.mean((1, 2, 3)),
    "m2": blocks.var((1, 2, 3)) * 8 * 32 * 64,
}
moments |= {"minimum": blocks.min((1, 2, 3)), "maximum": blocks.max((1, 2, 3))}
for statistic, dtype in layout.STATISTICS.items():
    array = root.create_array(
        layout.manifest_path("amplitude", statistic), shape=(3, 1, 1), dtype=dtype, chunks=(3, 1, 1)
    )
    array[:, 0, 0] = moments[statistic]
counts = np.stack([np.bincount(block.ravel(), minlength=256) for block in salt.reshape(3, -1)]).reshape(3, 1, 1, 256)
array = root.create_array(
    layout.manifest_path("salt", layout.CLASS_COUNTS), shape=counts.shape, dtype="int64", chunks=counts.shape
)
array[...] = counts
entry = {
    "name": "alone",
    "kind": "stack3d",
    "url": str(store),
    "created": datetime.now(UTC),
    "main_variable": "amplitude",
    "sizes": dict(zip(DIMS, SHAPE, strict=True)),
    "variables": variables,
    "splits": {"train": ({"inline": (0, 14)},), "test": ({"inline": (16, 24)},)},
}
Catalog("catalog").publish(Entry.model_validate(entry))

Path("config.yaml").write_text("""
dataset: {name: alone, label: salt}
window: {crossline: 32, time: 32}
splits: {validation: null}
model: {name: unet, levels: 3, start_filters: 4}
task: {name: segmentation}
batch_size: 4
steps: 20
out: run
""")
torchrun = ("torch.distributed.run", "--nproc-per-node", "2", "-m", "trainer")
run(*torchrun, "fit", "config.yaml", "--catalog", "catalog")
run(*torchrun, "predict", "run", "--id", "first", "--catalog", "catalog")
run("trainer", "export", "run", "--out", "network.pt2", "--catalog", "catalog")
run("data_catalog", "check", "alone", "--catalog", "catalog")
print("trainer alone: learned, predicted and exported, without Dask, xarray and segyio")
