"""Trace headers to grids: what is inferred, what is refused, and why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_catalog import InputError, Kind
from pipeline.survey.axis import Axis, SampleAxis
from pipeline.survey.geometry import Geometry, resolve_geometry
from pipeline.survey.repeats import count_repeats
from pipeline.survey.trace_index import TraceIndex

Resolve = Callable[..., Geometry]


@pytest.fixture
def resolve(make_index: Callable[..., TraceIndex], tmp_path: Path, client: Client) -> Resolve:
    """A function from header words to a geometry; it sees that no scratch is left."""

    def resolve_words(kind: Kind | None = None, **words: Any) -> Geometry:
        scratch = tmp_path / "scratch"
        geometry = resolve_geometry(make_index(**words), kind=kind, scratch=str(scratch), client=client)
        assert not scratch.exists() or not list(scratch.iterdir())
        return geometry

    return resolve_words


def grid_words(inlines: list[int], crosslines: list[int], order: int = 0) -> dict[str, list[int]]:
    pairs = [(i, x) for i in inlines for x in crosslines]
    np.random.default_rng(order).shuffle(pairs)
    return {"inline": [i for i, _ in pairs], "crossline": [x for _, x in pairs]}


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(-50, 50),
    st.integers(1, 5),
    st.integers(2, 6),
    st.integers(-50, 50),
    st.integers(1, 5),
    st.integers(2, 6),
    st.integers(0, 9),
)
def test_a_full_grid_in_any_order(
    resolve: Resolve, i0: int, di: int, ni: int, x0: int, dx: int, nx: int, order: int
) -> None:
    inlines, crosslines = [i0 + di * k for k in range(ni)], [x0 + dx * k for k in range(nx)]
    geometry = resolve(**grid_words(inlines, crosslines, order))
    assert geometry.kind is Kind.STACK3D
    assert geometry.axes[0].values.tolist() == inlines
    assert geometry.axes[1].values.tolist() == crosslines
    assert (geometry.shape, geometry.fill) == ((ni, nx), 1.0)


def test_holes_are_counted(resolve: Resolve) -> None:
    geometry = resolve(inline=[1, 1, 2], crossline=[5, 6, 6])
    assert (geometry.kind, geometry.shape, geometry.trace_count) == (Kind.STACK3D, (2, 2), 3)
    assert geometry.fill == 0.75


@pytest.mark.parametrize(
    ("words", "kind", "reason"),
    [
        ({"inline": [1, 1, 1], "crossline": [1, 2, 3]}, Kind.STACK2D, "inline number is 1 in every trace"),
        ({"cdp": [101, 102, 103]}, Kind.STACK2D, "of its own (cdp)"),
        ({"cdp_x": [5, 6, 7], "cdp_y": [1, 1, 1]}, Kind.STACK2D, "cdp_x and cdp_y"),
        ({"cdp": [1, 2, 3], "offset": [10, 20, 30]}, Kind.FLAT, "offsets differ"),
        ({"cdp": [1, 1, 1]}, Kind.FLAT, "tell the traces apart"),
        ({"cdp": [1, 9, 1]}, Kind.FLAT, "tell the traces apart"),
        ({"inline": [1, 1, 2, 2, 1], "crossline": [1, 2, 1, 2, 2]}, Kind.FLAT, "at least 1 traces repeat the inline"),
        ({"inline": [1, 1, 3, 3, 3, 1], "crossline": [1, 2, 1, 2, 3, 2]}, Kind.FLAT, "1 traces repeat the inline and"),
        ({"inline": [1, 500, 9000], "crossline": [1, 700, 44]}, Kind.STACK2D, "of it"),
    ],
)
def test_what_is_inferred_and_why(resolve: Resolve, words: dict[str, list[int]], kind: Kind, reason: str) -> None:
    geometry = resolve(**words)
    assert geometry.kind is kind
    assert any(reason in line for line in geometry.reasons)


def test_repeats_on_a_grid_with_holes_are_counted_exactly(resolve: Resolve) -> None:
    words = grid_words(list(range(6)), list(range(8)), order=3)
    for name in words:
        words[name] = words[name][:40] + words[name][10:13]  # 40 of 48 cells, three of them twice
    assert "not stack3d: 3 traces repeat the inline and crossline of another one" in resolve(**words).reasons


def test_a_kind_that_does_not_fit_is_refused_with_its_reason(resolve: Resolve) -> None:
    with pytest.raises(InputError, match="repeat the inline and crossline"):
        resolve(inline=[1, 1, 2, 2, 1], crossline=[1, 2, 1, 2, 2], kind=Kind.STACK3D)


def test_a_sparse_grid_that_is_asked_for_is_made(resolve: Resolve) -> None:
    words = {"inline": [0, 1, 2, 3], "crossline": [0, 1, 2, 3]}
    assert resolve(**words).kind is Kind.STACK2D
    assert resolve(**words, kind=Kind.STACK3D).shape == (4, 4)


def test_a_sparse_axis_does_not_pass_for_a_full_one(resolve: Resolve) -> None:
    crosslines = list(range(10))
    geometry = resolve(inline=[1] * 10 + [2] * 10 + [1_000_000] * 10, crossline=crosslines * 3)
    assert geometry.kind is Kind.STACK2D
    assert any("1000000 x 10" in reason for reason in geometry.reasons)


def test_a_wild_grid_costs_no_memory(resolve: Resolve) -> None:
    extremes = {"inline": [-(2**31), 2**31 - 1, 5], "crossline": [-(2**31), 2**31 - 1, 7]}
    assert resolve(**extremes).kind is Kind.STACK2D
    assert resolve(**extremes).reasons[-1] == "stack2d: each trace has a position of its own (inline and crossline)"


def test_a_geometry_is_kept_as_json(resolve: Resolve) -> None:
    geometry = resolve(inline=[1, 1, 2], crossline=[5, 6, 6])
    assert Geometry.model_validate_json(geometry.model_dump_json()) == geometry


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(st.integers(-3, 3), st.integers(-4, 4)), min_size=1, max_size=40),
    order=st.sampled_from(["as it is", "sorted", "by crossline"]),
    part_traces=st.integers(1, 7),
    run_traces=st.integers(1, 12),
    band_traces=st.integers(1, 12),
)
def test_repeats_are_counted_as_in_memory(
    make_index: Callable[..., TraceIndex],
    tmp_path: Path,
    client: Client,
    cells: list[tuple[int, int]],
    order: str,
    part_traces: int,
    run_traces: int,
    band_traces: int,
) -> None:
    if order != "as it is":
        cells = sorted(cells, key=lambda cell: cell if order == "sorted" else cell[::-1])
    index = make_index(part_traces, inline=[i for i, _ in cells], crossline=[x for _, x in cells])
    axes = tuple(
        Axis(name=name, first=first, size=size, long_name="")
        for name, first, size in (("inline", -3, 7), ("crossline", -4, 9))
    )
    scratch = tmp_path / "scratch"
    found = count_repeats(
        index, axes, scratch=str(scratch), client=client, run_traces=run_traces, band_traces=band_traces
    )
    assert found == len(cells) - len(set(cells))
    assert not scratch.exists() or not list(scratch.iterdir())


def test_traces_in_order_are_compared_without_scratch(
    make_index: Callable[..., TraceIndex], tmp_path: Path, client: Client
) -> None:
    axes = tuple(Axis(name=name, first=0, size=30, long_name="") for name in ("inline", "crossline"))
    for slow, fast in (("inline", "crossline"), ("crossline", "inline")):
        numbers = np.arange(900)
        index = make_index(64, **{slow: numbers // 30, fast: numbers % 30})
        # A file where the folder of the runs would be: nothing can be written.
        (tmp_path / "scratch").write_text("")
        options = {"scratch": str(tmp_path / "scratch"), "client": client, "run_traces": 100}
        assert count_repeats(index, axes, **options) == 0
        assert (
            count_repeats(make_index(64, **{slow: numbers // 30, fast: numbers % 30 // 2 * 2}), axes, **options) == 450
        )


@settings(deadline=None)
@given(first=st.integers(-9, 9), step=st.integers(1, 5), size=st.integers(1, 9), label=st.integers(-60, 60))
def test_an_axis_finds_its_labels(first: int, step: int, size: int, label: int) -> None:
    axis = Axis(name="inline", first=first, step=step, size=size, long_name="inline number")
    labels = axis.values.tolist()
    assert labels == list(range(first, first + step * size, step))
    assert axis.last == labels[-1]
    assert axis.labels(1, size).tolist() == labels[1:]
    assert axis.positions(np.array([label])).tolist() == [labels.index(label) if label in labels else -1]


def test_sample_labels_are_exact() -> None:
    axis = SampleAxis(name="time", first=0.1, interval_us=333, size=2000, long_name="time", units="ms")
    expected = np.array([0.1 + 333 * k / 1000.0 for k in range(2000)])
    np.testing.assert_array_equal(axis.values, expected)
    assert axis.last == expected[-1]
    assert SampleAxis.model_validate_json(axis.model_dump_json()).values.tobytes() == axis.values.tobytes()
