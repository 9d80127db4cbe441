"""IBM and IEEE words against an independent reading of the definition, in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.segy.samples import StoredTraces, decode, decode_row, encode

HEADER_NBYTES = 240
words = st.integers(0, 2**32 - 1)
byte_orders = st.sampled_from(["big", "little"])
normalised_ibm = st.builds(
    lambda sign, exponent, digit, rest: sign << 31 | exponent << 24 | digit << 20 | rest,
    st.integers(0, 1),
    st.integers(0x26, 0x5F),  # what float32 has an ordinary exponent for
    st.integers(1, 15),
    st.integers(0, 2**20 - 1),
)


def stored(batch: list[int], *, byte_order: str, is_ibm: bool) -> StoredTraces:
    """One trace of these words, behind a header of others."""
    trace = np.array([[0xFFFFFFFF] * (HEADER_NBYTES // 4) + batch], ">u4" if byte_order == "big" else "<u4")
    return StoredTraces(trace.view(np.uint32), HEADER_NBYTES, byte_order, is_ibm)


def decoded(traces: StoredTraces) -> tuple[np.ndarray, bool]:
    """Samples of the one trace, and whether encoding is certain to give its words back."""
    samples = np.full(traces.sample_count, np.nan, np.float32)
    is_exact = decode_row(traces.words[0, traces.first_word :], samples, traces.swap, traces.is_ibm)
    return samples, is_exact


def lost(traces: StoredTraces, samples: np.ndarray) -> np.ndarray:
    """The residue of the one trace."""
    residue = np.full((1, samples.size), 4711, np.uint32)
    traces.residue(np.array([0]), 0, samples.size, samples[None], residue)
    return residue[0]


def exact_ibm(word: int) -> Fraction:
    """(-1)^s * 0.f * 16^(e - 64)."""
    fraction = Fraction(word & 0xFFFFFF, 2**24) * Fraction(16) ** (((word >> 24) & 0x7F) - 64)
    return -fraction if word >> 31 else fraction


def nearest_float32(value: Fraction) -> np.float32:
    with np.errstate(over="ignore", under="ignore"):
        return np.float32(float(value))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (0x42640000, 100.0),
        (0xC276A000, -118.625),  # the textbook example
        (0x00000000, 0.0),
        (0x41100000, 1.0),
        (0x40800000, 0.5),
        (0x7FFFFFFF, np.inf),  # 7.2e75: beyond float32
    ],
)
def test_known_words(word: int, value: float) -> None:
    assert decode(np.array([word], np.uint32), is_ibm=True)[0] == np.float32(value)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=64))
def test_decoding_rounds_the_exact_value_once(batch: list[int]) -> None:
    found = decode(np.array(batch, np.uint32), is_ibm=True)
    # A 24-bit fraction is exact in float64, so rounding float(exact) to float32 rounds once.
    expected = np.array([nearest_float32(exact_ibm(word)) for word in batch])
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=64), byte_orders, st.booleans())
def test_stored_words_are_decoded_as_native_ones_are(batch: list[int], byte_order: str, is_ibm: bool) -> None:
    samples, _ = decoded(stored(batch, byte_order=byte_order, is_ibm=is_ibm))
    expected = decode(np.array(batch, np.uint32), is_ibm=is_ibm)
    np.testing.assert_array_equal(samples.view(np.uint32), expected.view(np.uint32))


@settings(deadline=None)
@given(st.lists(normalised_ibm | st.just(0), min_size=1, max_size=64), byte_orders)
def test_normalised_words_in_range_are_decoded_exactly(batch: list[int], byte_order: str) -> None:
    traces = stored(batch, byte_order=byte_order, is_ibm=True)
    samples, is_exact = decoded(traces)
    assert is_exact
    assert [Fraction(float(sample)) for sample in samples] == [exact_ibm(word) for word in batch]
    np.testing.assert_array_equal(encode(samples, is_ibm=True), np.array(batch, np.uint32))
    assert not lost(traces, samples).any()


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=64), byte_orders, st.booleans())
def test_words_return_with_their_residue(batch: list[int], byte_order: str, is_ibm: bool) -> None:
    traces = stored(batch, byte_order=byte_order, is_ibm=is_ibm)
    samples, is_exact = decoded(traces)
    returned = encode(samples.copy(), is_ibm=is_ibm)
    if is_exact:  # then nobody computes a residue
        np.testing.assert_array_equal(returned, np.array(batch, np.uint32))
    if is_ibm:
        np.testing.assert_array_equal(returned ^ lost(traces, samples), np.array(batch, np.uint32))


@pytest.mark.parametrize("word", [0x40000001, 0x7FFFFFFF, 0x41000000, 0x25FFFFFF, 0x60100000, 0x80000000])
def test_a_word_that_is_not_plain_is_told(word: int) -> None:
    traces = stored([0x41100000, word], byte_order="big", is_ibm=True)
    samples, is_exact = decoded(traces)
    returned = encode(samples, is_ibm=True)
    assert not is_exact or returned[1] == word
    np.testing.assert_array_equal(returned ^ lost(traces, samples), [0x41100000, word])


def test_the_residue_of_a_part_of_some_traces() -> None:
    words_of = np.random.default_rng(2).integers(0, 2**32, (3, HEADER_NBYTES // 4 + 20), np.uint32)
    traces = StoredTraces(words_of.astype(">u4").view(np.uint32), HEADER_NBYTES, "big", is_ibm=True)
    rows = np.array([2, -1, 0])
    part = words_of[:, traces.first_word + 5 : traces.first_word + 12]
    samples = np.zeros((3, 10), np.float32)  # wider than the part: a chunk beyond the end of the traces
    samples[[0, 2], :7] = decode(np.ascontiguousarray(part[[2, 0]]), is_ibm=True)
    residue = np.full(samples.shape, 4711, np.uint32)
    traces.residue(rows, 5, 12, samples, residue)
    np.testing.assert_array_equal((encode(samples, is_ibm=True) ^ residue)[[0, 2], :7], part[[2, 0]])
    assert not residue[1].any()
    assert not residue[:, 7:].any()


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=64))
def test_encoding_takes_a_nearest_word(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    for sample, word in zip(samples, encode(samples, is_ibm=True).tolist(), strict=True):
        unit = Fraction(16) ** (((word >> 24) & 0x7F) - 64) / 2**24
        assert abs(exact_ibm(word) - Fraction(float(sample))) <= unit / 2


def test_encoding_takes_the_largest_word_for_what_ibm_does_not_have() -> None:
    samples = np.array([np.inf, -np.inf, np.nan], np.float32)
    assert [hex(word) for word in encode(samples, is_ibm=True) & np.uint32(0x7FFFFFFF)] == ["0x7fffffff"] * 3
