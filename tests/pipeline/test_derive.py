"""Derived groups: computed by any maker, resumed after failures, refused where something else lies."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client
from typer.testing import CliRunner

from data_catalog import Catalog, Entry, InputError, Role, WorkError, check_store, hold_lease, layout
from pipeline.__main__ import app
from pipeline.convert import convert
from pipeline.derive import Derivation, derive
from pipeline.group_run import Made, begin_group
from pipeline.labels.grid import DatasetGrid
from pipeline.plan.group import ArrayDesign, FieldDesign, GroupDesign
from pipeline.recipe import load_recipe
from pipeline.shard_run import RunConduct
from pipeline.shards.fill import Blocks
from pipeline.status import read_status
from pipeline.store.ledger import Ledger
from pipeline.verification.verify import verify
from pipeline.work.cluster import PROCESSES, dask_client


@dataclass(frozen=True)
class SumMaker:
    """A class and a number for each cell: sums of indices. Fails at one shard as long as a file is there."""

    shape: tuple[int, ...]
    begun: str
    broken: str

    def blocks(self, where: tuple[slice, ...]) -> Blocks:
        start = tuple(part.start for part in where)
        Path(self.begun, "-".join(map(str, start))).touch()
        if start == (6, 0) and Path(self.broken).exists():
            raise OSError(5, "Input/output error")
        index = np.indices(self.shape)[(slice(None), *where)]
        total = index.sum(axis=0)
        return {
            "even": (total % 2).astype(np.uint8),
            "total": total.astype(np.float32),
            "first": index[0, ..., 0] * 1.0,
        }


@pytest.fixture
def dataset(make_segy: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    made = make_segy(keep=lambda inline, crossline: (inline, crossline) != (104, 303))
    recipe = load_recipe(
        name="survey", paths=(str(made.path),), out=str(tmp_path / "survey.zarr"), chunk_nbytes=1024, shard_nbytes=8192
    )
    return convert(recipe, client=client, catalog=Catalog())


Derive = Callable[..., Entry]


@pytest.fixture
def derive_it(dataset: Entry, client: Client, tmp_path: Path) -> Derive:
    """A function that derives sums; it fails at one shard where ``broken`` is in the folder."""
    grid = DatasetGrid(dataset)
    (tmp_path / "begun").mkdir()

    def prepare(url: str) -> Made:
        common: dict[str, Any] = {"dims": grid.main.dims, "chunks": grid.chunks}
        label = ArrayDesign(
            name="even",
            role=Role.CLASS_LABEL,
            dtype="uint8",
            fill=255,
            long_name="even or odd",
            classes={0: "even", 1: "odd"},
            **common,
        )
        target = ArrayDesign(name="total", role=Role.TARGET, dtype="float32", long_name="sum of indices", **common)
        field = FieldDesign(
            name="first",
            dims=grid.trace_dims,
            shape=grid.main.shape[:-1],
            dtype="float64",
            fill=np.nan,
            long_name="row",
        )
        design = GroupDesign(chunks=grid.chunks, arrays=(label, target), fields=(field,), task_dims=2)
        return Made(design, SumMaker(grid.main.shape, str(tmp_path / "begun"), str(tmp_path / "broken")))

    def derive_sums(derived_id: str = "sums", *, client: Client = client, plan: Any = 1, **conduct: Any) -> Entry:
        derivation = Derivation("survey", derived_id, "label", {"of": plan}, prepare)
        return derive(derivation, client=client, catalog=Catalog(), conduct=RunConduct(**conduct))

    return derive_sums


def check(entry: Entry, derived_id: str = "sums") -> None:
    """Sees that all values, and all that is told of them, are those of the indices."""
    assert check_store(entry) == []
    url = f"{entry.url}/{layout.derived_path(derived_id)}"
    found = xr.open_zarr(url, mask_and_scale=False).load()
    live = xr.open_zarr(entry.url)["live"].values
    index = np.indices(found["total"].shape)
    np.testing.assert_array_equal(found["total"].values, index.sum(axis=0))
    np.testing.assert_array_equal(found["even"].values, np.where(live[..., None], index.sum(axis=0) % 2, 255))
    np.testing.assert_array_equal(found["first"].values, index[0, ..., 0])
    chunk_shape = entry.derived[derived_id].variables["total"].chunk_shape
    manifest = {name: xr.open_zarr(f"{url}/manifest/{name}", consolidated=False) for name in ("even", "total")}
    for chunk in np.ndindex(manifest["total"]["count"].shape):
        where = tuple(slice(i * n, (i + 1) * n) for i, n in zip(chunk, chunk_shape, strict=True))
        is_live, values = live[where[:-1]], found["total"].values[where]
        assert manifest["total"]["count"].values[chunk] == values[is_live].size
        assert manifest["total"]["mean"].values[chunk] == pytest.approx(values[is_live].mean())
        assert manifest["total"]["maximum"].values[chunk] == values[is_live].max()
        assert manifest["total"]["histogram"].values[chunk].sum() == values[is_live].size
        counts = np.bincount(found["even"].values[where][is_live].reshape(-1), minlength=256)
        np.testing.assert_array_equal(manifest["even"]["class_counts"].values[chunk], counts)


def test_a_group_holds_what_its_maker_computes(derive_it: Derive, dataset: Entry) -> None:
    entry = derive_it()
    check(entry)
    assert entry.derived["sums"].provenance == {"of": 1}
    assert not Path(dataset.url, "derived/sums", layout.LEDGER).exists()


def test_worker_processes_write_the_same(derive_it: Derive) -> None:
    with dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as processes:
        check(derive_it(client=processes))


def test_a_group_goes_on_where_it_failed(derive_it: Derive, dataset: Entry, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(WorkError, match=r"1 of 4 shards could not be written and are in quarantine.*Input/output"):
        derive_it()
    assert "sums" not in Catalog().read("survey").derived
    for begun in (tmp_path / "begun").iterdir():
        begun.unlink()
    (tmp_path / "broken").unlink()
    check(derive_it(retry_failed=True))
    assert [path.name for path in (tmp_path / "begun").iterdir()] == ["6-0"]


def test_status_tells_of_groups_that_are_not_finished(derive_it: Derive, dataset: Entry, tmp_path: Path) -> None:
    """Of those that failed with what failed; of those that are published, and of what nobody says anything of, not."""
    assert derive_it("done").derived.keys() == {"done"}
    (Path(dataset.url) / "derived/nobodys").mkdir()
    (tmp_path / "broken").touch()
    with pytest.raises(WorkError, match="`python -m pipeline status survey` lists them"):
        derive_it()
    found = read_status("survey", catalog=Catalog())
    (group,) = found["unfinished"]
    assert (group["name"], group["state"], group["writer"]) == ("derived/sums", "stopped", None)
    assert (group["shards"], group["completed"], len(group["failures"])) == (4, 3, 1)
    told = CliRunner().invoke(app, ["status", "survey"], catch_exceptions=False).output
    assert "derived/sums: stopped" in told
    assert "3 of 4 shards (75%)\n" in told
    assert "Input/output error" in told
    (tmp_path / "broken").unlink()
    derive_it(retry_failed=True)
    assert read_status("survey", catalog=Catalog())["unfinished"] == []


def test_status_knows_who_writes_a_group_before_there_is_anything(derive_it: Derive, dataset: Entry) -> None:
    url = f"{dataset.url}/derived/sums"
    with hold_lease(url, purpose="label survey sums"):
        begin_group(url, {"of": 1}, removal="...")
        (group,) = read_status("survey", catalog=Catalog())["unfinished"]
        assert (group["state"], group["writer"]["pid"], group["shards"]) == ("running", os.getpid(), None)
        assert "nothing is written yet" in CliRunner().invoke(app, ["status", "survey"], catch_exceptions=False).output


def test_a_group_that_was_begun_otherwise_is_left_alone(derive_it: Derive, dataset: Entry, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with pytest.raises(WorkError):
        derive_it()
    done = Ledger(f"{dataset.url}/derived/sums").completed()
    with pytest.raises(InputError, match="was begun otherwise, with another of: give the same options"):
        derive_it(plan=2)
    assert Ledger(f"{dataset.url}/derived/sums").completed() == done
    assert Catalog().remove_derived("survey", "sums")
    (tmp_path / "broken").unlink()
    check(derive_it(plan=2))


def test_what_lies_there_unknown_is_left_alone(derive_it: Derive, dataset: Entry) -> None:
    folder = Path(dataset.url) / "derived/sums"
    folder.mkdir(parents=True)
    (folder / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group"}))
    with pytest.raises(InputError, match="exists, but the entry does not know it"):
        derive_it()
    assert (folder / "zarr.json").exists()


def test_two_groups_of_one_dataset(derive_it: Derive) -> None:
    derive_it("one")
    entry = derive_it("two")
    assert list(entry.derived) == ["one", "two"]
    check(entry, "one")


@pytest.mark.parametrize("derived_id", ["../escape", ".hidden", "", "a/b"])
def test_an_id_that_is_no_name_is_refused(derive_it: Derive, derived_id: str) -> None:
    with pytest.raises(InputError, match="is no name for a derived group"):
        derive_it(derived_id)


def test_a_group_is_verified_with_its_dataset(derive_it: Derive, dataset: Entry, client: Client) -> None:
    derive_it()
    found = verify("survey", catalog=Catalog(), client=client)
    assert (found.finding_count, found.shard_count) == (0, 12)
    path = next((Path(dataset.url) / "derived/sums/total/c").rglob("0/0/0"))
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    found = verify("survey", catalog=Catalog(), client=client, with_source=False)
    assert [(finding.variable, finding.code) for finding in found.findings] == [
        ("derived/sums/total", "checksum-differs")
    ]
