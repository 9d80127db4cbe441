"""Fewer significant bits, for stores that may lose some: what is left compresses better, and what is lost is recorded.

A float32 has 24 significant bits, a float16 has 11. Rounding to 11 bits therefore loses as much as float16 does, but
keeps float32's range: amplitudes of a million, or of a millionth, need no scale and overflow nowhere. The bits that are
zero after rounding cost next to nothing once bits are shuffled. (Zender 2016, doi:10.5194/gmd-9-3199-2016; Kloewer and
others 2021, doi:10.1038/s43588-021-00156-2.)
"""

import numpy as np
from numba import njit, uint32
from numpy.typing import NDArray

FLOAT32_BITS = 24
"""Significant bits of a float32, the implied first one included."""


@njit("float64(float32[::1], int64)", nogil=True, cache=True)
def round_in_place(samples: NDArray[np.float32], dropped_bits: int) -> float:
    """Rounds samples to the nearest with fewer significant bits, ties to even; for kernels.

    Args:
        samples: float32; what is not finite, or would no longer be, stays as it is.
        dropped_bits: How many of 24 are dropped, at least one.

    Returns:
        The largest difference that it made.
    """
    bits = samples.view(np.uint32)
    mask = uint32(uint32(0xFFFFFFFF) << uint32(dropped_bits))
    half = uint32(uint32(uint32(1) << uint32(dropped_bits - 1)) - uint32(1))
    largest = np.float32(0)
    for index in range(samples.size):
        before = samples[index]
        word = bits[index]
        odd = uint32(uint32(word >> uint32(dropped_bits)) & uint32(1))
        rounded = uint32(uint32(word + uint32(half + odd)) & mask)
        # Both: adding to the bits of a NaN may make a finite number of them.
        was_finite = uint32(word & uint32(0x7F800000)) != uint32(0x7F800000)
        if was_finite and uint32(rounded & uint32(0x7F800000)) != uint32(0x7F800000):
            bits[index] = rounded
            largest = max(largest, np.float32(abs(samples[index] - before)))
    return np.float64(largest)
