"""Appending: a dataset to which files are added shares unchanged shards, and equals one made of all files."""

import filecmp
import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
from distributed import Client

from data_catalog import Catalog, Entry, InputError
from pipeline.convert import Conduct, convert
from pipeline.recipe import HeaderBytes, extended_recipe, load_recipe

SIZES = {"chunk_nbytes": 4096, "shard_nbytes": 20_000}


def objects(url: str) -> dict[str, Path]:
    return {str(path.relative_to(url)): path for path in Path(url).rglob("*") if path.is_file()}


def extend(entry: Entry, *paths: Path, name: str, client: Client, tmp_path: Path) -> Entry:
    asked = load_recipe(paths=tuple(map(str, paths)), name=name, out=str(tmp_path / f"{name}.zarr"))
    recipe = extended_recipe(entry, asked)
    return convert(recipe, client=client, catalog=Catalog(), conduct=Conduct(extends=entry))


@pytest.mark.parametrize("first_inline", [124, 76, 132], ids=["behind", "in front", "with a gap"])
def test_extended_equals_made_at_once(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, first_inline: int
) -> None:
    first = make_segy("a.sgy", first_inline=100)
    second = make_segy("b.sgy", first_inline=first_inline, volume=2 * first.volume)
    old = convert(
        load_recipe(name="old", paths=(str(first.path),), out=str(tmp_path / "old.zarr"), **SIZES),
        client=client,
        catalog=Catalog(),
    )
    before = {name: path.read_bytes() for name, path in objects(old.url).items()}
    new = extend(old, second.path, name="new", client=client, tmp_path=tmp_path)
    dataset = xr.open_zarr(new.url)
    np.testing.assert_array_equal(dataset["amplitude"].sel(inline=first.inlines), first.volume)
    np.testing.assert_array_equal(dataset["amplitude"].sel(inline=second.inlines), second.volume)
    assert {name: path.read_bytes() for name, path in objects(old.url).items()} == before

    chunks = new.variables["amplitude"]
    full = convert(
        load_recipe(
            name="all",
            paths=(str(first.path), str(second.path)),
            out=str(tmp_path / "all.zarr"),
            **SIZES,
        ),
        client=client,
        catalog=Catalog(),
    )
    if full.variables["amplitude"].shard_shape == chunks.shard_shape:
        ours, theirs = objects(new.url), objects(full.url)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not filecmp.cmp(ours[name], theirs[name], shallow=False)] == []


def test_whole_shards_are_shared(make_segy, client: Client, catalog_folder: Path, tmp_path: Path) -> None:
    first = make_segy("a.sgy", first_inline=100)
    second = make_segy("b.sgy", first_inline=124, volume=2 * first.volume)
    recipe = load_recipe(name="old", paths=(str(first.path),), out=str(tmp_path / "old.zarr"), **SIZES)
    old = convert(recipe, client=client, catalog=Catalog())
    new = extend(old, second.path, name="new", client=client, tmp_path=tmp_path)
    shared = [
        name for name, path in objects(new.url).items() if name.startswith("amplitude/c/") and path.stat().st_nlink > 1
    ]
    length = old.variables["amplitude"].shard_shape[0]
    assert len({name.split("/")[2] for name in shared}) == 12 // length >= 1
    Catalog().remove("old")
    np.testing.assert_array_equal(xr.open_zarr(new.url)["amplitude"][:12], first.volume)


def test_a_file_that_changed_since_is_not_taken_over(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = make_segy("a.sgy", first_inline=100)
    second = make_segy("b.sgy", first_inline=124)
    recipe = load_recipe(name="old", paths=(str(first.path),), out=str(tmp_path / "old.zarr"), **SIZES)
    old = convert(recipe, client=client, catalog=Catalog())
    changed = make_segy("a.sgy", first_inline=100, volume=3 * first.volume)  # same size, same headers
    os.utime(changed.path, ns=(0, 0))
    new = extend(old, second.path, name="new", client=client, tmp_path=tmp_path)
    np.testing.assert_array_equal(xr.open_zarr(new.url)["amplitude"].sel(inline=changed.inlines), changed.volume)
    assert "may have changed since 'old' was made of it" in " ".join(capsys.readouterr().err.split())


def test_a_dataset_that_lost_a_shard_is_not_extended(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    first = make_segy("a.sgy", first_inline=100)
    second = make_segy("b.sgy", first_inline=124)
    recipe = load_recipe(name="old", paths=(str(first.path),), out=str(tmp_path / "old.zarr"), **SIZES)
    old = convert(recipe, client=client, catalog=Catalog())
    (tmp_path / "old.zarr/amplitude/c/0/0/0").unlink()
    with pytest.raises(InputError, match="lost its shard"):
        extend(old, second.path, name="new", client=client, tmp_path=tmp_path)
    assert Catalog().names() == ["old"]


def test_shards_are_copied_into_another_kind_of_storage(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    first = make_segy("a.sgy", first_inline=100)
    second = make_segy("b.sgy", first_inline=124, volume=2 * first.volume)
    recipe = load_recipe(name="old", paths=(str(first.path),), out=str(tmp_path / "old.zarr"), **SIZES)
    old = convert(recipe, client=client, catalog=Catalog())
    asked = load_recipe(paths=(str(second.path),), name="new", out="memory://extended/new.zarr")
    new = convert(extended_recipe(old, asked), client=client, catalog=Catalog(), conduct=Conduct(extends=old))
    dataset = xr.open_zarr(new.url)
    np.testing.assert_array_equal(dataset["amplitude"].sel(inline=first.inlines), first.volume)
    np.testing.assert_array_equal(dataset["amplitude"].sel(inline=second.inlines), second.volume)
    fsspec.filesystem("memory").rm("/extended", recursive=True)


def test_header_positions_are_those_of_the_new_files(make_segy, client: Client, tmp_path: Path) -> None:
    made = make_segy("a.sgy")
    recipe = load_recipe(name="old", paths=(str(made.path),), out=str(tmp_path / "old.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog(tmp_path))
    asked = load_recipe(paths=("b.sgy",), name="new", out="new.zarr", header_bytes={"inline": 9})
    paths = extended_recipe(entry, asked).paths
    assert [file.header_bytes for file in paths] == [None, HeaderBytes(inline=9)]


@pytest.mark.parametrize(
    "option", [{"splits": {"train": ("inline:0%:50%",)}}, {"codec": "zstd"}, {"chunk_nbytes": 4096}]
)
def test_what_the_old_dataset_decides_is_refused(make_segy, client: Client, tmp_path: Path, option: Any) -> None:
    made = make_segy("a.sgy")
    recipe = load_recipe(name="old", paths=(str(made.path),), out=str(tmp_path / "old.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog(tmp_path))
    asked = load_recipe(paths=("b.sgy",), name="new", out="new.zarr", **option)
    with pytest.raises(InputError, match=f"leave {next(iter(option))} out"):
        extended_recipe(entry, asked)


def test_splits_in_shares_stay_on_the_lines_that_they_were_on(
    make_segy, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    first, second = make_segy("a.sgy", first_inline=100), make_segy("b.sgy", first_inline=124)
    splits = {"train": ("inline:0%:50%,time:0%:40%",), "test": ("inline:75%:100%",)}
    recipe = load_recipe(name="old", paths=(str(first.path),), out=str(tmp_path / "old.zarr"), splits=splits)
    old = convert(recipe, client=client, catalog=Catalog())
    new = extend(old, second.path, name="new", client=client, tmp_path=tmp_path)
    assert new.sizes["inline"] == 2 * old.sizes["inline"]
    assert (
        new.splits
        == old.splits
        == {
            "train": ({"inline": (0, 6), "time": (0, 20)},),
            "test": ({"inline": (9, 12)},),
        }
    )


def test_a_file_that_the_dataset_has_is_not_added_again(make_segy, client: Client, tmp_path: Path) -> None:
    made = make_segy("a.sgy")
    recipe = load_recipe(name="old", paths=(str(made.path),), out=str(tmp_path / "old.zarr"))
    entry = convert(recipe, client=client, catalog=Catalog(tmp_path))
    asked = load_recipe(paths=(str(made.path),), name="new", out="new.zarr")
    with pytest.raises(InputError, match=r"a\.sgy: already among the files of 'old'"):
        extended_recipe(entry, asked)
