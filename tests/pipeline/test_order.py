"""The order of traces: what a sparse sample proposes is what all headers say, or nothing is proposed."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segyio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.recipe import HeaderBytes, SourceFile
from pipeline.survey import order as order_module
from pipeline.survey.files import Survey, open_survey
from pipeline.survey.header_words import HeaderWords, WordRange, summarise
from pipeline.survey.order import AsInFile, FileOrder, LineByLine, Progression, sampled_numbers

Cells = list[tuple[int, int]]
WriteTraces = Callable[..., Path]


@pytest.fixture
def write_traces(tmp_path: Path) -> WriteTraces:
    """A function that writes a file with a trace for each (inline, crossline), in that order."""

    def write(name: str, cells: Cells, *, inline_byte: int = 189, crossline_byte: int = 193) -> Path:
        spec = segyio.spec()
        spec.format, spec.samples, spec.tracecount = 5, np.arange(3) * 4.0, len(cells)
        path = tmp_path / name
        with segyio.create(str(path), spec) as file:
            file.bin.update(hdt=4000, hns=3, format=5)
            for number, (inline, crossline) in enumerate(cells):
                file.header[number] = {inline_byte: inline, crossline_byte: crossline, segyio.su.scalco: -100}
                file.trace[number] = np.full(3, number, np.float32)
        return path

    return write


def opened(*sources: Path | SourceFile) -> Survey:
    named = tuple(source if isinstance(source, SourceFile) else str(source) for source in sources)
    return open_survey(named, HeaderBytes())


def order_of(survey: Survey) -> Any:
    """The order that a sample of the headers proposes."""
    numbers = sampled_numbers(survey)
    return order_module.line_by_line(survey, numbers, survey.read_header_words(numbers))


def line_by_line(inlines: range, crosslines: range, *, slow: str = "inline") -> Cells:
    if slow == "inline":
        return [(inline, crossline) for inline in inlines for crossline in crosslines]
    return [(inline, crossline) for crossline in crosslines for inline in inlines]


def all_words(survey: Survey) -> HeaderWords:
    return survey.read_header_words(np.arange(survey.trace_count))


def check_order(survey: Survey, order: LineByLine | None) -> None:
    """Sees that every header lies where the order says, and that the axes are those of all headers."""
    assert order is not None
    words = all_words(survey)
    ranges = summarise(words).ranges
    assert order.ranges() == {name: ranges[name] for name in ("inline", "crossline")}
    labels = tuple(labels_of(ranges[name]) for name in ("inline", "crossline"))
    numbers = order.trace_numbers(labels)
    assert numbers.dtype == np.int64
    assert numbers.flags.c_contiguous
    placed = numbers >= 0
    # Each trace has one cell, and the cell has the labels of its header.
    assert np.sort(numbers[placed]).tolist() == list(range(survey.trace_count))
    rows, columns = np.nonzero(placed)
    np.testing.assert_array_equal(words["inline"][numbers[placed]], labels[0][rows])
    np.testing.assert_array_equal(words["crossline"][numbers[placed]], labels[1][columns])


def labels_of(found: WordRange) -> NDArray[np.int64]:
    return np.arange(found.least, found.greatest + 1, max(1, found.step))


@settings(deadline=None)
@given(
    first=st.integers(-100, 100),
    step=st.integers(-5, 5).filter(bool),
    size=st.integers(1, 20),
    label=st.integers(-250, 250),
)
def test_a_progression_knows_its_labels(first: int, step: int, size: int, label: int) -> None:
    found = Progression(first=first, step=step, size=size)
    labels = list(range(first, first + step * size, step))
    np.testing.assert_array_equal(found.labels(np.arange(size)), labels)
    np.testing.assert_array_equal(found.index(np.array(labels)), np.arange(size))
    assert found.index(np.array([label]))[0] == (labels.index(label) if label in labels else -1)
    assert (found.range.least, found.range.greatest, found.range.size) == (min(labels), max(labels), size)
    assert found.range == summarise_labels(labels)


def summarise_labels(labels: list[int]) -> WordRange:
    gaps = [abs(b - a) for a, b in pairwise(labels)]
    return WordRange(least=min(labels), greatest=max(labels), step=gaps[0] if gaps else 0)


@st.composite
def file_orders(draw: st.DrawFn) -> LineByLine:
    """Files that share the labels along their lines, and no line."""
    fast_step, fast_size = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    lines = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    files, first_trace, line = [], draw(st.integers(0, 9)), draw(st.integers(-20, 20))
    for size in lines:
        slow_step = draw(st.integers(1, 4))
        slow = Progression(first=line, step=slow_step, size=size)
        fast = Progression(first=7, step=fast_step, size=fast_size)
        line = slow.range.greatest + draw(st.integers(1, 5))
        slow, fast = (reversed_at_will(draw, labels) for labels in (slow, fast))
        files.append(FileOrder(first_trace=first_trace, slow=slow, fast=fast))
        first_trace += slow.size * fast.size + draw(st.integers(0, 3))
    return LineByLine(slow_axis=draw(st.sampled_from(["inline", "crossline"])), files=tuple(files))


def reversed_at_will(draw: st.DrawFn, labels: Progression) -> Progression:
    if draw(st.booleans()):
        return labels
    return Progression(first=int(labels.labels(np.array(labels.size - 1))), step=-labels.step, size=labels.size)


@settings(deadline=None)
@given(file_orders())
def test_each_trace_has_one_cell_and_each_cell_one_trace(order: LineByLine) -> None:
    ranges = order.ranges()
    labels = tuple(labels_of(ranges[name]) for name in ("inline", "crossline"))
    numbers = order.trace_numbers(labels)
    expected = []
    for file in order.files:
        for line, along in np.ndindex(file.slow.size, file.fast.size):
            cell = int(file.slow.labels(np.array(line))), int(file.fast.labels(np.array(along)))
            expected.append((file.first_trace + line * file.fast.size + along, cell))
    found = [
        (int(number), tuple(int(axis[index]) for axis, index in zip(labels, cell, strict=True)))
        for cell, number in np.ndenumerate(numbers)
        if number >= 0
    ]
    if order.slow_axis == "crossline":
        found = [(number, cell[::-1]) for number, cell in found]
    assert sorted(found) == sorted(expected)


@settings(deadline=None)
@given(file_orders(), st.data())
def test_a_block_has_the_numbers_of_its_cells(order: LineByLine, data: st.DataObject) -> None:
    ranges = order.ranges()
    labels = tuple(labels_of(ranges[name]) for name in ("inline", "crossline"))
    where = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, axis.size), st.integers(0, axis.size))))) for axis in labels
    )
    block = order.trace_numbers((labels[0][where[0]], labels[1][where[1]]))
    np.testing.assert_array_equal(block, order.trace_numbers(labels)[where])


@settings(deadline=None)
@given(file_orders())
def test_an_order_is_the_same_after_a_round_trip(order: LineByLine) -> None:
    assert LineByLine.model_validate_json(order.model_dump_json()) == order


def test_traces_in_file_order_are_their_labels() -> None:
    np.testing.assert_array_equal(AsInFile().trace_numbers((np.arange(5, 9),)), [5, 6, 7, 8])


@pytest.mark.parametrize("slow", ["inline", "crossline"])
@pytest.mark.parametrize("inlines", [range(100, 112), range(111, 99, -1), range(10, 50, 5), range(40, -1, -8)])
@pytest.mark.parametrize("crosslines", [range(300, 309), range(-3, 30, 3), range(20, 4, -2)])
def test_whole_lines_are_found(slow: str, inlines: range, crosslines: range, write_traces: WriteTraces) -> None:
    survey = opened(write_traces("survey.sgy", line_by_line(inlines, crosslines, slow=slow)))
    found = order_of(survey)
    check_order(survey, found)
    assert found.slow_axis == slow


@pytest.mark.parametrize("order", ["inline", "crossline"])
def test_a_survey_of_any_order_of_lines(order: str) -> None:
    survey = rehearsal(f"inlines=30,crosslines=25,samples=9,order={order},first_inline=17")
    check_order(survey, order_of(survey))


@pytest.mark.parametrize("order", ["inline", "crossline"])
def test_a_survey_whose_headers_nobody_could_read_to_the_end(order: str) -> None:
    survey = rehearsal(f"inlines=200000,crosslines=300000,samples=100,order={order},first_inline=17")
    found = order_of(survey)
    assert found is not None
    assert found.slow_axis == order
    assert found.ranges() == {
        "inline": WordRange(least=17, greatest=200_016, step=1),
        "crossline": WordRange(least=1, greatest=300_000, step=1),
    }
    for number in (0, 12_345_678_901, survey.trace_count - 1):
        words = survey.read_header_words(np.array([number]))
        assert found.trace_numbers((words["inline"], words["crossline"])).tolist() == [[number]]


@pytest.mark.parametrize("grid", ["inlines=30,crosslines=25", "inlines=200000,crosslines=300000"])
def test_a_random_order_is_not_predicted(grid: str) -> None:
    assert order_of(rehearsal(f"{grid},samples=100,order=random")) is None


def rehearsal(values: str) -> Survey:
    return open_survey((f"rehearsal://{values}/survey.sgy",), HeaderBytes())


def test_a_trace_that_is_not_sampled_does_not_matter_to_the_proposal() -> None:
    survey = rehearsal("inlines=300,crosslines=250,samples=9,swap=40000")
    assert order_of(survey) is not None  # each header is compared when its samples are read


@pytest.mark.parametrize("first", [0, 1, 30 * 25 - 2])
def test_a_swap_at_either_end_is_seen(first: int) -> None:
    assert order_of(rehearsal(f"inlines=30,crosslines=25,samples=9,swap={first}")) is None


@pytest.mark.parametrize(
    "parts",
    [
        [range(100, 106), range(106, 112)],
        [range(106, 112), range(100, 106)],
        [range(111, 105, -1), range(100, 106)],
        [range(100, 106), range(120, 124)],
        [range(100, 112, 2), range(101, 112, 2)],
        [range(100, 101), range(101, 102), range(102, 103)],
    ],
    ids=["one after the other", "the later one first", "one falling", "with a gap", "in turns", "a line each"],
)
@pytest.mark.parametrize("slow", ["inline", "crossline"])
def test_several_files_of_whole_lines(parts: list[range], slow: str, write_traces: WriteTraces) -> None:
    across = range(50, 70, 2)
    paths = []
    for number, lines in enumerate(parts):
        axes = (lines, across) if slow == "inline" else (across, lines)
        paths.append(write_traces(f"{number}.sgy", line_by_line(*axes, slow=slow)))
    survey = opened(*paths)
    check_order(survey, order_of(survey))


def test_files_that_go_along_their_lines_in_different_directions(write_traces: WriteTraces) -> None:
    there = write_traces("there.sgy", line_by_line(range(5), range(10, 20)))
    back = write_traces("back.sgy", line_by_line(range(5, 10), range(19, 9, -1)))
    survey = opened(there, back)
    check_order(survey, order_of(survey))


def test_files_with_header_positions_of_their_own(write_traces: WriteTraces) -> None:
    usual = write_traces("usual.sgy", line_by_line(range(5), range(10, 20)))
    other = write_traces("other.sgy", line_by_line(range(5, 9), range(10, 20)), inline_byte=9, crossline_byte=21)
    header_bytes = HeaderBytes(inline=9, crossline=21)
    survey = opened(usual, SourceFile(path=str(other), header_bytes=header_bytes))
    check_order(survey, order_of(survey))
    assert order_of(opened(usual, other)) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (line_by_line(range(6), range(9)), line_by_line(range(5, 9), range(9))),
        (line_by_line(range(6), range(9)), line_by_line(range(6, 9), range(1, 10))),
        (line_by_line(range(6), range(9)), line_by_line(range(6, 9), range(8))),
        (line_by_line(range(6), range(9)), line_by_line(range(6, 9), range(0, 18, 2))),
        (line_by_line(range(6), range(9)), line_by_line(range(6, 9), range(9), slow="crossline")),
    ],
    ids=["overlapping", "shifted", "shorter", "coarser", "the other way"],
)
def test_files_that_make_no_grid_of_whole_lines(first: Cells, second: Cells, write_traces: WriteTraces) -> None:
    assert order_of(opened(write_traces("a.sgy", first), write_traces("b.sgy", second))) is None


def without(cells: Cells, *numbers: int) -> Cells:
    return [cell for number, cell in enumerate(cells) if number not in numbers]


GRID = line_by_line(range(100, 110), range(300, 312))


@pytest.mark.parametrize(
    "cells",
    [
        without(GRID, 0),
        without(GRID, 55),
        without(GRID, 119),
        [*GRID, (110, 300)],
        [*GRID[:60], GRID[59], *GRID[61:]],
        [*GRID[:30], GRID[31], GRID[30], *GRID[32:]],
        [cell for start in range(0, 120, 12) for cell in GRID[start : start + 12][:: 1 if start % 24 else -1]],
        [(100, 300 + number) for number in range(20) for _ in range(2)],
        [(0, 0)] * 20,
        [(100, 300)],
        [(number, number) for number in range(20)],
        [(2**number, crossline) for number in range(6) for crossline in range(5)],
    ],
    ids=[
        "without the first",
        "with a hole",
        "without the last",
        "one too many",
        "one twice",
        "two swapped",
        "there and back",
        "each cell twice",
        "no labels",
        "one trace",
        "a diagonal",
        "uneven steps",
    ],
)
def test_an_irregular_file_is_not_predicted(cells: Cells, write_traces: WriteTraces) -> None:
    assert order_of(opened(write_traces("survey.sgy", cells))) is None


def test_the_same_traces_are_sampled_each_time() -> None:
    survey = rehearsal("inlines=500,crosslines=400,samples=9,order=random")
    one, other = sampled_numbers(survey), sampled_numbers(survey)
    np.testing.assert_array_equal(one, other)
    assert one.size < 1000


def test_a_line_is_a_grid_of_one_line(write_traces: WriteTraces) -> None:
    """Whether one line is a section is for the geometry to say."""
    found: Any = order_of(opened(write_traces("line.sgy", line_by_line(range(7, 8), range(40)))))
    assert found.ranges() == {
        "inline": WordRange(least=7, greatest=7, step=0),
        "crossline": WordRange(least=0, greatest=39, step=1),
    }
