"""Random numbers, each derived from the run's seed, a purpose and numbers; nothing draws from a global generator."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Purpose(IntEnum):
    """What a stream is for; two purposes never share numbers. The values are part of a run's order: keep them."""

    GROUPS = 1
    SLAB = 2
    EXAMPLE = 3
    WEIGHTS = 4
    LANES = 5
    SUBSTITUTES = 6
    AUGMENT = 7
    LAYERS = 8


def stream(seed: int, *numbers: int, purpose: Purpose) -> np.random.Generator:
    """A generator that depends on its arguments alone (Philox, counter-based).

    Args:
        seed: Of the run.
        numbers: Whatever tells this stream from others of the same purpose, e.g. epoch and window.
        purpose: What it is for.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(purpose, *numbers))))


def hashed(numbers: Words, *, key: int) -> Words:
    """One random word for each number: cheaper than a stream where many are wanted at once.

    SplitMix64's finaliser (Steele, Lea and Flood, 2014) on a counter that begins at the key.

    Args:
        numbers: Any shape.
        key: Of the sequence, e.g. a seed; taken modulo 2^64.
    """
    mixed = (numbers + np.uint64(key % 2**64)) * _GOLDEN_GAMMA + _GOLDEN_GAMMA  # wraps around, as it should
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
