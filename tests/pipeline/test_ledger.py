"""Completion records and quarantine: what is put in comes out, on a disk and in an object store."""

import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from data_catalog import layout
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import object_names
from pipeline.store.ledger import FailureRecord, Ledger, ShardRecord
from pipeline.survey.header_words import HeaderSummary, WordRange
from pipeline.work.failure import Failure

SUMMARY = HeaderSummary(
    trace_count=7,
    ranges={"inline": WordRange(least=-3, greatest=2**31 - 1, step=2)},
    null_position_count=1,
    zero_scalar_count=0,
    auxiliary_count=2,
)


def record_of(*shard: int, fingerprint: str = "abc") -> ShardRecord:
    return ShardRecord(
        shard=shard,
        fingerprint=fingerprint,
        source_nbytes=2**40,
        stored_nbytes=17,
        seconds={"read": 0.1, "decode": 1e-9},
        worker="machine:4711",
        headers={"amplitude": SUMMARY},
    )


@pytest.fixture(params=["local", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return str(tmp_path / "x.zarr")
    return f"{request.getfixturevalue('bucket_url')}/x.zarr"


def test_a_record_comes_back_with_its_arrays(store_url: str) -> None:
    ledger = Ledger(store_url)
    arrays: dict[str, Any] = {
        "amplitude/minimum": np.array([[np.nan, -np.inf], [-0.0, 5e-324]]),
        "amplitude/count": np.arange(4).reshape(2, 2),
        "amplitude/histogram": np.full((2, 2, 2048), 2**32 - 1, np.uint32),
        "amplitude/is_fill": np.array([[True, False], [False, False]]),
        "salt/class_counts": np.zeros((0, 2, 256), np.int64),
    }
    ledger.complete(record_of(3, 14), arrays)
    found = ledger.read((3, 14))
    assert found is not None
    record, read = found
    assert record == record_of(3, 14)
    assert read.keys() == arrays.keys()
    for name, expected in arrays.items():
        assert (read[name].dtype, read[name].shape) == (expected.dtype, expected.shape)
        assert read[name].tobytes() == expected.tobytes()  # NaN and the sign of zero too
    assert ledger.record((3, 14)) == record


def test_what_is_not_there_has_no_record(store_url: str) -> None:
    ledger = Ledger(store_url)
    assert ledger.completed() == set()
    assert ledger.record((0, 0)) is None
    assert ledger.read((0, 0)) is None
    assert list(ledger.failures()) == []
    ledger.try_again((0, 0))  # nor is it an error


def test_a_shard_is_complete_when_it_has_a_record(store_url: str) -> None:
    ledger = Ledger(store_url)
    for shard in [(0, 0), (10, 2), (2, 10)]:
        ledger.complete(record_of(*shard), {})
    write_object(f"{store_url}/{layout.LEDGER}/.4711.tmp", b"a record that a killed process was writing")
    assert ledger.completed() == {(0, 0), (10, 2), (2, 10)}
    assert Ledger(store_url).completed() == ledger.completed()  # it holds nothing itself
    ledger.complete(record_of(9), {})
    assert (9,) in ledger.completed()  # of traces in file order


def test_a_record_is_replaced_whole(store_url: str) -> None:
    ledger = Ledger(store_url)
    ledger.complete(record_of(1, 1), {"amplitude/count": np.arange(1000)})
    ledger.complete(record_of(1, 1, fingerprint="other"), {"amplitude/mean": np.zeros(1)})
    found = ledger.read((1, 1))
    assert found is not None
    assert (found[0].fingerprint, list(found[1])) == ("other", ["amplitude/mean"])
    assert object_names(f"{store_url}/{layout.LEDGER}") == {"1.1.npz"}


def test_quarantine(store_url: str) -> None:
    ledger = Ledger(store_url)
    ledger.complete(record_of(0, 0), {})
    ledger.give_up((1, 0), Failure("source", "a.sgy cannot be read (input/output error)"))
    ledger.give_up((0, 5), Failure("worker", "killed again and again"))
    ledger.give_up((0, 5), Failure("target", "the store cannot be written"))
    assert list(ledger.failures()) == [
        FailureRecord(shard=(0, 5), kind="target", message="the store cannot be written"),
        FailureRecord(shard=(1, 0), kind="source", message="a.sgy cannot be read (input/output error)"),
    ]
    assert ledger.completed() == {(0, 0)}
    ledger.try_again((0, 5))
    assert [failure.shard for failure in Ledger(store_url).failures()] == [(1, 0)]


def test_failures_are_readable_without_this_program(tmp_path: Path) -> None:
    Ledger(str(tmp_path)).give_up((1, 0), Failure("source", "“ä” cannot be read"))
    (path,) = (tmp_path / layout.FAILURES).iterdir()
    assert path.name == "1.0.json"
    assert json.loads(path.read_text()) == {"shard": [1, 0], "kind": "source", "message": "“ä” cannot be read"}


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.complete(record_of(0, 0), {})
    (path,) = (tmp_path / layout.LEDGER).iterdir()
    with np.load(path) as stored:
        text = stored["record"]
    np.savez(path, record=text, evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        ledger.read((0, 0))


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=hnp.arrays(
        st.sampled_from(["float64", "int64", "uint32", "bool"]), hnp.array_shapes(min_side=0, max_dims=4)
    ),
    shard=st.lists(st.integers(0, 10**9), min_size=1, max_size=3).map(tuple),
)
def test_any_array_comes_back(tmp_path: Path, values: np.ndarray, shard: tuple[int, ...]) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.complete(record_of(*shard), {"a/b": values})
    found = ledger.read(shard)
    assert found is not None
    assert (found[1]["a/b"].dtype, found[1]["a/b"].shape) == (values.dtype, values.shape)
    assert found[1]["a/b"].tobytes() == values.tobytes()
    assert shard in ledger.completed()
    shutil.rmtree(tmp_path / layout.LEDGER)


def test_a_record_is_one_object(store_url: str) -> None:
    Ledger(store_url).complete(record_of(0, 0), {"amplitude/count": np.zeros(1)})
    filesystem, path = fsspec.url_to_fs(store_url)
    assert [name.removeprefix(path) for name in filesystem.find(path)] == [f"/{layout.LEDGER}/0.0.npz"]
