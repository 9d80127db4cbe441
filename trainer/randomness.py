"""Random streams, each derived from the run's seed, a purpose and numbers; nothing draws from a global generator."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; two purposes never share numbers. The values are part of a run's order: keep them."""

    GROUPS = 1
    POOL = 2
    EXAMPLE = 3
    WEIGHTS = 4


def stream(seed: int, *numbers: int, purpose: Purpose) -> np.random.Generator:
    """A generator that depends on its arguments alone (Philox, counter-based).

    Args:
        seed: Of the run.
        numbers: Whatever tells this stream from others of the same purpose, e.g. epoch and window.
        purpose: What it is for.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(purpose, *numbers))))
