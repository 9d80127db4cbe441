"""The judge: each rule of SPEC.md broken once, each problem with its place, all of them listed."""

import json
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_catalog import Box, ConformanceError, Entry, check_entry, check_store, parse_entry
from data_catalog.conformance import check_splits
from data_catalog.migration import VERSIONS, migrated
from data_catalog.schema import SPEC_VERSION

Spoil = Callable[[dict[str, Any]], None]


def put(*path: Any) -> Spoil:
    """Sets the value at a path of keys; the last item is the value."""
    *keys, last, value = path

    def spoil(values: dict[str, Any]) -> None:
        for key in keys:
            values = values[key]
        values[last] = value

    return spoil


def test_a_good_entry_and_store_pass(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry()
    assert check_entry(entry) == []
    assert check_store(entry) == []
    assert parse_entry(entry.model_dump_json(exclude_none=True), place="here") == entry


@pytest.mark.parametrize(
    ("spoil", "place", "code"),
    [
        (put("name", "../etc/passwd"), "entry.name", "string_pattern_mismatch"),
        (put("name", "x" * 101), "entry.name", "string_pattern_mismatch"),
        (put("spec_version", "2.0"), "entry.spec_version", "unknown-version"),
        (put("spec_version", 1), "entry.spec_version", "unknown-version"),
        (put("sizes", "inline", 10**30), "entry.sizes.inline", "less_than"),
        (put("revision", 0), "entry.revision", "greater_than_equal"),
        (put("kind", "cube"), "entry.kind", "enum"),
        (put("surprise", 1), "entry.surprise", "extra_forbidden"),
        (put("url", "ftp://me:secret@host/x"), "entry.url", "value_error"),
        (put("created", "2026-01-02T03:04:05"), "entry.created", "timezone_aware"),
        (put("variables", "salt", "roll", "input"), "entry.variables.salt.roll", "extra_forbidden"),
        (put("splits", "train", 0, "inline", [0, "many"]), "entry.splits.train[0].inline[1]", "int_parsing"),
    ],
)
def test_an_entry_that_is_no_entry(entry_values: dict[str, Any], spoil: Spoil, place: str, code: str) -> None:
    spoil(entry_values)
    with pytest.raises(ConformanceError) as caught:
        parse_entry(json.dumps(entry_values), place="survey.json")
    assert (place, code) in [(problem.place, problem.code) for problem in caught.value.problems]


def test_text_that_is_not_json() -> None:
    for text in ("{", "[" * 100_000, "1" * 10_000, b"\xff\xfe"):
        with pytest.raises(ConformanceError, match="expected JSON"):
            parse_entry(text, place="survey.json")


@pytest.mark.parametrize("version", VERSIONS)
def test_entries_of_all_versions_are_read(entry_values: dict[str, Any], version: str) -> None:
    later = {"split_by": {"by": "inline"}, "fates": {"kept": 80}} if version == SPEC_VERSION else {}
    entry = parse_entry(json.dumps(entry_values | later | {"spec_version": version}), place="survey.json")
    assert entry == Entry.model_validate(entry_values | later | {"spec_version": SPEC_VERSION})


@pytest.mark.parametrize("stranger", [{"spec_version": "9.9"}, {"spec_version": None}, {"spec_version": []}, [], 7])
def test_what_is_of_no_version_stays_as_it_is(stranger: Any) -> None:
    assert migrated(stranger) == stranger


def boxes_of(ranges: list[tuple[int, int, int, int]]) -> tuple[Box, ...]:
    return tuple({"inline": (a, a + b), "time": (c, c + d)} for a, b, c, d in ranges)


RANGES = st.lists(st.tuples(*[st.integers(0, 8), st.integers(1, 3)] * 2), max_size=4).map(boxes_of)


@given(RANGES, RANGES, RANGES)
def test_splits_that_share_samples_are_found(one: Any, two: Any, three: Any) -> None:
    splits, sizes = {"train": one, "validation": two, "test": three}, {"inline": 20, "time": 20}
    held = {
        name: {(i, t) for box in boxes for i in range(*box["inline"]) for t in range(*box["time"])}
        for name, boxes in splits.items()
    }
    expected = {frozenset(pair) for pair in combinations(splits, 2) if held[pair[0]] & held[pair[1]]}
    told = [re.findall("'([a-z]+)'", problem.message) for problem in check_splits(splits, sizes)]
    assert {frozenset(pair) for pair in told} == expected
    assert len(told) == len(expected)


def test_splits_that_name_no_dimension_are_everywhere() -> None:
    assert check_splits({"train": ({},)}, {"inline": 5}) == []
    (problem,) = check_splits({"train": ({},), "test": ({},)}, {"inline": 5})
    assert problem.code == "splits-overlap"


@pytest.mark.parametrize(
    ("spoil", "place", "code"),
    [
        (put("main_variable", "velocity"), "entry.main_variable", "no-variable"),
        (put("main_variable", "salt"), "entry.main_variable", "wrong-role"),
        (put("kind", "stack2d"), "entry.variables.amplitude.dims", "wrong-dims"),
        (put("sizes", "inline", 11), "entry.variables.amplitude.shape", "size-differs"),
        (
            put("variables", "amplitude", "dims", ["inline", "crossline", "z"]),
            "entry.variables.amplitude.dims",
            "unknown-dimension",
        ),
        (put("variables", "amplitude", "dims", ["inline", "time"]), "entry.variables.amplitude", "rank-differs"),
        (
            put("variables", "amplitude", "shard_shape", [7, 4, 10]),
            "entry.variables.amplitude.shard_shape",
            "shard-unaligned",
        ),
        (put("variables", "amplitude", "dtype", "complex64"), "entry.variables.amplitude.dtype", "wrong-dtype"),
        (put("variables", "salt", "dtype", "int32"), "entry.variables.salt.dtype", "wrong-dtype"),
        (put("variables", "salt", "flag_values", None), "entry.variables.salt", "no-classes"),
        (put("variables", "salt", "flag_values", [0, 1, 2]), "entry.variables.salt", "classes-differ"),
        (put("variables", "salt", "ignore_value", 1), "entry.variables.salt.ignore_value", "ignore-is-class"),
        (put("variables", "salt", "ignore_value", None), "entry.variables.salt", "no-ignore-value"),
        (put("splits", "test", [{"inline": [3, 10]}]), "entry.splits", "splits-overlap"),
        (put("splits", "test", [{"inline": [6, 11]}]), "entry.splits.test[0].inline", "outside"),
        (put("splits", "test", [{"inline": [9, 9]}]), "entry.splits.test[0].inline", "outside"),
        (put("splits", "test", [{"shot": [0, 1]}]), "entry.splits.test[0].shot", "unknown-dimension"),
    ],
)
def test_an_entry_that_contradicts_itself(entry_values: dict[str, Any], spoil: Spoil, place: str, code: str) -> None:
    spoil(entry_values)
    found = check_entry(Entry.model_validate(entry_values))
    assert (place, code) in [(problem.place, problem.code) for problem in found]


def rewrite(store: Path, path: str, change: Spoil) -> None:
    document = json.loads((store / path / "zarr.json").read_text())
    change(document)
    (store / path / "zarr.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("path", "change", "code"),
    [
        ("amplitude", put("shape", [10, 8, 21]), "shape-differs"),
        ("amplitude", put("dimension_names", ["x", "y", "t"]), "dims-differs"),
        ("amplitude", put("data_type", "float64"), "dtype-differs"),
        ("amplitude", put("chunk_grid", "configuration", "chunk_shape", [5, 4, 20]), "chunk-shape-differs"),
        ("salt", put("attributes", {}), "role-differs"),
        ("time", put("attributes", "units", "s"), "units-differ"),
        ("salt", put("attributes", "ignore_value", 254), "classes-differ"),
        ("salt", put("attributes", "flag_values", [0, 2]), "classes-differ"),
        ("live", put("node_type", "group"), "no-array"),
        ("live", put("zarr_format", 2), "no-array"),
        ("manifest/amplitude/m2", put("shape", [2, 2, 3]), "manifest-differs"),
        ("manifest/salt/class_counts", put("node_type", "group"), "no-array"),
    ],
)
def test_a_store_that_differs(make_entry: Callable[..., Entry], path: str, change: Spoil, code: str) -> None:
    entry = make_entry()
    rewrite(Path(entry.url), path, change)
    found = check_store(entry)
    assert (f"store/{path}", code) in [(problem.place, problem.code) for problem in found]


OPTIONAL = {
    "amplitude/histogram": ("uint32", (2, 2, 2, 2048)),
    "amplitude/rounding_error": ("float64", (2, 2, 2)),
    "amplitude/crc32c": ("uint32", (2, 2, 2)),
    "amplitude/is_fill": ("bool", (2, 2, 2)),
    "salt/crc32c": ("uint32", (2, 2, 2)),
    "salt/is_fill": ("bool", (2, 2, 2)),
}
"""What a manifest may hold besides, by section 3 of SPEC.md, for chunk grids of (2, 2, 2)."""


def test_a_manifest_may_hold_more(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry()
    for path, (dtype, shape) in OPTIONAL.items():
        write_manifest_array(entry, path, dtype, shape)
    assert check_store(entry) == []


@pytest.mark.parametrize("path", OPTIONAL)
@pytest.mark.parametrize("wrong", ["dtype", "shape"])
def test_what_a_manifest_holds_besides_is_judged_too(make_entry: Callable[..., Entry], path: str, wrong: str) -> None:
    entry = make_entry()
    dtype, shape = OPTIONAL[path]
    write_manifest_array(entry, path, "int8" if wrong == "dtype" else dtype, shape[1:] if wrong == "shape" else shape)
    found = check_store(entry)
    assert [(problem.place, problem.code) for problem in found] == [(f"store/manifest/{path}", "manifest-differs")]


def write_manifest_array(entry: Entry, path: str, dtype: str, shape: tuple[int, ...]) -> None:
    document = json.loads(Path(entry.url, "manifest/amplitude/count/zarr.json").read_text())
    grid = {"name": "regular", "configuration": {"chunk_shape": shape}}
    folder = Path(entry.url, "manifest", path)
    folder.mkdir(parents=True)
    (folder / "zarr.json").write_text(
        json.dumps(document | {"shape": shape, "data_type": dtype, "dimension_names": [], "chunk_grid": grid})
    )


def test_every_problem_is_listed_with_its_place(entry_values: dict[str, Any]) -> None:
    put("main_variable", "velocity")(entry_values)
    put("variables", "salt", "ignore_value", None)(entry_values)
    put("splits", "test", [{"inline": [3, 99]}])(entry_values)
    with pytest.raises(ConformanceError) as caught:
        parse_entry(json.dumps(entry_values), place="survey.json")
    codes = {problem.code for problem in caught.value.problems}
    assert codes == {"no-variable", "no-ignore-value", "outside", "splits-overlap"}
    for problem in caught.value.problems:
        assert str(problem) in str(caught.value)


def test_a_dimension_without_coordinate(make_entry: Callable[..., Entry], entry_values: dict[str, Any]) -> None:
    del entry_values["variables"]["time"]
    assert [problem.code for problem in check_store(make_entry())] == ["no-coordinate"]


def test_traces_without_live(make_entry: Callable[..., Entry], entry_values: dict[str, Any]) -> None:
    source = {"url": "a.sgy", "nbytes": 9, "trace_count": 1, "first_trace": 0, "sample_format": 1}
    entry_values["sources"] = [source | {"byte_order": "big", "variable": "amplitude"}]
    assert check_entry(make_entry()) == []
    del entry_values["variables"]["live"]
    assert [problem.code for problem in check_entry(make_entry())] == ["no-live"]


def test_a_store_that_is_not_there(make_entry: Callable[..., Entry], tmp_path: Path) -> None:
    assert [problem.code for problem in check_store(make_entry(url=str(tmp_path / "gone")))] == ["no-store"]


def test_a_derived_group_that_is_not_there(make_entry: Callable[..., Entry], entry_values: dict[str, Any]) -> None:
    derived = {"variables": {}, "made_by": "a test", "created": entry_values["created"]}
    found = check_store(make_entry(derived={"first": derived}))
    assert [(problem.place, problem.code) for problem in found] == [("store/derived/first", "no-group")]
