"""IBM or IEEE: what the words of a file's samples look like, whatever its header says.

A word of an IBM float is normalised: the first of its six hexadecimal digits of fraction is not zero. In IEEE floats
those four bits hold the end of the exponent and the beginning of the fraction, and where the exponent is even, one word
in six or so has zeros there. Read as IBM floats, IEEE floats spread over twice as many powers of two.

Samples within an octave or two, of a velocity model for instance, may be either: then nothing is said.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.segy.fields import IBM, IEEE
from pipeline.segy.samples import decode

LEAST_WORDS = 256
"""Other than zero and than each other, before anything is said."""

_LEAST_EXPONENTS = 3
_LEAST_EVEN_EXPONENTS = 2
_FREQUENT = 0.01
"""Share of the words from which on an exponent counts."""

_IBM_UNNORMALISED = 0.002
_IEEE_UNNORMALISED = 0.02
"""Shares of words with four zeros: what an IBM file may have at most, and what an IEEE file has at least."""

_NARROWER = 0.7
"""How much less IEEE floats spread when they are read as such."""


def likelier_format(words: NDArray[np.uint32]) -> int | None:
    """Which of the two formats the samples have.

    Args:
        words: Native words of samples from here and there in a file.

    Returns:
        `IBM` or `IEEE`; None where the words do not tell.
    """
    distinct = np.unique(words[(words & 0x7FFFFFFF) != 0])
    if distinct.size < LEAST_WORDS:
        return None
    exponents, counts = np.unique(distinct >> 23 & 0xFF, return_counts=True)
    frequent = exponents[counts >= _FREQUENT * distinct.size]
    if frequent.size < _LEAST_EXPONENTS:
        return None
    unnormalised = float(np.mean((distinct >> 20 & 0xF) == 0))
    if unnormalised <= _IBM_UNNORMALISED:
        return IBM if (frequent % 2 == 0).sum() >= _LEAST_EVEN_EXPONENTS else None
    is_narrower = _spread(decode(distinct, IEEE)) < _NARROWER * _spread(decode(distinct, IBM))
    return IEEE if unnormalised >= _IEEE_UNNORMALISED and is_narrower else None


def _spread(samples: NDArray[np.float32]) -> float:
    """Standard deviation of the samples' powers of two; infinite where some are no numbers."""
    if not np.isfinite(samples).all():
        return np.inf
    magnitudes = np.abs(samples[samples != 0].astype(np.float64))
    return float(np.log2(magnitudes).std()) if magnitudes.size else np.inf
