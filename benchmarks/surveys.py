"""Synthetic surveys as SEG-Y files of any size, written about as fast as the disk takes them.

Headers and the order of traces are those of `pipeline.synthetic.rehearsal`. Samples are band-limited noise with a tenth
of white noise, as IBM floats that use all their bits: a block of it is repeated with another gain each time, so that no
two traces hold the same words, and lossless codecs find what they find in processed field data and not more.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from math import isqrt
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipeline.segy.fields import FILE_HEADER_NBYTES, IBM, TRACE_HEADER_NBYTES
from pipeline.segy.samples import encode
from pipeline.synthetic.rehearsal import ComputedSegy, RehearsalSurvey

Order = Literal["inline", "crossline", "random"]

Samples = Callable[[RehearsalSurvey, NDArray[np.int64]], NDArray[np.float32]]
"""float32 (trace, sample) of some traces of a survey, by their numbers."""

SAMPLES = 1500
"""Samples a trace, where nothing else is asked for."""

BLOCK_NBYTES = 64 * 2**20
"""Written at once."""

PATTERN_LINES = (64, 256)
"""Inlines and crosslines after which the noise comes again, with another gain."""

SMOOTHING_SAMPLES = 2.0
"""Standard deviation of the Gaussian that limits the noise's band, along each dimension."""

NOISE_RMS = (1000.0, 100.0)
"""Of band-limited and of white noise."""

GAINS = (0.8, 1.25)
SEED = 1


def survey_of(nbytes: int, *, order: Order = "inline", samples: int = SAMPLES) -> RehearsalSurvey:
    """A survey of about so many bytes, with about as many inlines as crosslines."""
    traces = max(4, nbytes // (TRACE_HEADER_NBYTES + 4 * samples))
    crosslines = isqrt(traces)
    return RehearsalSurvey(inlines=traces // crosslines, crosslines=crosslines, samples=samples, order=order)


def url_of(survey: RehearsalSurvey) -> str:
    """Where a survey is read that takes no disk; its samples compress to almost nothing."""
    keys = ("inlines", "crosslines", "samples", "order")
    return f"rehearsal://{','.join(f'{key}={getattr(survey, key)}' for key in keys)}/survey.sgy"


def write_survey(survey: RehearsalSurvey, folder: Path, *, samples: Samples | None = None, what: str = "") -> Path:
    """Writes a survey's file, unless it is there already.

    Args:
        survey: What is in it: its order, and sizes.
        folder: Where it goes.
        samples: Of some of its traces, before they become IBM floats; None takes noise.
        what: What those are, for the file's name.

    Returns:
        The file.
    """
    path = folder / f"{survey.inlines}x{survey.crosslines}x{survey.samples}-{survey.order}{what}.sgy"
    if path.exists() and path.stat().st_size == survey.nbytes:
        return path
    segy = ComputedSegy(survey)
    partial = path.with_suffix(".partial")
    header = np.empty(FILE_HEADER_NBYTES, np.uint8)
    segy.fill(header, start=0)
    at_once = max(1, BLOCK_NBYTES // survey.trace_nbytes)
    with open(partial, "wb") as file:
        file.write(header.data)
        for first in range(0, survey.trace_count, at_once):
            numbers = np.arange(first, min(first + at_once, survey.trace_count))
            traces = np.empty((numbers.size, survey.trace_nbytes), np.uint8)
            segy.fill(traces.reshape(-1), start=FILE_HEADER_NBYTES + first * survey.trace_nbytes)
            words = traces[:, TRACE_HEADER_NBYTES:].view(">u4")
            words[...] = encode((samples or samples_of)(survey, numbers), IBM)
            file.write(traces.data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def samples_of(survey: RehearsalSurvey, trace_numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Samples of some traces of a survey's file, before they become IBM floats.

    Args:
        survey: Which one.
        trace_numbers: int64 (trace), counted from 0.

    Returns:
        float32 (trace, sample).
    """
    lines = survey.cells(trace_numbers)
    in_pattern = tuple(line % period for line, period in zip(lines, PATTERN_LINES, strict=True))
    samples = _pattern(survey.samples)[in_pattern]
    # A gain for each repetition, that of its neighbours being another one: a fraction that never comes again.
    repetition = lines[0] // PATTERN_LINES[0] * 0.618034 + lines[1] // PATTERN_LINES[1] * 0.754878
    gains = GAINS[0] + (GAINS[1] - GAINS[0]) * np.modf(repetition)[0]
    samples *= gains.astype(np.float32)[:, None]
    return samples


@lru_cache(maxsize=1)
def _pattern(samples: int) -> NDArray[np.float32]:
    """float32 (inline, crossline, sample), without seams where it follows on itself."""
    random = np.random.default_rng(SEED)
    shape = (*PATTERN_LINES, samples)
    smooth: NDArray[np.float32] = gaussian_filter(
        random.standard_normal(shape, np.float32), SMOOTHING_SAMPLES, mode="wrap"
    )
    smooth *= NOISE_RMS[0] / smooth.std()
    smooth += random.standard_normal(shape, np.float32) * np.float32(NOISE_RMS[1])
    return smooth
