"""Surveys that are no stacks, from files to stores and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from data_catalog import Catalog, Entry, InputError
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.recipe import load_recipe
from pipeline.verification.verify import verify

Convert = Callable[..., tuple[Entry, xr.Dataset]]
CHANNELS, SAMPLES = 6, 200


@pytest.fixture
def convert_files(client: Client, catalog_folder: Path, tmp_path: Path) -> Convert:
    """A function that converts files, deletes them, and sees that they come back."""

    def convert_them(*paths: Path, **options: Any) -> tuple[Entry, xr.Dataset]:
        recipe = load_recipe(name="x", paths=tuple(map(str, paths)), out=str(tmp_path / "x.zarr"), **options)
        entry = convert(recipe, client=client, catalog=Catalog())
        assert verify("x", catalog=Catalog(), client=client).finding_count == 0
        contents = {path.name: path.read_bytes() for path in paths}
        for path in paths:
            path.unlink()
        out = tmp_path / "again" if len(paths) > 1 else tmp_path / "again" / paths[0].name
        written = export("x", out=out, catalog=Catalog())
        assert {Path(path).name: Path(path).read_bytes() for path in written} == contents
        return entry, xr.open_zarr(entry.url).load()

    return convert_them


def clock(seconds: int) -> dict[str, int]:
    return {
        "year": 2026,
        "day_of_year": 1 + seconds // 86400,
        "hour": seconds // 3600 % 24,
        "minute": seconds // 60 % 60,
        "second": seconds % 60,
    }


def test_continuous_records_from_many_files(write_headers: Any, convert_files: Convert) -> None:
    """A file for each 10 s, of which one is missing and one begins too early."""
    random, starts = np.random.default_rng(0), [86340, 86350, 86360, 86380, 86387, 86397]
    values = random.normal(size=(len(starts), CHANNELS, SAMPLES)).astype(np.float32)
    paths = [
        write_headers(
            f"{number:02d}.sgy", samples=block, interval_us=50_000, channel=np.arange(1, CHANNELS + 1), **clock(start)
        )
        for number, (start, block) in enumerate(zip(starts, values, strict=True))
    ]
    order = [3, 0, 1, 2, 5, 4]
    entry, dataset = convert_files(*(paths[number] for number in order))
    assert (entry.kind, dict(dataset["amplitude"].sizes)) == ("passive", {"record": 6, "receiver": 6, "time": 200})
    np.testing.assert_array_equal(dataset["amplitude"].values, values)
    begins = np.datetime64("2026-01-01T00:00:00") + np.array(starts).astype("timedelta64[s]")
    np.testing.assert_array_equal(dataset["record"].values, begins)
    one = dataset["amplitude"].sel(record="2026-01-01T23:59:20", receiver=3)
    np.testing.assert_array_equal(one.values, values[2, 2])
    told = " ".join(entry.warnings)
    assert "1 gaps between records of 10 s, by up to 10 s; the first after 2026-01-01T23:59:20" in told
    assert "1 records overlap the next one of 10 s, by up to 3 s; the first after 2026-01-01T23:59:40" in told


def test_shots_of_moving_spreads_are_found_by_their_numbers(write_headers: Any, convert_files: Convert) -> None:
    cells = np.array([(shot, channel) for shot in range(10) for channel in range(50 * shot, 50 * shot + 12)])
    values = np.random.default_rng(0).normal(size=(120, 30)).astype(np.float32)
    path = write_headers(samples=values, shot=cells[:, 0], channel=cells[:, 1], offset=cells[:, 1] * 5 + 3)
    entry, dataset = convert_files(path)
    assert (entry.kind, dataset["amplitude"].dims) == ("shots", ("trace", "time"))
    indexed = dataset.set_index(trace=["shot", "channel"])
    np.testing.assert_array_equal(indexed["amplitude"].sel(shot=4).values, values[48:60])
    np.testing.assert_array_equal(dataset["offset"].values, cells[:, 1] * 5 + 3)


def test_volumes_of_other_shots_are_refused(
    write_headers: Any, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    cells = np.array([(shot, channel) for shot in range(10) for channel in range(50 * shot, 50 * shot + 12)])
    main, far = (
        write_headers(name, shot=order[:, 0], channel=order[:, 1], offset=order[:, 1] * 5 + 3)
        for name, order in (("main.sgy", cells), ("far.sgy", cells[::-1]))
    )
    options = {"volumes": {"far": (str(far),)}, "out": str(tmp_path / "x.zarr")}
    recipe = load_recipe(name="x", paths=(str(main),), **options)
    with pytest.raises(InputError, match=r"'far' .* trace 0 has shot 9, and the survey's has 0"):
        convert(recipe, client=client, catalog=Catalog())
    assert Catalog().names() == []


def test_gathers_in_any_order(write_headers: Any, convert_files: Convert) -> None:
    cells = np.array([(i, x, o) for i in (3, 4, 5) for x in range(70, 78) for o in (100, 250, 300)])
    values = np.random.default_rng(0).normal(size=(len(cells), 40)).astype(np.float32)
    order = np.random.default_rng(1).permutation(len(cells))
    shuffled = cells[order]
    path = write_headers(
        samples=values[order],
        inline=shuffled[:, 0],
        crossline=shuffled[:, 1],
        offset=shuffled[:, 2],
        cdp_x=shuffled[:, 1],
    )
    entry, dataset = convert_files(path, chunk_nbytes=2048, shard_nbytes=4096)
    assert (entry.kind, dataset["amplitude"].shape) == ("gathers", (3, 8, 3, 40))
    np.testing.assert_array_equal(dataset["amplitude"].values.reshape(len(cells), -1), values)
    assert dataset["offset"].values.tolist() == [100, 250, 300]


def test_a_file_that_was_cut_off_among_others(write_headers: Any, convert_files: Convert) -> None:
    """Its last trace lies in the middle of the survey."""
    values = np.random.default_rng(0).normal(size=(3, 8, 50)).astype(np.float32)
    paths = [
        write_headers(f"{name}.sgy", samples=block, inline=10 + number, crossline=np.arange(8))
        for number, (name, block) in enumerate(zip("abc", values, strict=True))
    ]
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    entry, dataset = convert_files(*paths)
    assert (entry.kind, entry.fates) == ("stack3d", {"kept": 23, "truncated": 1})
    found = dataset["amplitude"].values
    np.testing.assert_array_equal(found[[0, 2]], values[[0, 2]])
    np.testing.assert_array_equal(found[1, 7, :25], values[1, 7, :25])
    assert not found[1, 7, 25:].any()
    assert np.argwhere(dataset["fate"].values == 3).tolist() == [[1, 7]]
