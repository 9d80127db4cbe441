"""Sample words to float32 and back, without holding the GIL.

An IBM System/360 short float is a sign bit, a 7-bit power of 16 with offset 64, and a 24-bit fraction:
``(-1)^s * 0.f * 16^(e - 64)`` (IBM, System/360 Principles of Operation, A22-6821). float32 carries every normalised
word whose value it can reach; the words that it cannot carry are told by ``StoredTraces.residue``.
"""

import sys
from dataclasses import dataclass

import numpy as np
from numba import float32, int32, njit, uint32
from numpy.typing import NDArray

_POWERS_OF_16 = np.array([16.0 ** (exponent - 64) * 2.0**-24 for exponent in range(128)])
"""Value of one unit of the 24-bit fraction, by the word's exponent; exact in float64."""

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


@njit("boolean(uint32[::1], float32[::1], boolean, boolean)", nogil=True, cache=True)
def decode_row(words: NDArray[np.uint32], samples: NDArray[np.float32], swap: bool, is_ibm: bool) -> bool:
    """Decodes words as stored; for kernels.

    Args:
        words: uint32, in the file's byte order.
        samples: float32: filled.
        swap: Whether the file's byte order is not this machine's.
        is_ibm: How the words are to be understood.

    Returns:
        Whether encoding the samples certainly gives the words back.
    """
    if not is_ibm:
        _copy_words(words, samples.view(np.uint32), swap)
        return True
    if _decode_plain_ibm(words, samples, swap):
        return True
    native = np.empty(words.size, np.uint32)
    _copy_words(words, native, swap)
    _decode_ibm(native, samples)
    return False


@njit(
    "void(uint32[:, ::1], int64[::1], int64, int64, boolean, float32[:, ::1], uint32[:, ::1])", nogil=True, cache=True
)
def _residue_rectangle(
    traces: NDArray[np.uint32],
    rows: NDArray[np.int64],
    first_word: int,
    word_count: int,
    swap: bool,
    samples: NDArray[np.float32],
    residue: NDArray[np.uint32],
) -> None:
    scratch = np.empty(word_count, np.uint32)
    for target in range(rows.size):
        residue[target] = 0
        if rows[target] >= 0:
            _copy_words(traces[rows[target], first_word : first_word + word_count], scratch, swap)
            _encode_ibm(samples[target, :word_count], residue[target, :word_count])
            for index in range(word_count):
                residue[target, index] ^= scratch[index]


@dataclass(frozen=True, slots=True)
class StoredTraces:
    """Traces as a file holds them.

    Attributes:
        words: uint32 (trace, word of the trace), contiguous, in the file's byte order; headers come first.
        header_nbytes: Bytes of a trace header.
        byte_order: ``big`` or ``little``.
        is_ibm: How sample words are to be understood.
    """

    words: NDArray[np.uint32]
    header_nbytes: int
    byte_order: str
    is_ibm: bool

    @property
    def headers(self) -> NDArray[np.uint8]:
        """uint8 (trace, header byte): a view."""
        return self.words.view(np.uint8)[:, : self.header_nbytes]

    @property
    def first_word(self) -> int:
        """Where the samples begin."""
        return self.header_nbytes // self.words.itemsize

    @property
    def sample_count(self) -> int:
        """Samples of a trace."""
        return int(self.words.shape[1]) - self.first_word

    @property
    def swap(self) -> bool:
        """Whether the byte order is not this machine's."""
        return self.byte_order != sys.byteorder

    def residue(
        self, rows: NDArray[np.int64], start: int, stop: int, samples: NDArray[np.float32], out: NDArray[np.uint32]
    ) -> None:
        """What encoding decoded IBM samples loses: source words XOR encoded samples, in native byte order.

        Args:
            rows: int64: which traces, -1 for none, whose residue is 0.
            start: First sample.
            stop: The one after the last.
            samples: float32 (row, at least ``stop - start``): decoded.
            out: uint32 like ``samples``; what is longer is filled with 0.
        """
        _residue_rectangle(self.words, rows, self.first_word + start, stop - start, self.swap, samples, out)


def decode(words: NDArray[np.uint32], *, is_ibm: bool) -> NDArray[np.float32]:
    """Samples of native-order words.

    Args:
        words: uint32, contiguous, any shape; native byte order.
        is_ibm: IBM words are converted, IEEE words are taken bit for bit.

    Returns:
        float32 of the same shape; for IEEE a view of ``words``.
    """
    if not is_ibm:
        return words.view(np.float32)
    samples = np.empty(words.shape, np.float32)
    _decode_ibm(words.reshape(-1), samples.reshape(-1))
    return samples


def encode(samples: NDArray[np.float32], *, is_ibm: bool) -> NDArray[np.uint32]:
    """Native-order words of samples: the inverse of ``decode`` wherever there is one, else the nearest word.

    Args:
        samples: float32, contiguous, any shape.
        is_ibm: Write IBM words; infinities and NaN become the largest word. IEEE words are the samples' bits.
    """
    if not is_ibm:
        return samples.view(np.uint32)
    words = np.empty(samples.shape, np.uint32)
    _encode_ibm(samples.reshape(-1), words.reshape(-1))
    return words
