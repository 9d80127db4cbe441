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
from pipeline.recipe import HeaderBytes
from pipeline.survey.axis import Axis, SampleAxis
from pipeline.survey.files import open_survey
from pipeline.survey.geometry import Geometry
from pipeline.survey.headers import Workplace, resolved, sample_evidence
from pipeline.survey.repeats import Counted, count_repeats
from pipeline.survey.trace_index import TraceIndex

Resolve = Callable[..., Geometry]


@pytest.fixture
def resolve(write_headers: Callable[..., Path], tmp_path: Path, client: Client) -> Resolve:
    """A function from header words to a geometry, by way of a file; it sees that no scratch is left."""

    def resolve_words(kind: Kind | None = None, duplicates: Any = None, **words: Any) -> Geometry:
        survey = open_survey((str(write_headers(**words)),), HeaderBytes())
        scratch = tmp_path / "scratch"
        workplace = Workplace(client, str(tmp_path / "index"), str(scratch))
        _, _, geometry = resolved(survey, sample_evidence(survey), kind, workplace, duplicates)
        assert not scratch.exists() or not list(scratch.iterdir())
        return geometry

    return resolve_words


def grid_words(inlines: list[int], crosslines: list[int], order: int = 0) -> dict[str, list[int]]:
    pairs = [(i, x) for i in inlines for x in crosslines]
    np.random.default_rng(order).shuffle(pairs)
    return {"inline": [i for i, _ in pairs], "crossline": [x for _, x in pairs]}


def sizes(geometry: Geometry) -> dict[str, int]:
    return {axis.name: axis.size for axis in geometry.axes}


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
        ({"inline": [1, 1, 1], "crossline": [1, 2, 3]}, Kind.STACK2D, "of its own (inline and crossline)"),
        ({"cdp": [101, 102, 103]}, Kind.STACK2D, "of its own (cdp)"),
        ({"cdp_x": [5, 6, 7], "cdp_y": [1, 1, 1]}, Kind.STACK2D, "cdp_x and cdp_y"),
        ({"cdp": [1, 2, 3], "offset": [10, 20, 30]}, Kind.GATHERS, "would be filled to 33.3%"),
        ({"cdp": [1, 1, 1]}, Kind.FLAT, "order of the file"),
        ({"cdp": [1, 9, 1]}, Kind.FLAT, "order of the file"),
        ({"inline": [1, 1, 2, 2, 1], "crossline": [1, 2, 1, 2, 2]}, Kind.FLAT, "not stack3d: lines as in"),
        ({"inline": [1, 500, 9000], "crossline": [1, 700, 44]}, Kind.STACK2D, "(inline and crossline)"),
    ],
)
def test_what_is_inferred_and_why(resolve: Resolve, words: dict[str, list[int]], kind: Kind, reason: str) -> None:
    geometry = resolve(**words)
    assert geometry.kind is kind
    assert any(reason in line for line in geometry.reasons), geometry.reasons


def test_repeats_on_a_grid_with_holes_are_counted_exactly(resolve: Resolve) -> None:
    words = grid_words(list(range(12)), list(range(8)), order=3)
    for name in words:
        words[name] = words[name][:80] + words[name][10:13]  # 80 of 96 cells, three of them twice
    geometry = resolve(**words)
    assert (geometry.kind, geometry.repeat_count, geometry.shape) == (Kind.STACK3D, 3, (12, 8))
    assert geometry.fill == 80 / 96
    with pytest.raises(InputError, match="3 traces repeat the inline and crossline of another one, and --duplicates"):
        resolve(**words, duplicates="fail")
    assert sizes(resolve(**words, duplicates="dimension")) == {"inline": 12, "crossline": 8, "duplicate": 2}


def test_a_kind_that_does_not_fit_is_refused_with_its_reason(resolve: Resolve) -> None:
    with pytest.raises(InputError, match="repeat the inline and crossline"):
        resolve(inline=[1, 1, 2, 2, 1], crossline=[1, 2, 1, 2, 2], kind=Kind.STACK3D)
    geometry = resolve(inline=[1, 1, 2, 2, 1], crossline=[1, 2, 1, 2, 2], kind=Kind.STACK3D, duplicates="first")
    assert (geometry.shape, geometry.repeat_count) == ((2, 2), 1)


def test_a_sparse_grid_that_is_asked_for_is_made(resolve: Resolve) -> None:
    words = {"inline": [0, 1, 2, 3], "crossline": [0, 1, 2, 3]}
    assert resolve(**words).kind is Kind.STACK2D
    assert resolve(**words, kind=Kind.STACK3D).shape == (4, 4)


def test_a_sparse_axis_does_not_pass_for_a_full_one(resolve: Resolve) -> None:
    crosslines = list(range(10))
    geometry = resolve(inline=[1] * 10 + [2] * 10 + [1_000_000] * 10, crossline=crosslines * 3)
    assert geometry.kind is Kind.STACK2D


def test_a_wild_grid_costs_no_memory(resolve: Resolve) -> None:
    extremes = {"inline": [-(2**31), 2**31 - 1, 5], "crossline": [-(2**31), 2**31 - 1, 7]}
    assert resolve(**extremes).kind is Kind.FLAT
    with pytest.raises(InputError, match="the traces do not make a stack3d"):
        resolve(**extremes, kind=Kind.STACK3D)


def test_numbers_far_off_do_not_spoil_a_grid(resolve: Resolve) -> None:
    words = grid_words(list(range(1000, 1040)), list(range(200, 240)), order=3)
    for number, (inline, crossline) in {5: (0, 0), 700: (2**31 - 1, 210), 1500: (1010, -4)}.items():
        words["inline"][number], words["crossline"][number] = inline, crossline
    geometry = resolve(**words)
    assert (geometry.kind, geometry.shape, geometry.outside_count) == (Kind.STACK3D, (40, 40), 3)
    assert (geometry.axes[0].first, geometry.axes[1].last) == (1000, 239)


def test_gathers_of_lines_and_offsets(resolve: Resolve) -> None:
    cells = np.array([(i, x, o) for i in (3, 4) for x in (7, 9, 11) for o in (100, 250, 300)])
    geometry = resolve(inline=cells[:, 0], crossline=cells[:, 1], offset=cells[:, 2])
    assert (geometry.kind, sizes(geometry)) == (Kind.GATHERS, {"inline": 2, "crossline": 3, "offset": 3})
    assert geometry.axes[2].values.tolist() == [100, 250, 300]  # no equal steps
    assert geometry.axes[2].positions(np.array([250, 251])).tolist() == [1, -1]


def test_gathers_by_cdp(resolve: Resolve) -> None:
    cells = np.array([(c, o) for c in (50, 51, 53) for o in range(-400, 0, 25)])
    geometry = resolve(cdp=cells[:, 0], offset=cells[:, 1])
    assert (geometry.kind, sizes(geometry)) == (Kind.GATHERS, {"cdp": 3, "offset": 16})


def test_gathers_of_uneven_offsets_stay_in_file_order(resolve: Resolve) -> None:
    random = np.random.default_rng(2)
    geometry = resolve(cdp=np.repeat(np.arange(20), 6), offset=random.permutation(1000)[:120])
    assert (geometry.kind, sizes(geometry), geometry.keys) == (Kind.GATHERS, {"trace": 120}, ("cdp", "offset"))


@pytest.mark.parametrize("shots", [[2, 3, 5, 8], [10, 11, 12]])
def test_shots(resolve: Resolve, shots: list[int]) -> None:
    cells = np.array([(s, c) for s in shots for c in range(1, 25)])
    geometry = resolve(shot=cells[:, 0], channel=cells[:, 1], offset=cells[:, 1] * 25)
    assert (geometry.kind, sizes(geometry)) == (Kind.SHOTS, {"shot": len(shots), "channel": 24})
    assert geometry.axes[0].values.tolist() == shots


def test_streamers_whose_channels_begin_anew_with_each_cable(resolve: Resolve) -> None:
    cells = np.array([(s, k, c) for s in (1, 2) for k in (1, 2, 3) for c in range(1, 9)])
    geometry = resolve(shot=cells[:, 0], bytes_137_to_138=cells[:, 1], channel=cells[:, 2], offset=cells[:, 2] * 25)
    assert (geometry.kind, sizes(geometry)) == (Kind.SHOTS, {"shot": 2, "cable": 3, "channel": 8})


def test_components_of_the_same_channel(resolve: Resolve) -> None:
    cells = np.array([(s, c, k) for s in (1, 2) for c in range(1, 9) for k in (12, 13, 14)])
    geometry = resolve(shot=cells[:, 0], channel=cells[:, 1], bytes_29_to_30=cells[:, 2], offset=cells[:, 1] * 25)
    assert (geometry.kind, sizes(geometry)) == (Kind.SHOTS, {"shot": 2, "channel": 8, "component": 3})


AUXILIARY_FIRST = np.array([(s, c, k) for s in range(20) for c, k in [(1, 9), (2, 9), *((c, 1) for c in range(1, 13))]])


def resolve_auxiliary(resolve: Resolve, cells: np.ndarray, **words: Any) -> Geometry:
    shots, channels, codes = cells.T
    return resolve(**{"shot": shots, "channel": channels, "bytes_29_to_30": codes, "offset": channels * 25} | words)


def test_auxiliary_traces_on_channels_of_the_data_stay_out(resolve: Resolve) -> None:
    geometry = resolve_auxiliary(resolve, AUXILIARY_FIRST)
    assert (geometry.kind, sizes(geometry)) == (Kind.SHOTS, {"shot": 20, "channel": 12})
    assert (geometry.outside_count, geometry.auxiliary_count, geometry.repeat_count, geometry.fill) == (40, 40, 0, 1.0)
    assert "all but 40 traces, 40 of them auxiliary by their identification" in geometry.reasons[-1]


def test_few_auxiliary_traces_do_not_take_the_cells_of_data(resolve: Resolve) -> None:
    """One of 241 traces, which many a sample does not show, and no more than a slip would be."""
    cells = np.array([(s, c, k) for s in range(12) for c, k in [(1, 6), *((c, 1) for c in range(1, 241))]])
    geometry = resolve_auxiliary(resolve, cells)
    assert (sizes(geometry), geometry.auxiliary_count) == ({"shot": 12, "channel": 240}, 12)


def test_labels_of_auxiliary_traces_alone_are_none_of_the_axes(resolve: Resolve) -> None:
    """Sweeps with shot numbers of their own, and on some channels of their own, but not on all."""
    shots, channels, codes = AUXILIARY_FIRST.T
    shots, channels = np.where(codes == 9, shots // 10 + 900, shots), np.where(codes == 9, channels * 10, channels)
    geometry = resolve_auxiliary(resolve, np.stack([shots, channels, codes], axis=1))
    assert (sizes(geometry), geometry.auxiliary_count) == ({"shot": 20, "channel": 12}, 40)
    assert geometry.axes[0].values.tolist() == list(range(20))


@pytest.mark.parametrize("first", [6, 101])
def test_auxiliary_traces_on_channels_of_their_own_are_channels(resolve: Resolve, first: int) -> None:
    """They may lie between those of the data."""
    shots, channels, codes = AUXILIARY_FIRST.T
    channels = np.where(codes == 9, channels + first - 1, np.where(channels < first, channels, channels + 2))
    geometry = resolve_auxiliary(resolve, np.stack([shots, channels, codes], axis=1))
    assert (sizes(geometry), geometry.auxiliary_count) == ({"shot": 20, "channel": 14}, 0)


def test_components_on_channels_of_their_own_are_channels(resolve: Resolve) -> None:
    """Older files count components 1 to 4 where codes are."""
    cells = np.array([(s, 4 * r + k, k) for s in range(10) for r in range(12) for k in (1, 2, 3, 4)])
    geometry = resolve_auxiliary(resolve, cells)
    assert (sizes(geometry), geometry.auxiliary_count) == ({"shot": 10, "channel": 48}, 0)


@pytest.mark.parametrize("codes", [(1, 4), (4, 1)])
def test_components_that_share_channels_are_components(resolve: Resolve, codes: tuple[int, int]) -> None:
    """Pressure and velocity, of which one has the code of an auxiliary trace."""
    cells = np.array([(s, c, k) for s in range(10) for c in range(1, 13) for k in codes])
    geometry = resolve_auxiliary(resolve, cells)
    assert sizes(geometry) == {"shot": 10, "channel": 12, "component": 2}
    assert geometry.auxiliary_count == 0


def test_auxiliary_traces_of_moving_spreads_stay_in_file_order(resolve: Resolve) -> None:
    cells = AUXILIARY_FIRST + 50 * AUXILIARY_FIRST[:, :1] * np.array([0, 1, 0])
    geometry = resolve_auxiliary(resolve, cells)
    assert (geometry.kind, sizes(geometry)) == (Kind.SHOTS, {"trace": 280})
    assert geometry.keys == ("shot", "channel", "component")
    assert (geometry.outside_count, geometry.repeat_count) == (0, 0)


def test_receiver_gathers_are_shots_in_another_order(resolve: Resolve) -> None:
    cells = np.array([(s, c) for c in range(1, 7) for s in range(100, 120)])
    geometry = resolve(shot=cells[:, 0], channel=cells[:, 1], offset=cells[:, 0] * 10 + cells[:, 1])
    assert (geometry.kind, sizes(geometry)) == (Kind.SHOTS, {"shot": 20, "channel": 6})


def test_shots_of_moving_spreads_stay_in_file_order(resolve: Resolve) -> None:
    cells = np.array([(s, c) for s in range(10) for c in range(50 * s, 50 * s + 12)])
    geometry = resolve(shot=cells[:, 0], channel=cells[:, 1], offset=cells[:, 1])
    assert (geometry.kind, sizes(geometry), geometry.keys) == (Kind.SHOTS, {"trace": 120}, ("shot", "channel"))


def clock(seconds: np.ndarray) -> dict[str, np.ndarray]:
    minutes, hours = seconds // 60, seconds // 3600
    return {"year": 2017 + 0 * seconds, "day_of_year": 261 + hours // 24, "hour": hours % 24} | {
        "minute": minutes % 60,
        "second": seconds % 60,
    }


def test_records_that_follow_one_another(resolve: Resolve) -> None:
    begins, channels = np.repeat(86340 + 10 * np.arange(12), 5), np.tile(np.arange(1, 6), 12)
    samples = np.ones((60, 100), np.float32)
    geometry = resolve(**clock(begins), channel=channels, samples=samples, interval_us=50000)  # 5 s: pauses
    assert geometry.kind is not Kind.PASSIVE
    geometry = resolve(**clock(begins), channel=channels, samples=np.ones((60, 200), np.float32), interval_us=50000)
    assert (geometry.kind, sizes(geometry)) == (Kind.PASSIVE, {"record": 12, "receiver": 5})
    expected = np.datetime64("2017-09-18T23:59:00") + 10 * np.arange(12)
    assert geometry.axes[0].values.astype("datetime64[s]").tolist() == expected.tolist()


def test_lines_where_petrel_writes_them(resolve: Resolve) -> None:
    words = grid_words([5, 6, 7], [100, 102, 104, 106])
    geometry = resolve(bytes_5_to_8=words["inline"], bytes_21_to_24=words["crossline"])
    assert (geometry.kind, sizes(geometry)) == (Kind.STACK3D, {"inline": 3, "crossline": 4})
    assert "Petrel" in geometry.reasons[-1]


def test_lines_in_the_words_of_coordinates(resolve: Resolve, write_headers: Any) -> None:
    """As some onshore surveys have them: lines in 181 and 185, and coordinates where the standard has lines."""
    words = grid_words(list(range(1, 9)), list(range(1, 21)))
    positions = {"inline": 7_889_370 + 110 * np.array(words["crossline"]), "crossline": 9_388_460 + 97 * np.arange(160)}
    geometry = resolve(cdp_x=words["inline"], cdp_y=words["crossline"], **positions)
    assert (geometry.kind, sizes(geometry)) == (Kind.STACK3D, {"inline": 8, "crossline": 20})
    survey = open_survey(
        (str(write_headers(cdp_x=words["inline"], cdp_y=words["crossline"], **positions)),), HeaderBytes()
    )
    best = next(each for each in sample_evidence(survey).proposals if each.is_accepted)
    assert {name: field.first_byte for name, field in best.moved.items()} == {
        "inline": 181,
        "crossline": 185,
        "cdp_x": 189,
        "cdp_y": 193,
    }


@pytest.mark.parametrize(
    ("other", "first_byte"),
    [
        ({}, 73),
        ({"receiver_x": 500_000 + 13 * np.arange(40)}, 73),
        ({"receiver_x": 500_100 + 13 * np.arange(40)}, 181),
        ({"cdp_x": 70 + np.arange(40)}, 181),
        ({"offset": np.arange(40)}, 181),
    ],
    ids=["sources only", "receivers there", "receivers elsewhere", "coordinates of their own", "offsets"],
)
def test_stacked_traces_lie_where_sources_do(write_headers: Any, other: dict[str, Any], first_byte: int) -> None:
    """In files that do not have the words of later revisions, as long as nothing speaks against it."""
    sources = {"source_x": 500_000 + 13 * np.arange(40), "source_y": 6_000_000 + 7 * np.arange(40)}
    survey = open_survey((str(write_headers(cdp=101 + np.arange(40), **(sources | other))),), HeaderBytes())
    found = next(each for each in sample_evidence(survey).proposals if each.is_accepted)
    assert survey.with_words(("cdp_x",), found.moved).fields[0]["cdp_x"].first_byte == first_byte


def test_field_records_and_cdps_are_no_lines(resolve: Resolve) -> None:
    """They fill a grid as well as lines do: 120 channels that roll along by one CDP a shot."""
    shots, channels = np.repeat(np.arange(1, 6), 60), np.tile(np.arange(1, 61), 5)
    geometry = resolve(shot=shots, channel=channels, cdp=shots + channels)
    assert (geometry.kind, sizes(geometry)) == (Kind.SHOTS, {"shot": 5, "channel": 60})


def test_a_geometry_is_kept_as_json(resolve: Resolve) -> None:
    for geometry in (resolve(inline=[1, 1, 2], crossline=[5, 6, 6]), resolve(shot=[2, 2, 7, 7], channel=[1, 2, 1, 2])):
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
    assert found == Counted(len(cells) - len(set(cells)), 0)
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
        assert count_repeats(index, axes, **options) == Counted(0, 0)
        pairs = make_index(64, **{slow: numbers // 30, fast: numbers % 30 // 2 * 2})
        assert count_repeats(pairs, axes, **options) == Counted(450, 0)


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
