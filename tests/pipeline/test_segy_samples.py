"""IBM and IEEE words against an independent reading of the definition, in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.segy.samples import decode, encode, residue_words

words = st.integers(0, 2**32 - 1)


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


@given(st.lists(words, min_size=1, max_size=64))
def test_decoding_rounds_the_exact_value_once(batch: list[int]) -> None:
    found = decode(np.array(batch, np.uint32), is_ibm=True)
    # A 24-bit fraction is exact in float64, so rounding float(exact) to float32 rounds once.
    expected = np.array([nearest_float32(exact_ibm(word)) for word in batch])
    np.testing.assert_array_equal(found, expected)


@given(st.lists(words, min_size=1, max_size=64), st.booleans())
def test_words_return_with_their_residue(batch: list[int], is_ibm: bool) -> None:
    source = np.array(batch, np.uint32)
    samples = decode(source.copy(), is_ibm=is_ibm)
    residue = residue_words(source, samples, is_ibm=is_ibm)
    returned = encode(samples, is_ibm=is_ibm)
    np.testing.assert_array_equal(returned if residue is None else returned ^ residue, source)


@given(st.lists(st.tuples(st.booleans(), st.integers(34, 95), st.integers(1, 15), st.integers(0, 2**20 - 1))))
def test_normalised_words_in_range_leave_no_residue(parts: list[tuple[bool, int, int, int]]) -> None:
    batch = [sign << 31 | exponent << 24 | digit << 20 | rest for sign, exponent, digit, rest in parts]
    source = np.array(batch, np.uint32)
    assert residue_words(source, decode(source, is_ibm=True), is_ibm=True) is None


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=64))
def test_encoding_takes_a_nearest_word(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    for sample, word in zip(samples, encode(samples, is_ibm=True).tolist(), strict=True):
        unit = Fraction(16) ** (((word >> 24) & 0x7F) - 64) / 2**24
        assert abs(exact_ibm(word) - Fraction(float(sample))) <= unit / 2


def test_encoding_takes_the_largest_word_for_what_ibm_does_not_have() -> None:
    samples = np.array([np.inf, -np.inf, np.nan], np.float32)
    assert [hex(word) for word in encode(samples, is_ibm=True) & np.uint32(0x7FFFFFFF)] == ["0x7fffffff"] * 3
