"""Sample words to float32 and back, without holding the GIL.

An IBM System/360 short float is a sign bit, a 7-bit power of 16 with offset 64, and a 24-bit fraction:
``(-1)^s * 0.f * 16^(e - 64)`` (IBM, System/360 Principles of Operation, A22-6821). float32 carries every normalised
word whose value it can reach; the words that it cannot carry are told by ``residue_words``.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_POWERS_OF_16 = np.array([16.0 ** (exponent - 64) * 2.0**-24 for exponent in range(128)])
"""Value of one unit of the 24-bit fraction, by the word's exponent; exact in float64."""

_LARGEST_IBM = np.uint32(0x7FFFFFFF)


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


def residue_words(
    words: NDArray[np.uint32], samples: NDArray[np.float32], *, is_ibm: bool
) -> NDArray[np.uint32] | None:
    """What ``encode(decode(words))`` loses of the words: ``words XOR encode(samples)``, None where it is all zero."""
    if not is_ibm:
        return None
    residue = encode(samples, is_ibm=True) ^ words
    return residue if residue.any() else None
