"""Runs and bands: what comes out of a sort is what sorting in memory gives, also over what a killed run left."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_catalog import InputError
from pipeline.survey.axis import Axis
from pipeline.survey.external_sort import SortedRuns, sort_runs
from pipeline.survey.header_words import HeaderWords
from pipeline.survey.repeats import CellKey
from pipeline.survey.trace_index import TraceIndex

MakeIndex = Callable[..., TraceIndex]
KEY = CellKey((Axis(name="cdp", first=-(2**31), size=2**32, long_name=""),))


def key_of(label: int) -> int:
    return label + 2**31


def records_of(runs: SortedRuns, *, band_count: int) -> list[list[tuple[int, int]]]:
    return [[record for part in runs.read(band) for record in part.tolist()] for band in range(band_count)]


labels = st.integers(-5, 5) | st.integers(-(2**31), 2**31 - 1)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cdp=st.lists(labels, min_size=1, max_size=50),
    edges=st.sets(labels, max_size=6),
    part_traces=st.integers(1, 9),
    run_traces=st.integers(1, 20),
)
def test_bands_of_all_runs_are_what_sorting_in_memory_gives(
    make_index: MakeIndex,
    tmp_path: Path,
    client: Client,
    cdp: list[int],
    edges: set[int],
    part_traces: int,
    run_traces: int,
) -> None:
    splitters = np.array([key_of(edge) for edge in sorted(edges)], np.uint64)
    expected = []
    for start in range(0, len(cdp), run_traces):
        run = cdp[start : start + run_traces]
        expected += sorted((key_of(label), number) for number, label in enumerate(run, start=start))
    with sort_runs(
        make_index(part_traces, cdp=cdp),
        KEY,
        splitters=splitters,
        scratch=str(tmp_path / "scratch"),
        client=client,
        run_traces=run_traces,
    ) as runs:
        found = records_of(runs, band_count=len(edges) + 1)
        assert runs.outside_count == 0
    bounds = [0, *splitters.tolist(), 2**32]
    for band, records in enumerate(found):
        assert all(bounds[band] <= key < bounds[band + 1] for key, _ in records)
        assert sorted(records) == sorted(record for record in expected if bounds[band] <= record[0] < bounds[band + 1])
    assert np.sort([key for band in found for key, _ in band]).tolist() == sorted(key for key, _ in expected)
    assert not list((tmp_path / "scratch").iterdir())


def test_what_a_killed_run_left_does_no_harm(make_index: MakeIndex, tmp_path: Path, client: Client) -> None:
    cdp = np.random.default_rng(4).permutation(200)
    index = make_index(16, cdp=cdp)
    splitters = np.array([key_of(50), key_of(120)], np.uint64)
    options = {"splitters": splitters, "scratch": str(tmp_path / "scratch"), "client": client, "run_traces": 48}
    with sort_runs(index, KEY, **options) as runs:
        expected = records_of(runs, band_count=3)
        shutil.copytree(runs.folder, tmp_path / "left")
    folder = Path(runs.folder)
    assert not folder.exists()
    shutil.copytree(tmp_path / "left", folder)
    (folder / "0.run").write_bytes((folder / "0.run").read_bytes()[:100])
    (folder / "1.run").write_bytes(b"\0" * 5000)
    (folder / "2.run").unlink()
    (folder / ".0.run.4711.tmp").write_bytes(b"half a run")
    with sort_runs(index, KEY, **options) as runs:
        assert Path(runs.folder) == folder
        assert records_of(runs, band_count=3) == expected
    assert not folder.exists()


class Refusing(CellKey):
    """A key that refuses the traces of a run."""

    def __call__(self, words: HeaderWords) -> tuple[np.ndarray, np.ndarray]:
        if 150 in words["cdp"]:
            raise InputError("refused on purpose")
        return super().__call__(words)


def test_a_sort_that_fails_leaves_nothing(make_index: MakeIndex, tmp_path: Path, client: Client) -> None:
    index = make_index(16, cdp=np.arange(200))
    refusing = Refusing(KEY.axes)
    with (
        pytest.raises(InputError, match="refused on purpose"),
        sort_runs(
            index,
            refusing,
            splitters=np.empty(0, np.uint64),
            scratch=str(tmp_path / "scratch"),
            client=client,
            run_traces=16,
        ),
    ):
        pass
    assert not list((tmp_path / "scratch").iterdir())
