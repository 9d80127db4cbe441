"""What becomes of traces that share a cell, lie far off, or hold no numbers; and the way back to the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from data_catalog import Catalog, Entry, InputError, layout
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.plan import costs
from pipeline.recipe import load_recipe
from pipeline.verification.verify import verify

INLINES, CROSSLINES, SAMPLES = 12, 10, 40
REPEATED = {120: 7, 121: 55, 122: 7}
"""Traces at the end of the file, and those whose cell they repeat."""

Make = Callable[..., tuple[Entry, xr.Dataset]]


@pytest.fixture
def samples() -> np.ndarray:
    values = np.random.default_rng(1).normal(size=(INLINES * CROSSLINES + len(REPEATED), SAMPLES))
    return values.astype(np.float32)


@pytest.fixture
def make(write_headers: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Make:
    """A function that converts a grid with repeated traces, and sees that it leads back to its file."""

    def convert_it(
        samples: np.ndarray, *, change: Any = None, cut: int = 0, shuffle: bool = False, **options: Any
    ) -> tuple[Entry, xr.Dataset]:
        cells = [(number // CROSSLINES, number % CROSSLINES) for number in range(INLINES * CROSSLINES)]
        cells += [cells[number] for number in REPEATED.values()]
        words = {"inline": np.array([i for i, _ in cells]) + 500, "crossline": np.array([x for _, x in cells]) + 70}
        if change is not None:
            change(words)
        order = np.random.default_rng(5).permutation(len(samples)) if shuffle else np.arange(len(samples))
        path = write_headers(samples=samples[order], **{name: values[order] for name, values in words.items()})
        path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
        settings = {"chunk_nbytes": 4096, "shard_nbytes": 8192} | options
        recipe = load_recipe(name="made", paths=(str(path),), out=str(tmp_path / "made.zarr"), **settings)
        entry = convert(recipe, client=client, catalog=Catalog())
        assert verify("made", catalog=Catalog(), client=client).finding_count == 0
        content = path.read_bytes()
        path.rename(tmp_path / "away.sgy")
        (written,) = export("made", out=tmp_path / "again.sgy", catalog=Catalog())
        assert written.read_bytes() == content
        return entry, xr.open_zarr(entry.url).load()

    return convert_it


def test_the_first_of_several_traces_is_kept(make: Make, samples: np.ndarray) -> None:
    entry, dataset = make(samples)
    assert (entry.kind, entry.fates) == ("stack3d", {"kept": 120, "repeated": 3})
    assert any("3 traces repeat the inline and crossline of another one" in text for text in entry.warnings)
    np.testing.assert_array_equal(dataset["amplitude"].values.reshape(120, -1), samples[:120])
    assert (dataset["fate"] == layout.KEPT).all()


def test_the_last_of_several_traces_is_kept(make: Make, samples: np.ndarray) -> None:
    entry, dataset = make(samples, duplicates="last")
    expected = samples[:120].copy()
    expected[7], expected[55] = samples[122], samples[121]
    np.testing.assert_array_equal(dataset["amplitude"].values.reshape(120, -1), expected)
    assert dataset["trace_number"].values.reshape(-1)[[7, 55, 8]].tolist() == [122, 121, 8]
    assert entry.fates == {"kept": 120, "repeated": 3}


def test_the_mean_of_several_traces_is_kept(make: Make, samples: np.ndarray) -> None:
    entry, dataset = make(samples, duplicates="mean")
    expected = samples[:120].astype(np.float64)
    expected[7] = samples[[7, 120, 122]].astype(np.float64).mean(axis=0)
    expected[55] = samples[[55, 121]].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(dataset["amplitude"].values.reshape(120, -1), expected, rtol=1e-6)
    fates = dataset["fate"].values.reshape(-1)
    assert np.flatnonzero(fates == layout.AVERAGED).tolist() == [7, 55]
    assert entry.fates == {"kept": 118, "averaged": 2, "repeated": 3}


def test_several_traces_along_a_dimension(make: Make, samples: np.ndarray) -> None:
    entry, dataset = make(samples, duplicates="dimension")
    assert dataset["amplitude"].dims == ("inline", "crossline", "duplicate", "time")
    found = dataset["amplitude"].values.reshape(120, 3, -1)
    np.testing.assert_array_equal(found[:, 0], samples[:120])
    np.testing.assert_array_equal(found[7, 1:], samples[[120, 122]])
    np.testing.assert_array_equal(found[55, 1], samples[121])
    assert not dataset["live"].values.reshape(120, 3)[55, 2]
    assert entry.fates == {"kept": 123}


@pytest.mark.parametrize("policy", ["first", "last", "mean"])
def test_a_whole_trace_is_preferred_to_one_that_was_cut_off(make: Make, samples: np.ndarray, policy: str) -> None:
    """The last trace of the file, of which half is missing, repeats the eighth."""
    entry, dataset = make(samples, cut=100, duplicates=policy)
    found = dataset["amplitude"].values.reshape(120, -1)
    expected = {"first": samples[7], "last": samples[120], "mean": samples[[7, 120]].astype(float).mean(axis=0)}
    np.testing.assert_allclose(found[7], expected[policy], rtol=1e-6)
    assert entry.fates["repeated"] == 3
    assert "truncated" not in entry.fates


@pytest.mark.parametrize("policy", ["first", "mean", "dimension"])
def test_repeats_in_a_file_without_order(make: Make, samples: np.ndarray, policy: str, monkeypatch: Any) -> None:
    """Its traces are sorted by shard first, where headers tell the shard."""
    monkeypatch.setattr(costs, "SORT_RELUCTANCE", 0)
    entry, dataset = make(samples, duplicates=policy, shuffle=True)
    assert sum(entry.fates.values()) == 123
    if policy == "first":
        stored = dataset["amplitude"].values.reshape(120, -1)
        assert {tuple(row[:3]) for row in stored.tolist()} <= {tuple(row[:3]) for row in samples.tolist()}


def test_no_traces_share_a_cell_along_a_dimension(make: Make, samples: np.ndarray) -> None:
    def change(words: dict[str, Any]) -> None:
        for row, (inline, crossline) in zip((120, 121, 122), ((512, 70), (512, 71), (512, 72)), strict=True):
            words["inline"][row], words["crossline"][row] = inline, crossline

    entry, dataset = make(samples, change=change, duplicates="dimension")
    assert dataset["amplitude"].dims == ("inline", "crossline", "time")
    assert entry.fates == {"kept": 123}


def test_a_mean_of_traces_that_hold_no_numbers(make: Make, samples: np.ndarray) -> None:
    samples[120, 5] = np.nan
    entry, _ = make(samples, duplicates="mean")
    assert entry.fates == {"kept": 118, "averaged": 2, "repeated": 3}
    assert np.isnan(xr.open_zarr(entry.url)["amplitude"].values.reshape(120, -1)[7, 5])


def test_a_rounded_dataset_keeps_traces_without_a_cell(
    write_headers: Any, client: Client, catalog_folder: Path, tmp_path: Path, samples: np.ndarray
) -> None:
    cells = [(n // CROSSLINES, n % CROSSLINES) for n in [*range(120), *REPEATED.values()]]
    path = write_headers(samples=samples, inline=[i for i, _ in cells], crossline=[x for _, x in cells])
    out = str(tmp_path / "x.zarr")
    convert(load_recipe(name="x", paths=(str(path),), out=out, significant_bits=12), client=client, catalog=Catalog())
    (written,) = export("x", out=tmp_path / "again.sgy", catalog=Catalog())
    assert Path(written).read_bytes()[-3 * 400 :] == path.read_bytes()[-3 * 400 :]


def test_a_box_holds_what_the_store_shows(make: Make, samples: np.ndarray, tmp_path: Path) -> None:
    _, dataset = make(samples, duplicates="mean")
    (written,) = export("made", out=tmp_path / "part.sgy", catalog=Catalog(), box="inline:500:500")
    found = np.frombuffer(Path(written).read_bytes()[3600:], np.uint8).reshape(10, -1)[:, 240:]
    stored = np.ascontiguousarray(found).view(">f4")
    np.testing.assert_array_equal(stored, dataset["amplitude"].values[0])


def test_several_traces_are_refused_on_request(make: Make, samples: np.ndarray) -> None:
    with pytest.raises(InputError, match="3 traces repeat the inline and crossline of another one, and --duplicates"):
        make(samples, duplicates="fail")
    assert Catalog().names() == []


def test_traces_far_off_have_no_cell(make: Make, samples: np.ndarray) -> None:
    def change(words: dict[str, Any]) -> None:
        words["inline"][33] = 0

    entry, dataset = make(samples, change=change)
    assert entry.fates == {"kept": 119, "repeated": 3, "outside": 1}
    assert dataset["amplitude"].shape == (INLINES, CROSSLINES, SAMPLES)
    assert not dataset["live"].values.reshape(-1)[33]


@pytest.mark.parametrize("is_sorted_first", [False, True])
def test_auxiliary_traces_have_no_cell(
    make: Make, samples: np.ndarray, is_sorted_first: bool, monkeypatch: Any
) -> None:
    """Each of three shots begins with a sweep on the number of the first channel."""
    if is_sorted_first:
        monkeypatch.setattr(costs, "SORT_RELUCTANCE", 0)

    def change(words: dict[str, Any]) -> None:
        words.clear()
        words["shot"] = np.repeat([101, 102, 103], 41)
        words["channel"] = np.tile([1, *range(1, 41)], 3)
        words["bytes_29_to_30"] = np.tile([6] + 40 * [1], 3)
        words["offset"] = 25 * words["channel"]

    entry, dataset = make(samples, change=change, shuffle=is_sorted_first)
    assert (entry.kind, entry.fates) == ("shots", {"kept": 120, "auxiliary": 3})
    assert any("3 traces are auxiliary" in text for text in entry.warnings)
    np.testing.assert_array_equal(dataset["amplitude"].values, samples.reshape(3, 41, SAMPLES)[:, 1:])


def test_auxiliary_traces_of_each_variable_have_no_cell(
    write_headers: Any, client: Client, catalog_folder: Path, tmp_path: Path, samples: np.ndarray
) -> None:
    words = {"shot": np.repeat([101, 102, 103], 41), "channel": np.tile([1, *range(1, 41)], 3)}
    words |= {"bytes_29_to_30": np.tile([6] + 40 * [1], 3), "offset": 25 * words["channel"]}
    near = write_headers("near.sgy", samples=samples, **words)
    far = write_headers("far.sgy", samples=-samples, **words)
    out = str(tmp_path / "x.zarr")
    recipe = load_recipe(name="x", paths=(str(near),), out=out, volumes={"far": (str(far),)})
    convert(recipe, client=client, catalog=Catalog())
    assert verify("x", catalog=Catalog(), client=client).finding_count == 0
    np.testing.assert_array_equal(xr.open_zarr(out)["far"].values, -samples.reshape(3, 41, SAMPLES)[:, 1:])
    (written,) = export("x", out=tmp_path / "again.sgy", variable="far", catalog=Catalog())
    assert written.read_bytes() == far.read_bytes()


@pytest.mark.parametrize("policy", ["salvage", "drop"])
def test_traces_that_hold_no_numbers(make: Make, samples: np.ndarray, policy: str) -> None:
    samples[14, 3], samples[90, 39] = np.nan, -np.inf
    entry, dataset = make(samples, bad_traces=policy)
    found = dataset["amplitude"].values.reshape(120, -1)
    expected = samples[:120].copy()
    if policy == "drop":
        expected[[14, 90]] = 0
    np.testing.assert_array_equal(found, expected)
    fate = layout.DROPPED if policy == "drop" else layout.NONFINITE
    assert np.flatnonzero(dataset["fate"].values.reshape(-1) == fate).tolist() == [14, 90]
    assert np.flatnonzero(~dataset["live"].values.reshape(-1)).tolist() == ([14, 90] if policy == "drop" else [])
    assert entry.fates == {"kept": 118, layout.FATES[fate]: 2, "repeated": 3}
    assert any("NaN or infinite" in text for text in entry.warnings)


def test_traces_that_hold_no_numbers_are_refused_on_request(make: Make, samples: np.ndarray) -> None:
    samples[14, 3] = np.nan
    with pytest.raises(InputError, match="has 1 traces with samples that are NaN or infinite, and --bad"):
        make(samples, bad_traces="fail")


def test_lost_traces_without_a_cell_are_found(make: Make, samples: np.ndarray, client: Client, tmp_path: Path) -> None:
    entry, _ = make(samples)
    (tmp_path / "away.sgy").rename(tmp_path / "headers.sgy")
    (Path(entry.url) / layout.repeated_path("amplitude") / "c/0/0").unlink()
    found = verify("made", catalog=Catalog(), client=client)
    assert [finding.code for finding in found.findings] == ["trace-differs"]
