"""IBM and IEEE words against an independent reading of the definition, in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.segy.fields import IBM, IEEE, SAMPLE_FORMATS
from pipeline.segy.samples import StoredTraces, decode, decode_row, encode, to_bytes, word_dtype

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
    return StoredTraces(trace.view(np.uint8), HEADER_NBYTES, byte_order, IBM if is_ibm else IEEE)


def decoded(traces: StoredTraces) -> tuple[np.ndarray, bool]:
    """Samples of the one trace, and whether encoding is certain to give its words back."""
    samples = np.full(traces.sample_count, np.nan, np.float32)
    is_exact = decode_row(traces.content[0, HEADER_NBYTES:], samples, traces.swap, traces.code)
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
    assert decode(np.array([word], np.uint32), IBM)[0] == np.float32(value)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=64))
def test_decoding_rounds_the_exact_value_once(batch: list[int]) -> None:
    found = decode(np.array(batch, np.uint32), IBM)
    # A 24-bit fraction is exact in float64, so rounding float(exact) to float32 rounds once.
    expected = np.array([nearest_float32(exact_ibm(word)) for word in batch])
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=64), byte_orders, st.booleans())
def test_stored_words_are_decoded_as_native_ones_are(batch: list[int], byte_order: str, is_ibm: bool) -> None:
    samples, _ = decoded(stored(batch, byte_order=byte_order, is_ibm=is_ibm))
    expected = decode(np.array(batch, np.uint32), IBM if is_ibm else IEEE)
    np.testing.assert_array_equal(samples.view(np.uint32), expected.view(np.uint32))


@settings(deadline=None)
@given(st.lists(normalised_ibm | st.just(0), min_size=1, max_size=64), byte_orders)
def test_normalised_words_in_range_are_decoded_exactly(batch: list[int], byte_order: str) -> None:
    traces = stored(batch, byte_order=byte_order, is_ibm=True)
    samples, is_exact = decoded(traces)
    assert is_exact
    assert [Fraction(float(sample)) for sample in samples] == [exact_ibm(word) for word in batch]
    np.testing.assert_array_equal(encode(samples, IBM), np.array(batch, np.uint32))
    assert not lost(traces, samples).any()


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=64), byte_orders, st.booleans())
def test_words_return_with_their_residue(batch: list[int], byte_order: str, is_ibm: bool) -> None:
    traces = stored(batch, byte_order=byte_order, is_ibm=is_ibm)
    samples, is_exact = decoded(traces)
    returned = encode(samples.copy(), IBM if is_ibm else IEEE)
    if is_exact:  # then nobody computes a residue
        np.testing.assert_array_equal(returned, np.array(batch, np.uint32))
    if is_ibm:
        np.testing.assert_array_equal(returned ^ lost(traces, samples), np.array(batch, np.uint32))


@pytest.mark.parametrize("word", [0x40000001, 0x7FFFFFFF, 0x41000000, 0x25FFFFFF, 0x60100000, 0x80000000])
def test_a_word_that_is_not_plain_is_told(word: int) -> None:
    traces = stored([0x41100000, word], byte_order="big", is_ibm=True)
    samples, is_exact = decoded(traces)
    returned = encode(samples, IBM)
    assert not is_exact or returned[1] == word
    np.testing.assert_array_equal(returned ^ lost(traces, samples), [0x41100000, word])


def test_the_residue_of_a_part_of_some_traces() -> None:
    words_of = np.random.default_rng(2).integers(0, 2**32, (3, HEADER_NBYTES // 4 + 20), np.uint32)
    traces = StoredTraces(words_of.astype(">u4").view(np.uint8), HEADER_NBYTES, "big", IBM)
    rows = np.array([2, -1, 0])
    part = words_of[:, HEADER_NBYTES // 4 + 5 : HEADER_NBYTES // 4 + 12]
    samples = np.zeros((3, 10), np.float32)  # wider than the part: a chunk beyond the end of the traces
    samples[[0, 2], :7] = decode(np.ascontiguousarray(part[[2, 0]]), IBM)
    residue = np.full(samples.shape, 4711, np.uint32)
    traces.residue(rows, 5, 12, samples, residue)
    np.testing.assert_array_equal((encode(samples, IBM) ^ residue)[[0, 2], :7], part[[2, 0]])
    assert not residue[1].any()
    assert not residue[:, 7:].any()


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=64))
def test_encoding_takes_a_nearest_word(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    for sample, word in zip(samples, encode(samples, IBM).tolist(), strict=True):
        unit = Fraction(16) ** (((word >> 24) & 0x7F) - 64) / 2**24
        assert abs(exact_ibm(word) - Fraction(float(sample))) <= unit / 2


def test_encoding_takes_the_largest_word_for_what_ibm_does_not_have() -> None:
    samples = np.array([np.inf, -np.inf, np.nan], np.float32)
    assert [hex(word) for word in encode(samples, IBM) & np.uint32(0x7FFFFFFF)] == ["0x7fffffff"] * 3


INTEGERS = {2: (4, True), 3: (2, True), 7: (3, True), 8: (1, True), 9: (8, True)} | {
    10: (4, False),
    11: (2, False),
    12: (8, False),
    15: (3, False),
    16: (1, False),
}
"""Bytes and sign of the integer formats, by code, as the standard lists them."""


def exact_value(word: int, code: int) -> Fraction | float:
    """The definition, in exact arithmetic; of IEEE doubles the double."""
    if code in INTEGERS:
        nbytes, is_signed = INTEGERS[code]
        return Fraction(int.from_bytes(word.to_bytes(nbytes, "big"), "big", signed=is_signed))
    if code == 4:  # one byte unused, a power of two, an integer of 16 bits
        mantissa = int.from_bytes((word & 0xFFFF).to_bytes(2, "big"), "big", signed=True)
        return Fraction(mantissa) * 2 ** (word >> 16 & 0xFF)
    return float(np.array([word], np.uint64).view(np.float64)[0])


def nearest(value: Fraction | float) -> np.float32:
    """Rounded once, to even."""
    if isinstance(value, float):
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return np.float32(value)
    if abs(value) >= Fraction(2) ** 128 - Fraction(2) ** 103:
        return np.float32(np.inf if value > 0 else -np.inf)
    near = np.float32(float(value))
    candidates = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    return min(candidates, key=lambda one: (abs(Fraction(float(one)) - value), int(one.view(np.uint32)) & 1))


OTHERS = sorted({*INTEGERS, 4, 6})


@settings(deadline=None)
@given(st.sampled_from(OTHERS), byte_orders, st.data())
def test_every_format_is_read_by_its_definition_and_comes_back(code: int, byte_order: str, data: st.DataObject) -> None:
    nbytes = SAMPLE_FORMATS[code].nbytes
    most = 2 ** (8 * nbytes) - 1
    near_ends = st.integers(0, min(most, 300)) | st.integers(max(0, most - 300), most)
    middle = st.integers(max(0, most // 2 - 300), min(most, most // 2 + 300))
    batch = data.draw(st.lists(st.integers(0, most) | near_ends | middle, min_size=1, max_size=40))
    content = b"".join(word.to_bytes(nbytes, byte_order) for word in batch)  # type: ignore[arg-type]
    trace = np.frombuffer(b"\x55" * HEADER_NBYTES + content, np.uint8)[None]
    traces = StoredTraces(trace.copy(), HEADER_NBYTES, byte_order, code)
    samples, is_exact = decoded(traces)
    expected = np.array([nearest(exact_value(word, code)) for word in batch])
    np.testing.assert_array_equal(samples, expected)
    words = np.array(batch, word_dtype(code))
    np.testing.assert_array_equal(traces.words(np.array([0]), 0, len(batch))[0], words)
    np.testing.assert_array_equal(decode(words, code), samples)
    returned = encode(samples, code)
    assert not is_exact or (returned == words).all()
    residue = np.full((1, len(batch)), 4711, word_dtype(code))
    traces.residue(np.array([0]), 0, len(batch), samples[None], residue)
    np.testing.assert_array_equal(returned ^ residue[0], words)
    assert to_bytes(returned ^ residue[0], code, byte_order).tobytes() == content


@pytest.mark.parametrize("code", [*OTHERS, IBM, IEEE])
def test_formats_that_float32_carries_are_known_to_be_exact(code: int) -> None:
    """Of no other format is every word; of small numbers in any format it is seen."""
    nbytes = SAMPLE_FORMATS[code].nbytes
    samples = np.array([0, 1, 2, 77, 100], np.float32)
    content = to_bytes(encode(samples, code), code, "big")
    traces = StoredTraces(np.concatenate([np.zeros(240, np.uint8), content])[None], 240, "big", code)
    found, is_exact = decoded(traces)
    np.testing.assert_array_equal(found, samples)
    assert is_exact
    if code in INTEGERS and nbytes <= 3:
        words = np.arange(2 ** min(16, 8 * nbytes), dtype=np.uint32) << (8 if nbytes == 3 else 0)
        np.testing.assert_array_equal(encode(decode(words, code), code), words)


@pytest.mark.parametrize("code", [*OTHERS])
def test_what_a_format_cannot_carry_becomes_the_nearest_word(code: int) -> None:
    """Predictions are written in the format of the source."""
    back = decode(encode(np.array([np.nan, -1e30, 1e30, 2.5, 3.5, -0.6], np.float32), code), code)
    if code == 6:
        np.testing.assert_array_equal(back, np.array([np.nan, -1e30, 1e30, 2.5, 3.5, -0.6], np.float32))
        return
    assert back[0] == 0
    bits = 8 * SAMPLE_FORMATS[code].nbytes
    is_signed = code == 4 or INTEGERS[code][1]
    if code != 4:
        assert back[1] == (-(2.0 ** (bits - 1)) if is_signed else 0)
        assert back[2] == np.float32(2.0 ** (bits - 1 if is_signed else bits) - 1)
    np.testing.assert_array_equal(back[3:], [2, 4, -1 if is_signed else 0])
