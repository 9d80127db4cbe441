"""A store that keeps to SPEC.md, written with nothing but JSON: the judge reads metadata alone."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_catalog import Catalog, Entry, Kind, Role, layout
from tests.data_catalog.written_store import Made, a_source, classes, dipping, write_dataset

SIZES = {"inline": 10, "crossline": 8, "time": 20, "trace_header_byte": 240}
CHUNK = {"inline": 5, "crossline": 4, "time": 10, "trace_header_byte": 240}


def array_document(
    dims: tuple[str, ...], shape: tuple[int, ...], chunk: tuple[int, ...], dtype: str, **attributes: Any
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "dimension_names": list(dims),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "codecs": [{"name": "bytes"}],
        "attributes": attributes,
    }


def write_node(path: Path, document: dict[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "zarr.json").write_text(json.dumps(document))


def variable(role: str, dims: tuple[str, ...], dtype: str, **more: Any) -> dict[str, Any]:
    shape, chunk = [SIZES[dim] for dim in dims], [CHUNK[dim] for dim in dims]
    return {
        "role": role,
        "dims": dims,
        "shape": shape,
        "dtype": dtype,
        "chunk_shape": chunk,
        "shard_shape": chunk,
    } | more


VARIABLES = {
    "amplitude": variable("input", ("inline", "crossline", "time"), "float32"),
    "salt": variable(
        "class_label",
        ("inline", "crossline", "time"),
        "uint8",
        flag_values=[0, 1],
        flag_meanings=["sediment", "salt"],
        ignore_value=255,
    ),
    "live": variable("coordinate", ("inline", "crossline"), "bool"),
    "inline": variable("coordinate", ("inline",), "int64"),
    "crossline": variable("coordinate", ("crossline",), "int64"),
    "time": variable("coordinate", ("time",), "float64", units="ms"),
}


@pytest.fixture
def entry_values(tmp_path: Path) -> dict[str, Any]:
    """A good entry as plain values, to be spoilt; its store exists."""
    store = tmp_path / "store.zarr"
    write_node(store, {"zarr_format": 3, "node_type": "group"})
    for name, values in VARIABLES.items():
        attributes = {key: values[key] for key in ("role", "units", "flag_values", "ignore_value") if key in values}
        document = array_document(values["dims"], values["shape"], values["chunk_shape"], values["dtype"], **attributes)
        write_node(store / name, document)
    grid = (2, 2, 2)
    for statistic, dtype in layout.STATISTICS.items():
        write_node(store / layout.manifest_path("amplitude", statistic), array_document((), grid, grid, dtype))
    counts = (*grid, layout.CLASS_VALUE_COUNT)
    write_node(store / layout.manifest_path("salt", layout.CLASS_COUNTS), array_document((), counts, counts, "int64"))
    return {
        "name": "survey",
        "kind": "stack3d",
        "url": str(store),
        "created": datetime(2026, 1, 2, tzinfo=UTC).isoformat(),
        "main_variable": "amplitude",
        "sizes": dict(SIZES),
        "variables": json.loads(json.dumps(VARIABLES)),
        "splits": {"train": [{"inline": [0, 4]}], "test": [{"inline": [6, 10]}]},
    }


@pytest.fixture
def make_entry(entry_values: dict[str, Any]) -> Callable[..., Entry]:
    def make(**changes: Any) -> Entry:
        return Entry.model_validate(entry_values | changes)

    return make


@pytest.fixture(params=["folder", "bucket"])
def catalog_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A catalog of the test's own, on a disk or in an object store, also for the commands that it runs."""
    if request.param == "folder":
        return str(request.getfixturevalue("catalog_folder"))
    place = f"{request.getfixturevalue('bucket_url')}/entries"
    monkeypatch.setenv("TRACEMILL_CATALOG", place)
    return place


@pytest.fixture
def survey(catalog_folder: Path) -> Entry:
    """A dataset of one volume with a label in a derived group."""
    shape, dims = (4, 5, 6), ("inline", "crossline", "time")
    label = classes(dims, np.arange(120).reshape(shape) % 2, "rock", "salt")
    live = Made(Role.COORDINATE, dims[:-1], np.ones(shape[:-1], bool))
    return write_dataset(
        Catalog(),
        "survey",
        {"amplitude": Made(Role.INPUT, dims, dipping(shape)), "live": live},
        kind=Kind.STACK3D,
        derived={"salt": {"label": label}},
        sources=(a_source("/data/survey.sgy"),),
        splits={"train": ({"inline": (0, 2)},)},
    )
