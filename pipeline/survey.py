"""One survey in one or several SEG-Y files: running trace numbers over all of them."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.segy.file import SegyFile, open_segy
from pipeline.segy.read import read_traces
from pipeline.segy.samples import decode


@dataclass(frozen=True, slots=True)
class TraceBlock:
    """Some traces of a survey, as read.

    Attributes:
        headers: uint8 (trace, header byte).
        words: uint32 (trace, sample), native byte order.
        samples: float32 (trace, sample).
        is_ibm: How the words are to be understood.
    """

    headers: NDArray[np.uint8]
    words: NDArray[np.uint32]
    samples: NDArray[np.float32]
    is_ibm: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """Files that follow one another, alike in samples, interval and format.

    Attributes:
        files: In order; the running trace number goes through them.
    """

    files: tuple[SegyFile, ...]

    @property
    def first_traces(self) -> tuple[int, ...]:
        """Running number of each file's first trace, and, last, the number of all traces."""
        return (0, *np.cumsum([file.trace_count for file in self.files]).tolist())

    @property
    def trace_count(self) -> int:
        """Traces in all files."""
        return sum(file.trace_count for file in self.files)

    @property
    def traces_nbytes(self) -> int:
        """Size of all traces, headers and samples."""
        return sum(file.trace_count * file.trace_nbytes for file in self.files)

    def read(self, trace_numbers: NDArray[np.int64]) -> TraceBlock:
        """Reads and decodes traces.

        Args:
            trace_numbers: int64, ascending running numbers.

        Raises:
            InputError: If a file became shorter.
        """
        template = self.files[0]
        edges = np.searchsorted(trace_numbers, self.first_traces)
        parts = [
            self._read_file(index, trace_numbers[begin:end])
            for index, (begin, end) in enumerate(pairwise(edges))
            if begin < end or index == 0
        ]
        traces = parts[0] if len(parts) == 1 else np.concatenate(parts)
        headers = traces[:, : template.trace_header_nbytes]
        stored = np.ascontiguousarray(traces[:, template.trace_header_nbytes :])
        words = stored.view(">u4" if template.byte_order == "big" else "<u4").astype(np.uint32)
        is_ibm = template.sample_format.is_ibm
        return TraceBlock(headers=headers, words=words, samples=decode(words, is_ibm=is_ibm), is_ibm=is_ibm)

    def _read_file(self, index: int, trace_numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        file = self.files[index]
        own_numbers = trace_numbers - self.first_traces[index]
        return read_traces(file.url, own_numbers, header_nbytes=file.header_nbytes, trace_nbytes=file.trace_nbytes)


def open_survey(paths: tuple[str, ...]) -> Survey:
    """Opens all files and sees that they belong together.

    Raises:
        InputError: If a file cannot be used, or differs from the first in what all must share.
    """
    urls = [_absolute(path) for path in paths]
    if twice := sorted({url for url in urls if urls.count(url) > 1}):
        raise InputError(f"{', '.join(twice)} is named twice: name each file of a survey once.")
    files = tuple(open_segy(url) for url in urls)
    shared = ("sample_count", "sample_interval_us", "format_code", "byte_order", "trace_header_nbytes")
    for file in files[1:]:
        for field in shared:
            expected, found = getattr(files[0], field), getattr(file, field)
            if expected != found:
                raise InputError(
                    f"{files[0].url} and {file.url} do not make one survey: {field.replace('_', ' ')} is {expected} "
                    f"in the first and {found} in the second. Convert them one by one."
                )
    return Survey(files)


def _absolute(path: str) -> str:
    """Workers may run in other folders; a URL says where it is by itself."""
    return path if "://" in path else str(Path(path).absolute())
