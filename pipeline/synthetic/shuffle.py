"""A random order of any number of things, of which each place is computed by itself."""

import math

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_ROUNDS = 6
"""Half of them move places along rows, half along columns."""


def shuffled(numbers: Indices, *, count: int, seed: int) -> Indices:
    """What a random permutation of ``range(count)`` makes of some of its numbers, without the others.

    A number is a place on a rectangle. Each round moves places along one side by a hash of where they are along the
    other, which can be undone, so no two places ever meet. The few places of the rectangle beyond ``count`` are walked
    through until the way leads back. Source: Black, J. and Rogaway, P. (2002), Ciphers with arbitrary finite domains,
    CT-RSA, methods 2 and 3.

    Args:
        numbers: int64, each below ``count``.
        count: How many numbers are permuted.
        seed: Picks the permutation.

    Returns:
        int64, as many.
    """
    rows = math.isqrt(count - 1) + 1
    columns = -(-count // rows)
    keys = np.random.SeedSequence(seed).generate_state(_ROUNDS, np.uint64)

    def moved(places: NDArray[np.uint64]) -> NDArray[np.uint64]:
        row, column = np.divmod(places, columns)
        for row_key, column_key in keys.reshape(-1, 2):
            row = (row + _hashed(column ^ row_key) % rows) % rows
            column = (column + _hashed(row ^ column_key) % columns) % columns
        return row * columns + column

    places = moved(numbers.astype(np.uint64))
    while (beyond := places >= count).any():
        places[beyond] = moved(places[beyond])
    return places.astype(np.int64)


def _hashed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014, Fast splittable pseudorandom number generators)."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
