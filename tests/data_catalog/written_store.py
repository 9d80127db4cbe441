"""Stores with samples that keep to SPEC.md, written with plain zarr: neither pipeline nor trainer is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from data_catalog import Catalog, Derived, Entry, Kind, Role, Source, Variable, layout

CREATED = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
FLAGS = ("units", "long_name", "flag_values", "flag_meanings", "ignore_value")


@dataclass(frozen=True)
class Made:
    """A variable with its samples; ``about`` goes into its attributes and into the entry."""

    role: Role
    dims: tuple[str, ...]
    samples: np.ndarray
    about: Mapping[str, Any] = field(default_factory=dict)


def classes(dims: tuple[str, ...], samples: np.ndarray, *words: str) -> Made:
    """A class label whose classes count from 0."""
    about = {"flag_values": tuple(range(len(words))), "flag_meanings": words, "ignore_value": 255}
    return Made(Role.CLASS_LABEL, dims, samples.astype(np.uint8), about)


def write_dataset(
    catalog: Catalog,
    name: str,
    variables: Mapping[str, Made],
    *,
    kind: Kind,
    derived: Mapping[str, Mapping[str, Made]] | None = None,
    chunk: int = 16,
    text_header: str | None = None,
    **more: Any,
) -> Entry:
    """Writes a store beside the catalog and publishes its entry; the first variable is the main one.

    Args:
        catalog: Where it is listed.
        name: Of the dataset.
        variables: Of the root; dimensions without a coordinate get one that counts.
        kind: Of the dataset.
        derived: Variables of derived groups, by the groups' ids.
        chunk: Largest inner chunk along any dimension.
        text_header: Of the only source, in EBCDIC; None for a dataset that was not made from SEG-Y.
        more: Further fields of the entry.
    """
    url = str(folder_of(catalog) / f"{name}.zarr")
    group = zarr.create_group(url)
    sizes = {dim: size for each in variables.values() for dim, size in zip(each.dims, each.samples.shape, strict=True)}
    counting = {dim: Made(Role.COORDINATE, (dim,), np.arange(size, dtype=np.int32)) for dim, size in sizes.items()}
    main = next(iter(variables))
    described = {each: _write(group, each, made, chunk=chunk) for each, made in (counting | dict(variables)).items()}
    groups = {}
    for derived_id, inner in (derived or {}).items():
        below = group.create_group(layout.derived_path(derived_id))
        found = {each: _write(below, each, made, chunk=chunk) for each, made in inner.items()}
        groups[derived_id] = Derived(variables=found, made_by="a test", created=CREATED)
    if text_header is not None:
        content = np.frombuffer(f"{text_header:3200.3200}".encode("cp037") + bytes(400), np.uint8)
        group.create_array(layout.file_header_path(0), data=content)
    entry = Entry(
        name=name,
        kind=kind,
        url=url,
        created=CREATED,
        main_variable=main,
        sizes=sizes,
        variables=described,
        derived=groups,
        **more,
    )
    catalog.publish(entry)
    return entry


def a_source(url: str, *, variable: str = "amplitude") -> Source:
    return Source(url=url, nbytes=1, trace_count=1, first_trace=0, sample_format=1, byte_order="big", variable=variable)


def _write(group: zarr.Group, name: str, made: Made, *, chunk: int) -> Variable:
    shape = made.samples.shape
    chunks = tuple(min(size, chunk) for size in shape)
    about = {key: made.about[key] for key in FLAGS if key in made.about}
    stored = {key: " ".join(value) if key == "flag_meanings" else value for key, value in about.items()}
    stored = {key: list(value) if isinstance(value, tuple) else value for key, value in stored.items()}
    array = group.create_array(
        name,
        shape=shape,
        dtype=made.samples.dtype,
        chunks=chunks,
        dimension_names=made.dims,
        attributes={"role": made.role.value, **stored},
    )
    array[...] = made.samples
    if made.role in {Role.INPUT, Role.TARGET}:
        _write_statistics(group, name, made.samples, chunks)
    if made.role is Role.CLASS_LABEL:
        counts = _of_chunks(made.samples, chunks, lambda part: np.bincount(part.ravel(), minlength=256))
        group.create_array(layout.manifest_path(name, layout.CLASS_COUNTS), data=counts.astype(np.int64))
    return Variable(
        role=made.role,
        dims=made.dims,
        shape=shape,
        dtype=str(made.samples.dtype),
        chunk_shape=chunks,
        shard_shape=chunks,
        **about,
    )


def _write_statistics(group: zarr.Group, name: str, samples: np.ndarray, chunks: tuple[int, ...]) -> None:
    known = np.where(np.isfinite(samples), samples, 0).astype(np.float64)
    of_chunk = {
        "count": lambda part: part.size,
        "nonfinite_count": lambda part: 0,
        "mean": np.mean,
        "m2": lambda part: part.var() * part.size,
        "minimum": np.min,
        "maximum": np.max,
    }
    for statistic, function in of_chunk.items():
        values = _of_chunks(known, chunks, function).astype(layout.STATISTICS[statistic])
        group.create_array(layout.manifest_path(name, statistic), data=values)
    bins = _of_chunks(known, chunks, histogram)
    group.create_array(layout.manifest_path(name, layout.HISTOGRAM), data=bins.astype(np.uint32))


def histogram(samples: np.ndarray) -> np.ndarray:
    """Counts of SPEC.md's bins: the upper 11 bits of a float32."""
    bits = np.ascontiguousarray(samples, dtype=np.float32).view(np.uint32).ravel() >> 21
    return np.bincount(bits, minlength=layout.HISTOGRAM_BIN_COUNT)


def _of_chunks(samples: np.ndarray, chunks: tuple[int, ...], function: Any) -> np.ndarray:
    grid = tuple(-(-size // extent) for size, extent in zip(samples.shape, chunks, strict=True))
    values = [np.asarray(function(samples[where])) for where in _parts(grid, chunks)]
    return np.stack(values).reshape(*grid, *values[0].shape)


def _parts(grid: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    for index in product(*map(range, grid)):
        yield tuple(slice(at * extent, (at + 1) * extent) for at, extent in zip(index, chunks, strict=True))


def dipping(shape: tuple[int, ...], *, seed: int = 0) -> np.ndarray:
    """Float32 events that dip along all dimensions, with some noise."""
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    phase = sum((0.1 + 0.15 * place) * axis for place, axis in enumerate(axes))
    noise = np.random.default_rng(seed).normal(scale=0.2, size=shape)
    return (np.sin(phase) * 100 + noise).astype(np.float32)


def folder_of(catalog: Catalog) -> Path:
    """Where the stores of a catalog are."""
    return Path(catalog.place).parent
