"""Decoded columns and their statistics, against the same in plain NumPy and float64, one sample after another."""

import sys
from itertools import product
from math import ceil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data_catalog import layout
from pipeline.segy.fields import IBM, IEEE
from pipeline.segy.samples import StoredTraces, encode
from pipeline.shards.column import Column, decode_column
from pipeline.shards.statistics import class_counts
from pipeline.storage.rounding import round_in_place

HEADER_NBYTES = 240

any_word = st.integers(0, 2**32 - 1)
ordinary_ieee = st.floats(-1e4, 1e4, width=32).map(lambda value: int(np.float32(value).view(np.uint32)))
ordinary_ibm = ordinary_ieee.map(lambda word: int(encode(np.array([word], np.uint32).view(np.float32), IBM)[0]))
odd_words = st.sampled_from(
    [
        *(0x00000000, 0x80000000),  # both zeros
        *(0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF),  # not finite, as IEEE
        *(0x00000001, 0x807FFFFF, 0x7F7FFFFF),  # subnormal, and the largest, as IEEE
        *(0x40000001, 0x41000000, 0x46000001, 0x25FFFFFF, 0x60100000, 0x1FFFFFFF),  # unnormalised or beyond, as IBM
    ]
)


@st.composite
def stored_traces(draw: st.DrawFn) -> tuple[StoredTraces, NDArray[np.uint32]]:
    """Some traces as a file has them, and their sample words in native order; whole traces may be zero."""
    is_ibm, byte_order = draw(st.booleans()), draw(st.sampled_from(["big", "little"]))
    count, size = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    kinds = draw(st.sampled_from([any_word, odd_words, st.just(0), ordinary_ibm if is_ibm else ordinary_ieee]))
    mixed = kinds | (ordinary_ibm if is_ibm else ordinary_ieee)
    rows = [draw(st.lists(draw(st.sampled_from([kinds, mixed])), min_size=size, max_size=size)) for _ in range(count)]
    if draw(st.booleans()):
        rows[0] = [0] * size
    return as_stored(np.array(rows, np.uint32), byte_order=byte_order, is_ibm=is_ibm), np.array(rows, np.uint32)


def as_stored(words: NDArray[np.uint32], *, byte_order: str, is_ibm: bool) -> StoredTraces:
    header = np.full((len(words), HEADER_NBYTES // 4), 0xDEADBEEF, np.uint32)
    traces = np.concatenate([header, words], axis=1).astype(">u4" if byte_order == "big" else "<u4")
    return StoredTraces(traces.view(np.uint8), HEADER_NBYTES, byte_order, IBM if is_ibm else IEEE)


def samples_of(words: NDArray[np.uint32], *, is_ibm: bool) -> NDArray[np.float32]:
    """By definition: (-1)^s 0.f 16^(e - 64), in float64, rounded once; or the bits as they are."""
    if not is_ibm:
        return words.view(np.float32)
    fraction = (words & 0xFFFFFF).astype(np.float64)
    power = (words >> 24 & 0x7F).astype(np.float64) - 64
    with np.errstate(over="ignore", under="ignore"):
        return (np.where(words >> 31, -1.0, 1.0) * fraction * 2.0**-24 * 16.0**power).astype(np.float32)


def rounded(samples: NDArray[np.float32], dropped_bits: int) -> NDArray[np.float32]:
    """To the nearest multiple of some units in the last place, ties to even; what is or becomes infinite stays."""
    finite = np.isfinite(samples)
    values = np.where(finite, samples, 0).astype(np.float64)
    _, exponent = np.frexp(values)
    unit = np.ldexp(1.0, np.maximum(exponent, -125) - 24 + dropped_bits)  # subnormals share the least normal's unit
    with np.errstate(over="ignore"):
        nearest = (np.rint(values / unit) * unit).astype(np.float32)
    return np.where(finite & np.isfinite(nearest), nearest, samples)


def check_column(column: Column, samples: NDArray[np.float32], rows: NDArray[np.int64], width: int) -> None:
    """Compares a column with its samples, float32 (row, sample), those of a missing trace being 0."""
    chunk_count = ceil(samples.shape[1] / width)
    padded = np.zeros((len(rows), chunk_count * width), np.float32)
    padded[:, : samples.shape[1]] = samples
    for chunk in range(chunk_count):
        part = padded[:, chunk * width : (chunk + 1) * width]
        np.testing.assert_array_equal(column.samples[chunk].view(np.uint32), part.view(np.uint32))
        assert column.has_bits[chunk] == part.view(np.uint32).any()
        counted = samples[column.live, chunk * width : (chunk + 1) * width]  # padding never counts
        check_statistics(column, chunk, counted)


def check_statistics(column: Column, chunk: int, counted: NDArray[np.float32]) -> None:
    found = {name: values[chunk] for name, values in column.statistics.items()}
    assert found.keys() == layout.STATISTICS.keys()
    finite = counted[np.isfinite(counted)]
    assert found["count"] == finite.size
    assert found["nonfinite_count"] == counted.size - finite.size
    expected = np.bincount(finite.view(np.uint32) >> 21, minlength=layout.HISTOGRAM_BIN_COUNT)
    np.testing.assert_array_equal(column.histogram[chunk], expected)
    if not finite.size:
        assert (found["mean"], found["m2"]) == (0, 0)
        assert np.isnan([found["minimum"], found["maximum"]]).all()
        return
    exact = finite.astype(np.float64)
    assert (found["minimum"], found["maximum"]) == (exact.min(), exact.max())
    assert found["mean"] == pytest.approx(exact.mean(), rel=1e-12, abs=1e-14 * np.abs(exact).max())
    # What cancels is the difference of the first sample from the mean.
    m2 = ((exact - exact.mean()) ** 2).sum()
    assert found["m2"] == pytest.approx(m2, rel=1e-10, abs=1e-13 * ((exact - exact[0]) ** 2).sum())
    assert found["m2"] >= 0


@settings(deadline=None, max_examples=300)
@given(made=stored_traces(), width=st.integers(1, 45), data=st.data())
def test_a_column_is_what_plain_numpy_makes_of_it(
    made: tuple[StoredTraces, NDArray[np.uint32]], width: int, data: st.DataObject
) -> None:
    traces, words = made
    rows = np.array(data.draw(st.lists(st.integers(-1, len(words) - 1), min_size=1, max_size=7)), np.int64)
    decoded = samples_of(words, is_ibm=traces.code == IBM)
    samples = np.where((rows >= 0)[:, None], decoded[rows], np.float32(0))
    out = np.full(ceil(words.shape[1] / width) * rows.size * width + 3, np.nan, np.float32)
    column = decode_column(traces, rows, width=width, out=out)
    assert np.shares_memory(column.samples, out)
    assert np.isnan(out[-3:]).all()
    np.testing.assert_array_equal(column.live, (samples != 0).any(axis=1))
    assert not column.rounding_error.any()
    check_column(column, samples, rows, width)
    # Where it says so, the words come back.
    for chunk, (row, number) in product(range(len(column.samples)), enumerate(rows.tolist())):
        if column.is_exact[chunk] and number >= 0:
            source = words[number, chunk * width : (chunk + 1) * width]
            part = np.ascontiguousarray(column.samples[chunk, row, : source.size])
            np.testing.assert_array_equal(encode(part, traces.code), source)
    if traces.code != IBM:
        assert column.is_exact.all()


@settings(deadline=None)
@given(
    made=stored_traces(),
    width=st.integers(1, 45),
    dropped_bits=st.integers(1, 22),
)
def test_a_rounded_column_is_counted_as_it_is_stored(
    made: tuple[StoredTraces, NDArray[np.uint32]], width: int, dropped_bits: int
) -> None:
    traces, words = made
    rows = np.arange(len(words))
    decoded = samples_of(words, is_ibm=traces.code == IBM)
    expected = rounded(decoded, dropped_bits)
    out = np.empty(ceil(words.shape[1] / width) * rows.size * width, np.float32)
    column = decode_column(traces, rows, width=width, out=out, dropped_bits=dropped_bits)
    np.testing.assert_array_equal(column.live, (decoded != 0).any(axis=1))  # a trace is as live as it was
    check_column(column, expected, rows, width)
    for chunk, error in enumerate(column.rounding_error):
        before, after = (values[:, chunk * width : (chunk + 1) * width] for values in (decoded, expected))
        finite = np.isfinite(before)
        assert error == np.abs(after[finite].astype(np.float64) - before[finite]).max(initial=0)


@settings(deadline=None)
@given(st.lists(any_word | odd_words | ordinary_ieee, min_size=1, max_size=30), st.integers(1, 22))
@example([0x7FFFFFFF, 0xFFFFFFFF], 13)
def test_rounding_leaves_what_is_not_finite(batch: list[int], dropped_bits: int) -> None:
    before = np.array(batch, np.uint32).view(np.float32)
    samples = before.copy()
    error = round_in_place(samples, dropped_bits)
    np.testing.assert_array_equal(samples.view(np.uint32), rounded(before, dropped_bits).view(np.uint32))
    assert np.isfinite(error)


def test_the_bins_are_sign_exponent_and_two_bits_of_the_fraction() -> None:
    """Four bins an octave, as SPEC.md has them: the bits of a float32, shifted by 21."""
    values = np.float32([1.0, 1.2, 1.25, 1.5, 1.75, 2.0, -1.0, 0.25])
    traces = as_stored(values.view(np.uint32)[None], byte_order=sys.byteorder, is_ibm=False)
    column = decode_column(traces, np.array([0]), width=8, out=np.empty(8, np.float32))
    bins = {int(index): int(column.histogram[0, index]) for index in column.histogram[0].nonzero()[0]}
    one = 127 << 2
    expected = {one: 2, one + 1: 1, one + 2: 1, one + 3: 1, one + 4: 1, one + 1024: 1, one - 8: 1}
    assert bins == expected
    assert column.histogram.shape == (1, layout.HISTOGRAM_BIN_COUNT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_trace_of_what_is_not_finite_is_live_and_counts_nowhere(value: float) -> None:
    traces = as_stored(np.full((1, 9), value, np.float32).view(np.uint32), byte_order="big", is_ibm=False)
    column = decode_column(traces, np.array([0]), width=5, out=np.empty(10, np.float32))
    assert column.live.tolist() == [True]
    assert column.statistics["count"].tolist() == [0, 0]
    assert column.statistics["nonfinite_count"].tolist() == [5, 4]
    assert not column.histogram.any()


def test_a_trace_of_negative_zeros_is_dead_and_stored() -> None:
    """It is zero, hence no trace to learn from; but its sign bits would be lost where only fill is."""
    traces = as_stored(np.full((2, 6), 0x80000000, np.uint32), byte_order="big", is_ibm=False)
    column = decode_column(traces, np.array([0, -1]), width=6, out=np.empty(12, np.float32))
    assert column.live.tolist() == [False, False]
    assert column.has_bits.tolist() == [True]
    assert column.statistics["count"].tolist() == [0]
    assert np.signbit(column.samples[0]).tolist() == [[True] * 6, [False] * 6]


def test_a_column_without_traces_is_fill() -> None:
    traces = as_stored(np.ones((1, 6), np.uint32), byte_order="big", is_ibm=True)
    column = decode_column(traces, np.array([-1, -1]), width=4, out=np.full(16, np.nan, np.float32))
    assert not column.samples.any()
    assert not column.has_bits.any()
    assert column.is_exact.all()
    assert column.statistics["count"].tolist() == [0, 0]


def test_statistics_keep_their_digits_far_from_zero() -> None:
    """Samples around a million that differ in the last digits: sums of plain squares would lose the variance."""
    values = (1e6 + np.random.default_rng(0).normal(size=(40, 500))).astype(np.float32)
    traces = as_stored(values.view(np.uint32), byte_order="big", is_ibm=False)
    column = decode_column(traces, np.arange(40), width=500, out=np.empty(20_000, np.float32))
    exact = values.astype(np.float64)
    assert column.statistics["m2"][0] == pytest.approx(((exact - exact.mean()) ** 2).sum(), rel=1e-12)
    assert column.statistics["mean"][0] == pytest.approx(exact.mean(), rel=1e-15)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(0, 6),
    st.data(),
)
def test_classes_are_counted_in_live_traces(batch: list[list[int]], width: int, data: st.DataObject) -> None:
    live = np.array(data.draw(st.lists(st.booleans(), min_size=len(batch), max_size=len(batch))))
    found = class_counts(np.array(batch, np.uint8), live, width)
    counted = [value for row, is_live in zip(batch, live, strict=True) if is_live for value in row[:width]]
    assert found.tolist() == [counted.count(value) for value in range(256)]
    assert found.dtype == np.int64
