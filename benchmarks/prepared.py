"""Prepared datasets of any size for benchmarks of the trainer, written with Zarr into stores that keep to SPEC.md.

Samples are noise that codecs find hard, or one level a chunk where a dataset is to be larger than the disk. Either way
their mean drifts along the first dimension, so that it shows how well windows are mixed. Figures say which they are of.
"""

from datetime import UTC, datetime
from math import prod
from pathlib import Path

import crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from zarr.codecs import BloscCodec

from data_catalog import Catalog, Entry, Kind, Role, Variable, layout
from trainer.reads.opening import open_chunks
from trainer.reads.readers import Expected

KINDS = {2: Kind.STACK2D, 3: Kind.STACK3D}
DIMS = {2: ("trace", "time"), 3: ("inline", "crossline", "time")}
SHARD_NBYTES = 128 * 2**20
DRIFT = 2.0
"""By how many standard deviations the mean drifts from one end of the first dimension to the other."""

CODECS = {
    "none": None,
    "lz4": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=4, blocksize=16 * 2**10),
}
"""As the pipeline writes them."""


def prepare(
    folder: Path, *, shape: tuple[int, ...], chunk: tuple[int, ...], codec: str, compressible: bool = False
) -> tuple[str, Catalog]:
    """Makes a dataset, unless it is there already.

    Args:
        folder: Where the store and the catalog go.
        shape: Of its amplitudes.
        chunk: Inner chunk; divides the shape.
        codec: Of `CODECS`.
        compressible: Whether a chunk is of one level.

    Returns:
        Its name, and the catalog.
    """
    sizes = "_".join("x".join(map(str, extents)) for extents in (shape, chunk))
    name, catalog = f"{codec}_{sizes}{'_levels' * compressible}", Catalog(folder / "catalog")
    if name in catalog.names():
        return name, catalog
    url, dims, shard = str(folder / f"{name}.zarr"), DIMS[len(shape)], _shard(shape, chunk)
    group = zarr.create_group(url, overwrite=True)
    variables = {"amplitude": _variable(Role.INPUT, dims, shape, "float32", chunk=chunk, shard=shard, units="1")}
    variables[layout.LIVE] = _variable(Role.COORDINATE, dims[:-1], shape[:-1], "bool", chunk=shard[:-1])
    for dim, size in zip(dims, shape, strict=True):
        variables[dim] = _variable(Role.COORDINATE, (dim,), (size,), "int32", chunk=(size,))
    arrays = {each: _create(group, each, variable, codec=codec) for each, variable in variables.items()}
    arrays[layout.LIVE][...] = True
    for dim, size in zip(dims, shape, strict=True):
        arrays[dim][...] = np.arange(size)
    _write_samples(group, arrays["amplitude"], url=url, chunk=chunk, shard=shard, compressible=compressible)
    catalog.publish(
        Entry(
            name=name,
            kind=KINDS[len(shape)],
            url=url,
            created=datetime.now(UTC),
            main_variable="amplitude",
            sizes=dict(zip(dims, shape, strict=True)),
            variables=variables,
            splits={"train": ({},)},
        )
    )
    return name, catalog


def _shard(shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Whole rows along the last dimension, as many as make a shard."""
    row = chunk[-1] * (shape[-1] // chunk[-1])
    rows = max(1, SHARD_NBYTES // (4 * prod(chunk[:-1]) * row))
    count = shape[-2] // chunk[-2]
    together = max(part for part in range(1, count + 1) if part <= rows and count % part == 0)
    return (*chunk[:-2], chunk[-2] * together, row)


def _variable(
    role: Role,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: str,
    *,
    chunk: tuple[int, ...],
    shard: tuple[int, ...] | None = None,
    units: str | None = None,
) -> Variable:
    return Variable(
        role=role, dims=dims, shape=shape, dtype=dtype, chunk_shape=chunk, shard_shape=shard or chunk, units=units
    )


def _create(
    group: zarr.Group, name: str, variable: Variable, *, codec: str
) -> "zarr.Array[zarr.core.metadata.v3.ArrayV3Metadata]":
    return group.create_array(
        name,
        shape=variable.shape,
        dtype=variable.dtype,
        chunks=variable.chunk_shape,
        shards=variable.shard_shape if variable.shard_shape != variable.chunk_shape else None,
        compressors=CODECS[codec] if variable.dtype == "float32" else None,
        dimension_names=variable.dims,
        attributes={"role": variable.role.value} | ({"units": variable.units} if variable.units else {}),
    )


def _write_samples(
    group, array, *, url: str, chunk: tuple[int, ...], shard: tuple[int, ...], compressible: bool
) -> None:
    generator = np.random.default_rng(0)
    noise = _noise(shard, generator=generator)
    grid = tuple(size // extent for size, extent in zip(array.shape, chunk, strict=True))
    per_shard = tuple(size // extent for size, extent in zip(shard, chunk, strict=True))
    mean, m2 = np.empty(grid), np.empty(grid)
    lowest, highest = np.empty(grid), np.empty(grid)
    for index in np.ndindex(*(size // extent for size, extent in zip(array.shape, shard, strict=True))):
        first = [at * extent for at, extent in zip(index, shard, strict=True)]
        along = (first[0] + np.arange(shard[0])) / array.shape[0]
        level = (DRIFT * along).astype(np.float32).reshape(-1, *[1] * (len(shard) - 1))
        samples = (
            np.floor(level * 64) / 64 + 0 * noise
            if compressible
            else level + np.roll(noise, int(generator.integers(10**6)))
        )
        array[tuple(slice(a, a + extent) for a, extent in zip(first, shard, strict=True))] = samples
        split = samples.reshape([n for pair in zip(per_shard, chunk, strict=True) for n in pair])
        axes = tuple(range(1, 2 * len(chunk), 2))
        cells = tuple(slice(at * count, (at + 1) * count) for at, count in zip(index, per_shard, strict=True))
        mean[cells], m2[cells] = split.mean(axes, dtype=np.float64), split.var(axes, dtype=np.float64) * prod(chunk)
        lowest[cells], highest[cells] = split.min(axes), split.max(axes)
    statistics = {
        "count": np.full(grid, prod(chunk), np.int64),
        "nonfinite_count": np.zeros(grid, np.int64),
        "mean": mean,
        "m2": m2,
        "minimum": lowest,
        "maximum": highest,
    }
    reader = open_chunks(array, url=f"{url}/amplitude", expected=Expected()).reader
    encoded = [reader.fetch(index) for index in np.ndindex(grid)]
    statistics[layout.IS_FILL] = np.array([content is None for content in encoded]).reshape(grid)
    checksums = [0 if content is None else crc32c.crc32c(content) for content in encoded]
    statistics[layout.CHECKSUM] = np.array(checksums, np.uint32).reshape(grid)
    for name, values in statistics.items():
        group.create_array(layout.manifest_path("amplitude", name), data=values)


def _noise(shape: tuple[int, ...], *, generator: np.random.Generator) -> NDArray[np.float32]:
    """Band-limited noise with a tenth of white noise: what lossless codecs find in processed field data."""
    white = generator.standard_normal(shape, dtype=np.float32)
    smooth = gaussian_filter(white, 2.0)
    return np.asarray(smooth / smooth.std() + 0.1 * white, dtype=np.float32)
