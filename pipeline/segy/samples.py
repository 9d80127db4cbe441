"""Sample words of every format to float32 and back, without holding the GIL.

An IBM System/360 short float is a sign bit, a 7-bit power of 16 with offset 64, and a 24-bit fraction:
``(-1)^s * 0.f * 16^(e - 64)`` (IBM, System/360 Principles of Operation, A22-6821). float32 carries every normalised
word whose value it can reach, and every integer of 24 bits; the words that it cannot carry are told by
``StoredTraces.residue``. *Words* are native unsigned integers: uint64 of formats of eight bytes, uint32 of all others.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import float32, int32, njit, uint32
from numpy.typing import NDArray

from pipeline.segy.fields import IBM, IEEE, SAMPLE_FORMATS

_POWERS_OF_16 = np.array([16.0 ** (exponent - 64) * 2.0**-24 for exponent in range(128)])
"""Value of one unit of the 24-bit fraction, by the word's exponent; exact in float64."""

_POWERS_OF_2 = 2.0 ** np.arange(256)
"""Gains of the fixed-point format."""

_IS_LITTLE = sys.byteorder == "little"

_PLAIN_IBM = (0x26000000, 0x60000000)
"""Words, sign aside, from the first of these to below the second have a float32 exponent that is an ordinary one."""


@njit("void(uint32[::1], float32[::1])", nogil=True, cache=True)
def _decode_ibm(words: NDArray[np.uint32], samples: NDArray[np.float32]) -> None:
    for index in range(words.size):
        word = words[index]
        # Both factors and their product are exact in float64, so the sample is rounded once.
        value = np.float64(word & 0x00FFFFFF) * _POWERS_OF_16[(word >> 24) & 0x7F]
        samples[index] = np.float32(-value if word >> 31 else value)


@njit("void(float32[::1], uint32[::1])", nogil=True, cache=True)
def _encode_ibm(samples: NDArray[np.float32], words: NDArray[np.uint32]) -> None:
    bits = samples.view(np.uint32)
    for index in range(samples.size):
        word = np.int64(bits[index])
        sign = word & 0x80000000
        exponent = int((word >> 23) & 0xFF)
        fraction = word & 0x007FFFFF
        if exponent == 0xFF:  # infinity and NaN have no IBM word: the largest stands for both
            words[index] = np.uint32(sign | 0x7FFFFFFF)
            continue
        if exponent == 0:
            if fraction == 0:
                words[index] = np.uint32(sign)
                continue
            exponent = 1
            while fraction < 0x00800000:  # a subnormal: bring its leading bit to the usual place
                fraction <<= 1
                exponent -= 1
        else:
            fraction |= 0x00800000
        # value = fraction * 2^(exponent - 150); a hexadecimal exponent needs a power of two divisible by four.
        power = exponent - 126
        shift = (-power) & 3
        hexadecimal = (power + shift) >> 2
        if shift:
            fraction = (fraction + (1 << (shift - 1))) >> shift
        words[index] = np.uint32(sign | ((hexadecimal + 64) << 24) | fraction)


@njit("uint32(uint32)", nogil=True, cache=True, inline="always")
def _byteswapped(word: np.uint32) -> np.uint32:
    # Numba widens what is not cast: without the casts the loops below work in 64 bits and lose the vector unit.
    outer = uint32(uint32(word << uint32(24)) | uint32(word >> uint32(24)))
    inner = uint32(
        uint32(uint32(word & uint32(0xFF00)) << uint32(8)) | uint32(uint32(word >> uint32(8)) & uint32(0xFF00))
    )
    return uint32(outer | inner)


@njit("boolean(uint32[::1], float32[::1], boolean)", nogil=True, cache=True)
def _decode_plain_ibm(words: NDArray[np.uint32], samples: NDArray[np.float32], swap: bool) -> bool:
    """Decodes by adding exponents, which the vector unit does; false where a word needs more than that.

    Such words are unnormalised, or too large or too small for an ordinary float32. All others survive decoding and
    encoding as they are: their 24-bit fraction fits float32's.
    """
    bits = samples.view(np.uint32)  # made here, it is seen to be the same memory, or the vector unit is not used
    odd = uint32(0)
    for index in range(words.size):
        word = _byteswapped(words[index]) if swap else words[index]
        magnitude = uint32(word & uint32(0x7FFFFFFF))
        fraction = uint32(word & uint32(0x00FFFFFF))
        samples[index] = float32(int32(fraction))
        power = uint32(uint32(uint32(magnitude >> uint32(24)) << uint32(2)) - uint32(4 * 64 + 24))
        scaled = uint32(bits[index] + uint32(power << uint32(23)))
        is_zero = magnitude == uint32(0)
        bits[index] = uint32(uint32(word & uint32(0x80000000)) | (uint32(0) if is_zero else scaled))
        is_plain = (
            (fraction >= uint32(0x00100000))
            & (magnitude >= uint32(_PLAIN_IBM[0]))
            & (magnitude < uint32(_PLAIN_IBM[1]))
        )
        odd = uint32(odd | uint32((not is_plain) & (not is_zero)))
    return bool(odd == uint32(0))


@njit("void(uint32[::1], uint32[::1], boolean)", nogil=True, cache=True)
def _copy_words(words: NDArray[np.uint32], native: NDArray[np.uint32], swap: bool) -> None:
    for index in range(words.size):
        native[index] = _byteswapped(words[index]) if swap else words[index]


@njit("void(uint8[::1], int64, boolean, boolean, float32[::1])", nogil=True, cache=True)
def _decode_narrow(
    stored: NDArray[np.uint8], nbytes: int, swap: bool, is_signed: bool, samples: NDArray[np.float32]
) -> None:
    """Integers of one, two or three bytes, which float32 carries."""
    if nbytes == 1:
        for index in range(samples.size):
            samples[index] = float32(np.int8(stored[index])) if is_signed else float32(stored[index])
    elif nbytes == 2:
        pairs = stored.view(np.uint16)
        for index in range(samples.size):
            pair = pairs[index]
            if swap:
                pair = np.uint16(np.uint16(pair << np.uint16(8)) | np.uint16(pair >> np.uint16(8)))
            samples[index] = float32(np.int16(pair)) if is_signed else float32(pair)
    else:
        high, low = (0, 2) if swap == _IS_LITTLE else (2, 0)
        for index in range(samples.size):
            at = 3 * index
            word = (
                uint32(stored[at + high]) << uint32(24)
                | uint32(stored[at + 1]) << uint32(16)
                | uint32(stored[at + low]) << uint32(8)
            )
            samples[index] = float32(int32(word) >> int32(8)) if is_signed else float32(uint32(word >> uint32(8)))


@njit("uint64(float64, float64, float64, uint64, uint64)", nogil=True, cache=True)
def _integer(value: float, low: float, high: float, at_low: np.uint64, at_high: np.uint64) -> np.uint64:
    """The nearest integer's word; beyond the bounds that of the bound, and 0 for NaN."""
    if value != value:
        return np.uint64(0)
    if value <= low:
        return at_low
    if value >= high:
        return at_high
    nearest = np.rint(value)
    if nearest < 0:
        return np.uint64(np.int64(nearest))
    return np.uint64(nearest)


@njit("uint64(float32)", nogil=True, cache=True)
def _fixed_point(sample: np.float32) -> np.uint64:
    """The word of the least gain: a byte of 0, a power of two, and an integer of 16 bits."""
    value, gain = np.float64(sample), 0
    if value != value:
        return np.uint64(0)
    while gain < 255 and not -32768.5 < value < 32767.5:
        value, gain = value / 2, gain + 1
    mantissa = min(max(int(np.rint(value)), -32768), 32767)
    return np.uint64(np.uint64(gain) << np.uint64(16) | np.uint64(mantissa & 0xFFFF))


@njit("uint64(float32, int64)", nogil=True, cache=True)
def _encode_other(sample: np.float32, code: int) -> np.uint64:
    """The word of a sample in any format but IBM and 4-byte IEEE floats."""
    value = np.float64(sample)
    if code == 2:
        return _integer(value, -(2.0**31), 2.0**31 - 1, np.uint64(0x80000000), np.uint64(0x7FFFFFFF)) & np.uint64(
            0xFFFFFFFF
        )
    if code == 3:
        return _integer(value, -(2.0**15), 2.0**15 - 1, np.uint64(0x8000), np.uint64(0x7FFF)) & np.uint64(0xFFFF)
    if code == 4:
        return _fixed_point(sample)
    if code == 6:
        return np.uint64(np.array([value]).view(np.uint64)[0])
    if code == 7:
        return _integer(value, -(2.0**23), 2.0**23 - 1, np.uint64(0x800000), np.uint64(0x7FFFFF)) & np.uint64(0xFFFFFF)
    if code == 8:
        return _integer(value, -(2.0**7), 2.0**7 - 1, np.uint64(0x80), np.uint64(0x7F)) & np.uint64(0xFF)
    if code == 9:
        return _integer(value, -(2.0**63), 2.0**63, np.uint64(0x8000000000000000), np.uint64(0x7FFFFFFFFFFFFFFF))
    bits = 32 if code == 10 else 16 if code == 11 else 64 if code == 12 else 24 if code == 15 else 8
    most = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits)
    return _integer(value, 0.0, 2.0**bits - (0 if bits == 64 else 1), np.uint64(0), most)


@njit(["void(float32[::1], int64, uint32[::1])", "void(float32[::1], int64, uint64[::1])"], nogil=True, cache=True)
def _encode_others(samples: NDArray[np.float32], code: int, words: NDArray[np.uint64]) -> None:
    for index in range(samples.size):
        words[index] = _encode_other(samples[index], code)


@njit("boolean(uint32[::1], float32[::1], int64)", nogil=True, cache=True)
def _decode_fours(words: NDArray[np.uint32], samples: NDArray[np.float32], code: int) -> bool:
    """Integers of four bytes and fixed point with gain: of which float32 does not carry all; whether it does these."""
    lost = False
    if code == 2:
        for index in range(samples.size):
            value = np.int64(int32(words[index]))
            samples[index] = float32(value)
            lost |= np.int64(np.float64(samples[index])) != value
    elif code == 10:
        for index in range(samples.size):
            value = np.int64(words[index])
            samples[index] = float32(value)
            lost |= np.int64(np.float64(samples[index])) != value
    else:
        for index in range(samples.size):
            word = words[index]
            mantissa = np.int16(word & uint32(0xFFFF))
            gain = (word >> uint32(16)) & uint32(0xFF)
            samples[index] = float32(np.float64(mantissa) * _POWERS_OF_2[gain])
            is_least = (mantissa >= 16384) | (mantissa < -16384)
            lost |= (word >> uint32(24) != 0) | ((gain != 0) & ((not is_least) | (gain > 110)))
    return not lost


@njit("boolean(uint64[::1], float32[::1], int64)", nogil=True, cache=True)
def _decode_eights(words: NDArray[np.uint64], samples: NDArray[np.float32], code: int) -> bool:
    """IEEE floats and integers of eight bytes; whether float32 carries these."""
    lost = False
    if code == 6:
        values = words.view(np.float64)
        again = np.empty(samples.size, np.float64)
        bits = again.view(np.uint64)
        for index in range(samples.size):
            samples[index] = float32(values[index])
            again[index] = np.float64(samples[index])
            lost |= bits[index] != words[index]
    elif code == 9:
        for index in range(samples.size):
            value = np.int64(words[index])
            samples[index] = float32(value)
            again_float = np.float64(samples[index])
            if again_float >= 2.0**63:
                lost = True  # the largest ones are rounded to the first that is no int64
            else:
                lost |= np.int64(again_float) != value
    else:
        for index in range(samples.size):
            samples[index] = float32(words[index])
            again_float = np.float64(samples[index])
            if again_float >= 2.0**64:
                lost = True
            else:
                lost |= np.uint64(again_float) != words[index]
    return not lost


@njit("boolean(uint64[::1])", nogil=True, cache=True)
def _any_is_large(words: NDArray[np.uint64]) -> bool:
    """Whether an unsigned integer of eight bytes is none of the signed ones."""
    found = np.uint64(0)
    for word in words:
        found |= word
    return bool(found >> np.uint64(63))


@njit("void(uint64[::1], uint64[::1], boolean)", nogil=True, cache=True)
def _copy_eights(stored: NDArray[np.uint64], native: NDArray[np.uint64], swap: bool) -> None:
    for index in range(stored.size):
        word = stored[index]
        if swap:
            low, high = uint32(word & np.uint64(0xFFFFFFFF)), uint32(word >> np.uint64(32))
            word = np.uint64(_byteswapped(low)) << np.uint64(32) | np.uint64(_byteswapped(high))
        native[index] = word


@njit("boolean(uint8[::1], float32[::1], boolean, int64)", nogil=True, cache=True)
def decode_row(stored: NDArray[np.uint8], samples: NDArray[np.float32], swap: bool, code: int) -> bool:
    """Decodes samples as stored; for kernels.

    Args:
        stored: uint8, the bytes of the samples, in the file's byte order.
        samples: float32: filled.
        swap: Whether the file's byte order is not this machine's.
        code: Of the sample format.

    Returns:
        Whether encoding the samples certainly gives the words back.
    """
    if code == IEEE:
        _copy_words(stored.view(np.uint32), samples.view(np.uint32), swap)
        return True
    if code == IBM and _decode_plain_ibm(stored.view(np.uint32), samples, swap):
        return True
    nbytes = stored.size // max(1, samples.size)
    if nbytes < 4:
        _decode_narrow(stored, nbytes, swap, code in (3, 7, 8), samples)
        return True
    if nbytes == 8:
        eights = np.empty(samples.size, np.uint64)
        _copy_eights(stored.view(np.uint64), eights, swap)
        if code == 12 and not _any_is_large(eights):
            code = 9  # the same words, and several times faster
        return _decode_eights(eights, samples, code)
    native = np.empty(samples.size, np.uint32)
    _copy_words(stored.view(np.uint32), native, swap)
    if code == IBM:
        _decode_ibm(native, samples)
        return False
    return _decode_fours(native, samples, code)


@njit(
    [
        "void(uint8[:, ::1], int64[::1], int64, int64, int64, boolean, int64, float32[:, ::1], uint32[:, ::1])",
        "void(uint8[:, ::1], int64[::1], int64, int64, int64, boolean, int64, float32[:, ::1], uint64[:, ::1])",
    ],
    nogil=True,
    cache=True,
)
def _residue_rectangle(  # noqa: PLR0913 (as Numba takes it)
    traces: NDArray[np.uint8],
    rows: NDArray[np.int64],
    first_byte: int,
    nbytes: int,
    count: int,
    is_big: bool,
    code: int,
    samples: NDArray[np.float32],
    residue: NDArray[Any],
) -> None:
    encoded = np.empty(count, np.uint32)
    bits = samples.view(np.uint32)
    for target in range(rows.size):
        residue[target] = 0
        if rows[target] >= 0:
            if code == IBM:
                _encode_ibm(samples[target, :count], encoded)
            for index in range(count):
                at = first_byte + index * nbytes
                word = np.uint64(0)
                for byte in range(nbytes):
                    place = at + byte if is_big else at + nbytes - 1 - byte
                    word = word << np.uint64(8) | np.uint64(traces[rows[target], place])
                sample = samples[target, index]
                if code == IBM:
                    known = np.uint64(encoded[index])
                elif code == IEEE:
                    known = np.uint64(bits[target, index])
                else:
                    known = _encode_other(sample, code)
                residue[target, index] = word ^ known


@dataclass(frozen=True, slots=True)
class StoredTraces:
    """Traces as a file holds them.

    Attributes:
        content: uint8 (trace, byte), contiguous; headers come first.
        header_nbytes: Bytes of a trace header.
        byte_order: ``big`` or ``little``.
        code: Of the sample format.
    """

    content: NDArray[np.uint8]
    header_nbytes: int
    byte_order: str
    code: int

    @property
    def headers(self) -> NDArray[np.uint8]:
        """uint8 (trace, header byte): a view."""
        return self.content[:, : self.header_nbytes]

    @property
    def sample_nbytes(self) -> int:
        """Bytes of a sample."""
        return SAMPLE_FORMATS[self.code].nbytes

    @property
    def sample_count(self) -> int:
        """Samples of a trace."""
        return (int(self.content.shape[1]) - self.header_nbytes) // self.sample_nbytes

    @property
    def swap(self) -> bool:
        """Whether the byte order is not this machine's."""
        return self.byte_order != sys.byteorder

    def samples(self) -> NDArray[np.float32]:
        """All samples of all traces, decoded: float32 (trace, sample)."""
        return decode(self.words(np.arange(len(self.content)), 0, self.sample_count), self.code)

    def words(self, rows: NDArray[np.int64], start: int, stop: int) -> NDArray[Any]:
        """Words of some samples of some traces, (row, sample)."""
        nbytes = self.sample_nbytes
        stored = self.content[rows, self.header_nbytes + start * nbytes : self.header_nbytes + stop * nbytes]
        return from_bytes(stored, self.code, self.byte_order)

    def residue(
        self, rows: NDArray[np.int64], start: int, stop: int, samples: NDArray[np.float32], out: NDArray[Any]
    ) -> None:
        """What encoding decoded samples loses: source words XOR encoded samples.

        Args:
            rows: int64: which traces, -1 for none, whose residue is 0.
            start: First sample.
            stop: The one after the last.
            samples: float32 (row, at least ``stop - start``): decoded.
            out: Words like ``samples``, of `word_dtype`; what is longer is filled with 0.
        """
        first_byte = self.header_nbytes + start * self.sample_nbytes
        is_big = self.byte_order == "big"
        _residue_rectangle(
            self.content, rows, first_byte, self.sample_nbytes, stop - start, is_big, self.code, samples, out
        )


def decode(words: NDArray[Any], code: int) -> NDArray[np.float32]:
    """Samples of words.

    Args:
        words: uint32, or uint64 of formats of eight bytes; any shape.
        code: Of the sample format.

    Returns:
        float32 of the same shape; for 4-byte IEEE floats a view of ``words``.
    """
    if code == IEEE:
        return words.view(np.float32)
    samples = np.empty(words.shape, np.float32)
    decode_row(to_bytes(words, code, sys.byteorder).reshape(-1), samples.reshape(-1), False, code)
    return samples


def encode(samples: NDArray[np.float32], code: int) -> NDArray[Any]:
    """Words of samples: the inverse of `decode` wherever there is one, else the nearest word.

    Infinities and NaN become the largest word of IBM; integers are rounded, those beyond their bounds become the bound,
    and NaN becomes 0.

    Args:
        samples: float32, contiguous, any shape.
        code: Of the sample format.

    Returns:
        uint32, or uint64 for formats of eight bytes; for 4-byte IEEE floats a view of ``samples``.
    """
    if code == IEEE:
        return samples.view(np.uint32)
    words = np.empty(samples.shape, word_dtype(code))
    if code == IBM:
        _encode_ibm(samples.reshape(-1), words.reshape(-1))
    else:
        _encode_others(samples.reshape(-1), code, words.reshape(-1))
    return words


NATIVE_DTYPES = {
    2: "int32",
    3: "int16",
    6: "float64",
    7: "int32",
    8: "int8",
    9: "int64",
    10: "uint32",
    11: "uint16",
    12: "uint64",
    15: "uint32",
    16: "uint8",
}
"""NumPy's types for samples by format code, where float32 is not the natural one."""


def native_dtype(code: int) -> str:
    """Data type that holds samples of a format as they are; ``float32`` where NumPy has none."""
    return NATIVE_DTYPES.get(code, "float32")


def as_native(words: NDArray[Any], code: int) -> NDArray[Any]:
    """Samples of words in their own type: integers keep all their digits.

    Args:
        words: uint32, or uint64 of formats of eight bytes; any shape.
        code: Of the sample format.
    """
    if code not in NATIVE_DTYPES:
        return decode(words, code)
    unused_bits = 8 * (words.itemsize - SAMPLE_FORMATS[code].nbytes)
    dtype = np.dtype(NATIVE_DTYPES[code])
    if dtype.kind == "i":
        signed = (words << words.dtype.type(unused_bits)).view(f"i{words.itemsize}")
        return np.asarray(signed >> unused_bits, dtype)
    return words.view(dtype) if dtype.kind == "f" else words.astype(dtype)


def words_of_native(samples: NDArray[Any], code: int) -> NDArray[Any]:
    """Words of samples in their own type: the inverse of `as_native`."""
    if code not in NATIVE_DTYPES:
        return encode(np.ascontiguousarray(samples, np.float32), code)
    unsigned = np.dtype(word_dtype(code))
    if samples.dtype.kind == "f":
        return np.ascontiguousarray(samples).view(unsigned)
    mask = unsigned.type((1 << 8 * SAMPLE_FORMATS[code].nbytes) - 1)
    widened = samples.astype(f"i{unsigned.itemsize}") if samples.dtype.kind == "i" else samples.astype(unsigned)
    return np.asarray(widened.view(unsigned) & mask, unsigned)


def word_dtype(code: int) -> str:
    """Data type of words, ``uint32`` or ``uint64``."""
    return "uint64" if SAMPLE_FORMATS[code].nbytes == 8 else "uint32"


def to_bytes(words: NDArray[Any], code: int, byte_order: str) -> NDArray[np.uint8]:
    """Words as a file holds them: uint8 with the last dimension that many times as long."""
    nbytes = SAMPLE_FORMATS[code].nbytes
    big = words.astype(words.dtype.newbyteorder(">")).view(np.uint8).reshape(*words.shape, words.itemsize)
    shown = big[..., words.itemsize - nbytes :]
    ordered = shown if byte_order == "big" else shown[..., ::-1]
    return np.ascontiguousarray(ordered).reshape(*words.shape[:-1], words.shape[-1] * nbytes)


def from_bytes(stored: NDArray[np.uint8], code: int, byte_order: str) -> NDArray[Any]:
    """The way back: uint8 (..., byte) to words (..., sample)."""
    nbytes, dtype = SAMPLE_FORMATS[code].nbytes, np.dtype(word_dtype(code))
    shown = stored.reshape(*stored.shape[:-1], stored.shape[-1] // nbytes, nbytes)
    words = np.zeros((*shown.shape[:-1], dtype.itemsize), np.uint8)
    words[..., dtype.itemsize - nbytes :] = shown if byte_order == "big" else shown[..., ::-1]
    return words.view(dtype.newbyteorder(">"))[..., 0].astype(dtype)
