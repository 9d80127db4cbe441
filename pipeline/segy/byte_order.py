"""Files whose bytes are swapped in pairs, as 16-bit machines left them: big endian, once the pairs are swapped back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

ByteOrder = Literal["big", "little", "pairwise"]
"""Of headers and samples; ``pairwise`` is revision 2's third order, in which ``ABCD`` is stored as ``BADC``."""


def swap_pairs(content: NDArray[np.uint8], *, header_nbytes: int) -> None:
    """Swaps the bytes of each pair, in place; doing it again undoes it.

    Pairs are counted from the beginning of the header and again from the beginning of the samples; where there is an
    odd number of bytes, the last one stays.

    Args:
        content: uint8 (trace, byte).
        header_nbytes: Bytes of a trace header.
    """
    for part in (content[:, :header_nbytes], content[:, header_nbytes:]):
        even = part.shape[1] // 2 * 2
        first = part[:, 0:even:2].copy()
        part[:, 0:even:2] = part[:, 1:even:2]
        part[:, 1:even:2] = first


@contextmanager
def pairs_in_order(content: NDArray[np.uint8], byte_order: str, *, header_nbytes: int) -> Iterator[None]:
    """Swaps pairs back while headers are looked at and changed, in place; what is in no pairs stays as it is.

    Args:
        content: uint8 (trace, byte).
        byte_order: Of the file.
        header_nbytes: Bytes of a trace header.
    """
    is_swapped = byte_order == "pairwise"
    if is_swapped:
        swap_pairs(content, header_nbytes=header_nbytes)
    try:
        yield
    finally:
        if is_swapped:
            swap_pairs(content, header_nbytes=header_nbytes)


def word_order(byte_order: str) -> Literal["big", "little"]:
    """Byte order of words of a file after its pairs were swapped back."""
    return "little" if byte_order == "little" else "big"


def stored_order(byte_order: str) -> Any:
    """NumPy's sign for words of a file after its pairs were swapped back."""
    return "<" if word_order(byte_order) == "little" else ">"
