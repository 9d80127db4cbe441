"""``convert --plan``: what it tells is what a conversion then does, and nothing of it stays."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from rich.console import Console

from data_catalog import Catalog, InputError, layout
from pipeline.convert import Conduct, convert
from pipeline.dry_run import dry_run, print_dry_run
from pipeline.recipe import ConvertRecipe, load_recipe

SHAPE = "inlines=24,crosslines=18,samples=50,first_inline=1"
SIZES = {"chunk_nbytes": 4096, "shard_nbytes": 20_000}


def recipe(folder: Path, values: str = "order=inline", **options: Any) -> ConvertRecipe:
    url = f"rehearsal://{SHAPE},{values}/survey.sgy"
    return load_recipe(name="x", paths=(url,), out=str(folder / "x.zarr"), **{**SIZES, **options})


@pytest.mark.parametrize(
    ("values", "scan", "order"),
    [
        ("order=inline", "sample", "line by line"),
        ("order=crossline", "sample", "line by line"),
        ("order=random,seed=3", "sample", "indexed"),
        ("order=inline", "full", "indexed"),
    ],
)
def test_what_is_planned_is_what_is_done(client: Client, tmp_path: Path, values: str, scan: Any, order: str) -> None:
    catalog, conduct = Catalog(tmp_path / "catalog"), Conduct(header_scan=scan)
    planned = dry_run(recipe(tmp_path / "a/b", values), client=client, catalog=catalog, conduct=conduct)
    assert not (tmp_path / "a").exists(), "nor the folders above it"
    planned = dry_run(recipe(tmp_path, values), client=client, catalog=catalog, conduct=conduct)
    assert not (tmp_path / "x.zarr").exists()
    assert catalog.names() == []
    assert json.loads(json.dumps(planned)) == planned
    entry = convert(recipe(tmp_path, values), client=client, catalog=catalog, conduct=conduct)
    main = entry.variables["amplitude"]
    assert (planned["kind"], planned["sizes"]) == (entry.kind, dict(zip(main.dims, main.shape, strict=True)))
    assert tuple(planned["chunk_shape"]) == main.chunk_shape
    assert tuple(planned["shard_shape"]) == main.shard_shape
    shards = [path for path in (tmp_path / "x.zarr/amplitude/c").rglob("*") if path.is_file()]
    assert planned["shards"] == len(shards)
    assert sum(path.stat().st_size for path in shards) <= planned["stored_nbytes_at_most"]
    assert planned["variables"]["amplitude"]["order"] == order
    assert planned["variables"]["amplitude"]["traces"] == 24 * 18


def test_people_read_it_as_tables(client: Client, tmp_path: Path) -> None:
    planned = dry_run(recipe(tmp_path), client=client, catalog=Catalog(tmp_path / "catalog"), conduct=Conduct())
    said = io.StringIO()
    print_dry_run(planned, console=Console(file=said, width=200))
    for words in ("x: stack3d (inline 24, crossline 18", f"{planned['shards']} shards", "chosen", "a task;", "about"):
        assert words in said.getvalue()


def test_a_plan_that_does_not_fit_the_memory_is_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give it more with --memory, or ask for smaller shards"):
        dry_run(
            load_recipe(
                name="x",
                paths=("rehearsal://inlines=90000,crosslines=50000,samples=4000/survey.sgy",),
                out=str(tmp_path / "x.zarr"),
                shard_nbytes=2**40,
            ),
            client=client,
            catalog=Catalog(tmp_path / "catalog"),
            conduct=Conduct(),
        )
    assert not (tmp_path / "x.zarr").exists()


def test_a_name_that_is_taken_is_refused_as_a_conversion_would(client: Client, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog")
    convert(recipe(tmp_path), client=client, catalog=catalog)
    with pytest.raises(InputError, match="already has a dataset named 'x'"):
        dry_run(recipe(tmp_path), client=client, catalog=catalog, conduct=Conduct())


def test_what_a_killed_plan_left_is_in_nobodys_way(client: Client, tmp_path: Path) -> None:
    left = tmp_path / "x.zarr" / layout.WORK_GROUP / ".dry-run-4711" / "index"
    left.mkdir(parents=True)
    catalog, conduct = Catalog(tmp_path / "catalog"), Conduct(header_scan="full")
    dry_run(recipe(tmp_path), client=client, catalog=catalog, conduct=conduct)
    assert left.exists()
    convert(recipe(tmp_path), client=client, catalog=catalog, conduct=conduct)
    assert not (tmp_path / "x.zarr" / layout.WORK_GROUP).exists()


def test_a_petabyte_is_planned_in_a_moment(client: Client, tmp_path: Path) -> None:
    planned = dry_run(
        load_recipe(
            name="x",
            paths=("rehearsal://inlines=246000,crosslines=245000,samples=4096/survey.sgy",),
            out=str(tmp_path / "x.zarr"),
        ),
        client=client,
        catalog=Catalog(tmp_path / "catalog"),
        conduct=Conduct(),
    )
    assert planned["variables"]["amplitude"]["source_nbytes"] > 10**15
    assert planned["variables"]["amplitude"]["order"] == "line by line"
    assert planned["shards"] > 5_000_000
