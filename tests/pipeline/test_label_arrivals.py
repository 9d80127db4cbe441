"""Picks into masks in time: from tables and from coordinates, on shots, on continuous records and on examples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from data_catalog import Catalog, Entry, InputError, check_store
from pipeline.convert import convert
from pipeline.ingest.run import ingest, load_ingest_recipe
from pipeline.label import label, load_label_recipe
from pipeline.recipe import load_recipe

Label = Callable[..., tuple[Entry, np.ndarray]]


@pytest.fixture
def label_it(client: Client, catalog_folder: Path, tmp_path: Path) -> Label:
    def label_with(text: str | None = None, **labels: Any) -> tuple[Entry, np.ndarray]:
        if text is not None:
            path = tmp_path / "picks.csv"
            path.write_text(text)
            labels["paths"] = [str(path)]
        options = {"source": "arrivals", "phases": ["P", "S"], "width": 12.0} | labels
        entry = label(load_label_recipe(name="made", id="picks", labels=options), client=client, catalog=Catalog())
        assert check_store(entry) == []
        return entry, xr.open_zarr(f"{entry.url}/derived/picks", mask_and_scale=False)["label"].values

    return label_with


def mask(shape: tuple[int, ...], picks: list[tuple[tuple[int, ...], float, int]], half: float) -> np.ndarray:
    """0, and the class of each pick within so many samples of it."""
    found = np.zeros(shape, np.uint8)
    for cell, sample, phase in picks:
        found[cell][np.abs(np.arange(shape[-1]) - sample) <= half] = phase
    return found


@pytest.fixture
def shots(write_headers: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    cells = np.array([(s, c) for s in (101, 103, 104) for c in range(1, 9)])
    samples = np.random.default_rng(1).normal(size=(24, 50)).astype(np.float32)
    path = write_headers(shot=cells[:, 0], channel=cells[:, 1], offset=cells[:, 1] * 25, samples=samples)
    recipe = load_recipe(name="made", paths=(str(path),), out=str(tmp_path / "made.zarr"), shard_nbytes=2048)
    return convert(recipe, client=client, catalog=Catalog())


def test_picks_of_shots(shots: Entry, label_it: Label) -> None:
    text = "shot, channel, phase, time\n103,2,P,41.5\n103,2,S,100\n104,8,P,0\n999,1,P,20\n101,1,P,1000\n101,1,Lg,20\n"
    entry, found = label_it(text)
    picks = [((1, 1), 41.5 / 4, 1), ((1, 1), 25, 2), ((2, 7), 0, 1)]
    np.testing.assert_array_equal(found, mask((3, 8, 50), picks, half=1.5))
    provenance = entry.derived["picks"].provenance
    assert provenance["picks"] == {"P": 2, "S": 1}
    assert provenance["skipped"] == {"other_phases": 1, "other_traces": 1, "other_times": 1}


def test_bands_beside_masks_and_unpicked_traces_are_left_out(shots: Entry, label_it: Label) -> None:
    _, found = label_it("shot,channel,phase,sample\n103,2,P,10\n", ignore_band=8, unpicked="ignore")
    expected = np.full((3, 8, 50), 255)
    expected[1, 1] = mask((50,), [((), 10, 255)], half=3.5)
    expected[1, 1][9:12] = 1
    np.testing.assert_array_equal(found, expected)


def test_picks_of_shots_in_file_order(write_headers: Any, client: Client, label_it: Label, tmp_path: Path) -> None:
    cells = np.array([(s, c) for s in range(10) for c in range(50 * s, 50 * s + 12)])
    samples = np.ones((120, 20), np.float32)
    path = write_headers(shot=cells[:, 0], channel=cells[:, 1], offset=cells[:, 1], samples=samples)
    recipe = load_recipe(name="made", paths=(str(path),), out=str(tmp_path / "made.zarr"))
    assert convert(recipe, client=client, catalog=Catalog()).variables["amplitude"].dims == ("trace", "time")
    _, found = label_it("channel,shot,phase,sample\n105,2,S,7\n")
    np.testing.assert_array_equal(found, mask((120, 20), [((29,), 7, 2)], half=1.5))


def test_picks_of_continuous_records(write_headers: Any, client: Client, label_it: Label, tmp_path: Path) -> None:
    """Records of 10 s from 23:59:00 on, over midnight."""
    begins, channels = np.repeat(86340 + 10 * np.arange(12), 5), np.tile(np.arange(1, 6), 12)
    words = {"year": 2017, "day_of_year": 261 + begins // 86400, "hour": begins // 3600 % 24}
    words |= {"minute": begins // 60 % 60, "second": begins % 60, "channel": channels}
    path = write_headers(samples=np.ones((60, 200), np.float32), interval_us=50000, **words)
    recipe = load_recipe(name="made", paths=(str(path),), out=str(tmp_path / "made.zarr"))
    assert convert(recipe, client=client, catalog=Catalog()).kind == "passive"
    text = "receiver,phase,time\n4,P,2017-09-19T00:00:13.25\n1,S,2017-09-18T23:59:00\n2,P,2017-09-19T00:02:00\n"
    entry, found = label_it(text, width=100.0)
    picks = [((7, 3), 3.25 / 0.05, 1), ((0, 0), 0.0, 2)]
    np.testing.assert_array_equal(found, mask((12, 5, 200), picks, half=1.0))
    assert entry.derived["picks"].provenance["skipped"]["other_times"] == 1  # type: ignore[index, call-overload]


def test_picks_in_coordinates_of_examples(client: Client, label_it: Label, tmp_path: Path) -> None:
    """Masks are the same for all components, and have no such dimension."""
    folder = tmp_path / "records"
    folder.mkdir()
    for row in range(6):
        s_pick = {} if row == 2 else {"its": 30 + row}
        np.savez(folder / f"{row}.npz", data=np.ones((50, 3)), itp=10 + row, **s_pick)
    np.savez(folder / "0.npz", data=np.ones((50, 3)), itp=10, its=30)
    files = {"format": "numpy", "paths": [str(folder)], "array": "data", "dims": ["time", "component"]}
    files["samples"] = {"interval": 10}
    recipe = load_ingest_recipe(name="made", out=str(tmp_path / "made.zarr"), files=files)
    ingest(recipe, client=client, catalog=Catalog())
    entry, found = label_it(coordinates={"P": "itp", "S": "its"}, width=40.0)
    assert entry.derived["picks"].variables["label"].dims == ("example", "time")
    picks = [((row,), 10 + row, 1) for row in range(6)] + [((row,), 30 + row, 2) for row in range(6) if row != 2]
    np.testing.assert_array_equal(found, mask((6, 50), picks, half=2.0))  # type: ignore[arg-type]


def test_picks_of_examples_by_name(client: Client, label_it: Label, tmp_path: Path) -> None:
    """Names are those of the files; blanks around one are none of it."""
    folder = tmp_path / "records"
    folder.mkdir()
    for name in ("NC_A_10", "NC_A_9", "NC_007"):
        np.save(folder / f"{name}.npy", np.ones(50))
    files = {"format": "numpy", "paths": [str(folder)], "dims": ["time"], "samples": {"interval": 10}}
    ingest(
        load_ingest_recipe(name="made", out=str(tmp_path / "made.zarr"), files=files), client=client, catalog=Catalog()
    )
    entry, found = label_it("name,phase,time\nNC_007 ,S,200\nNC_A_10,P,100\nNC_A,P,100\n", width=40.0)
    np.testing.assert_array_equal(found, mask((3, 50), [((0,), 20, 2), ((2,), 10, 1)], half=2.0))
    assert entry.derived["picks"].provenance["skipped"]["other_traces"] == 1  # type: ignore[index, call-overload]


def test_masks_take_both_of_their_ends(client: Client, label_it: Label, tmp_path: Path) -> None:
    """Also where a time over an interval is not exact: 0.3 / 0.1 is less than 3."""
    np.save(tmp_path / "0.npy", np.ones(50))
    files = {"format": "numpy", "paths": [str(tmp_path / "0.npy")], "dims": ["time"], "samples": {"interval": 0.1}}
    recipe = load_ingest_recipe(name="made", out=str(tmp_path / "made.zarr"), files=files)
    ingest(recipe, client=client, catalog=Catalog())
    _, found = label_it("example,phase,time\n0,P,0.3\n", width=0.4)
    assert np.flatnonzero(found[0]).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shot,channel,time\n103,2,50\n", "picks need a column phase: there are shot, channel, time"),
        ("channel,phase,time\n2,P,50\n", "picks need columns shot: there are channel, phase, time"),
        ("shot,channel,phase,time\n103,2,P,early\n", "picks hold time 'early', and numbers are expected"),
        ("shot,channel,phase,time\n103,2.5,P,50\n", "picks hold channel 2.5, and whole numbers are expected"),
        ("shot,channel,phase,time\n999,2,P,50\n", "no pick lies on 'made': 1 of other traces"),
        ("", "is no table of comma-separated values"),
    ],
)
def test_picks_that_cannot_be_used_are_refused(text: str, message: str, shots: Entry, label_it: Label) -> None:
    with pytest.raises(InputError, match=message):
        label_it(text)
    assert not (Path(shots.url) / "derived/picks").exists()


def test_picks_come_from_one_place(shots: Entry, label_it: Label) -> None:
    with pytest.raises(InputError, match="picks come from files"):
        label_it()
    with pytest.raises(InputError, match="has no coordinate nothing on shot, channel"):
        label_it(coordinates={"P": "nothing"})
