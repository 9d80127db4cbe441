"""Some traces with their samples: what they are like, and what is drawn of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.segy.samples import StoredTraces
from pipeline.survey.files import Survey

TRACES = 256
NBYTES = 64 * 2**20
"""At most, of traces that are looked at."""


@dataclass(frozen=True)
class SampledTraces:
    """Traces from all over a survey.

    Attributes:
        numbers: int64 (trace): running numbers.
        samples: float32 (trace, sample).
    """

    numbers: NDArray[np.int64]
    samples: NDArray[np.float32]

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.numbers.size)

    @property
    def dead_count(self) -> int:
        """How many are zero throughout."""
        return int((self.samples == 0).all(axis=1).sum())

    @property
    def nonfinite_count(self) -> int:
        """How many hold samples that are NaN or infinite."""
        return int((~np.isfinite(self.samples)).any(axis=1).sum())

    def told(self) -> dict[str, Any]:
        """As JSON values."""
        finite = self.samples[np.isfinite(self.samples)].astype(np.float64)
        return {
            "traces": self.count,
            "dead": self.dead_count,
            "nonfinite": self.nonfinite_count,
            "minimum": float(finite.min()) if finite.size else None,
            "maximum": float(finite.max()) if finite.size else None,
            "rms": float(np.sqrt((finite**2).mean())) if finite.size else None,
        }


def sampled_traces(survey: Survey) -> SampledTraces:
    """Reads traces at equal distances, from the first to the last."""
    count = max(1, min(TRACES, survey.trace_count, NBYTES // survey.trace_nbytes))
    return read_traces(survey, np.unique(np.linspace(0, survey.trace_count - 1, count).astype(np.int64)))


def neighbouring_traces(survey: Survey, most: int) -> SampledTraces:
    """Reads traces that follow one another, in the middle of the survey."""
    count = max(1, min(most, survey.trace_count, NBYTES // survey.trace_nbytes))
    first = (survey.trace_count - count) // 2
    return read_traces(survey, np.arange(first, first + count, dtype=np.int64))


def read_traces(survey: Survey, numbers: NDArray[np.int64]) -> SampledTraces:
    """Reads and decodes traces.

    Args:
        survey: The files.
        numbers: int64, ascending: running numbers.
    """
    file = survey.files[0]
    content = np.empty((numbers.size, survey.trace_nbytes), np.uint8)
    survey.read(numbers, content)
    traces = StoredTraces(content, file.trace_header_nbytes, file.word_order, file.format_code)
    return SampledTraces(numbers, traces.samples())
