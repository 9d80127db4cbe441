"""What a Zarr v3 ``zarr.json`` says of an array, read with fsspec alone.

The judge needs names, shapes and chunks, never a sample, so it needs no Zarr library either.
"""

import json
from dataclasses import dataclass
from typing import Any

import fsspec

from data_catalog.storage import open_storage, patiently, reached


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """The part of an array's metadata that the contract speaks of.

    Attributes:
        shape: Sizes, slowest dimension first.
        dtype: Zarr v3 data type name.
        dims: Dimension names; empty where the array has none.
        chunk_shape: Inner chunk.
        shard_shape: Storage object; equals ``chunk_shape`` where unsharded.
        attributes: The array's attributes.
    """

    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]
    chunk_shape: tuple[int, ...]
    shard_shape: tuple[int, ...]
    attributes: dict[str, Any]


def read_array_metadata(url: str) -> ArrayMetadata | None:
    """Metadata of the array at ``url``; None where there is no Zarr v3 array."""
    document = _read_document(url)
    if document is None or document.get("node_type") != "array":
        return None
    try:
        return _described(document)
    except (KeyError, IndexError, TypeError, ValueError):
        return None  # it says that it is an array, and not which one


def _described(document: dict[str, Any]) -> ArrayMetadata:
    stored_shape = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
    sharding = [codec for codec in document["codecs"] if codec["name"] == "sharding_indexed"]
    inner_shape = tuple(sharding[0]["configuration"]["chunk_shape"]) if sharding else stored_shape
    return ArrayMetadata(
        shape=tuple(document["shape"]),
        dtype=str(document["data_type"]),
        dims=tuple(name or "" for name in document.get("dimension_names") or ()),
        chunk_shape=inner_shape,
        shard_shape=stored_shape,
        attributes=document.get("attributes", {}),
    )


def is_group(url: str) -> bool:
    """Whether a Zarr v3 group stands at ``url``."""
    document = _read_document(url)
    return document is not None and document.get("node_type") == "group"


def _read_document(url: str) -> dict[str, Any] | None:
    """The document at a URL; None where there is none of Zarr v3.

    Raises:
        InputError: If that cannot be told, since storage does not answer.
    """
    filesystem, path = open_storage(f"{url.rstrip('/')}/zarr.json")
    try:
        with reached(url):
            content = _content(filesystem, path)
        document = json.loads(content) if content else None
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("zarr_format") == 3 else None


def _content(filesystem: fsspec.AbstractFileSystem, path: str) -> bytes | None:
    try:
        return patiently(lambda: bytes(filesystem.cat_file(path)))
    except (FileNotFoundError, NotADirectoryError):
        return None
