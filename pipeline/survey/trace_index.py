"""The trace index: header words of every trace of a survey, kept outside memory and read in ranges.

header word                trace: parts, one stored object each
inline            | 0 ... 65535 | 65536 ... | ...          int32, one Zarr array for each file of the survey
crossline         |             |           |
...               |             |           |
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.errors import ContainsArrayError

from data_catalog import WorkError
from data_catalog.schema import Model
from pipeline.survey.header_words import STACKED, HeaderSummary, HeaderWords

FIELDS = STACKED
"""Rows of the arrays, unless more are asked for. Words of two and of four bytes: all are held by int32."""

_NOT_WRITTEN = -(2**31)
_TWO_BYTE_WORD = "delay_ms"
"""Where the value above tells that a part was not written: two bytes never hold it."""


class IndexedFile(Model):
    """The index of one file of a survey.

    Attributes:
        url: Zarr array, int32 (field, trace).
        trace_count: Traces in the file.
        part_traces: Traces in a part.
        fields: Rows.
    """

    url: str
    trace_count: int
    part_traces: int
    fields: tuple[str, ...] = FIELDS

    def create(self) -> None:
        """Makes the array, without values, unless it is there: what a run that was stopped has written stays."""
        try:
            zarr.create_array(
                self.url,
                shape=(len(self.fields), self.trace_count),
                dtype="int32",
                chunks=(len(self.fields), self.part_traces),
                compressors=(ZstdCodec(level=1),),
                fill_value=_NOT_WRITTEN,
                dimension_names=("field", "trace"),
                attributes={"fields": list(self.fields)},
            )
        except ContainsArrayError:
            return

    def parts(self) -> Iterator[tuple[int, int]]:
        """First trace of each part, and the one after its last."""
        for start in range(0, self.trace_count, self.part_traces):
            yield start, min(start + self.part_traces, self.trace_count)

    def write(self, start: int, words: HeaderWords) -> None:
        """Writes a part, whole."""
        part = np.stack([words[name].astype(np.int32) for name in self.fields])
        stop = start + part.shape[1]
        if start % self.part_traces or (part.shape[1] != self.part_traces and stop != self.trace_count):
            raise RuntimeError(f"traces {start} to {stop} are no part of {self.part_traces} traces")
        self._open(mode="r+")[:, start:stop] = part

    def read(self, start: int, stop: int, names: Iterable[str]) -> HeaderWords | None:
        """Words of a range of traces, part after part.

        Returns:
            int64 (trace) by name; None where some of them were not written.
        """
        rows = [self.fields.index(name) for name in names]
        found = np.empty((len(rows), stop - start), np.int64)
        array = self._open(mode="r")
        for begin in range(start - start % self.part_traces, stop, self.part_traces):
            first, last = max(begin, start), min(begin + self.part_traces, stop)
            part = np.asarray(array[:, first:last])
            if part[self.fields.index(_TWO_BYTE_WORD), 0] == _NOT_WRITTEN:
                return None
            found[:, first - start : last - start] = part[rows]
        return dict(zip([self.fields[row] for row in rows], found, strict=True))

    def _open(self, *, mode: Any) -> zarr.Array[Any]:
        return zarr.open_array(self.url, mode=mode, zarr_format=3)


@dataclass(frozen=True)
class TraceIndex:
    """Header words of all traces of a survey; small itself, whatever the survey's size.

    Attributes:
        files: Where the words are, file by file.
        summary: What all of them are like.
        first: Words of the first trace.
        samples: Words of some traces, a random one out of each of many equal stretches, in running order.
    """

    files: tuple[IndexedFile, ...]
    summary: HeaderSummary
    first: dict[str, int]
    samples: HeaderWords

    @property
    def trace_count(self) -> int:
        """Traces in all files."""
        return self.summary.trace_count

    def parts(self) -> Iterator[tuple[int, int]]:
        """Running numbers of each part's first trace, and of the one after its last."""
        for file, (first, _) in zip(self.files, self._ranges(), strict=True):
            for start, stop in file.parts():
                yield first + start, first + stop

    def read(self, start: int, stop: int, names: Iterable[str]) -> HeaderWords:
        """Words of a range of traces.

        Args:
            start: Running number of the first one.
            stop: That after the last one.
            names: Which words.

        Returns:
            int64 (trace) by name.

        Raises:
            WorkError: If some of them are gone.
        """
        names = tuple(names)
        found = []
        for file, (first, last) in zip(self.files, self._ranges(), strict=True):
            if start < last and first < stop:
                words = file.read(max(start, first) - first, min(stop, last) - first, names)
                if words is None:
                    raise WorkError(f"the trace index {file.url} lost some of its parts: remove it, and begin again.")
                found.append(words)
        return {name: np.concatenate([words[name] for words in found]) for name in names}

    def _ranges(self) -> Iterable[tuple[int, int]]:
        """Running numbers of each file's first trace, and of the one after its last."""
        return pairwise(accumulate((file.trace_count for file in self.files), initial=0))


def sampled_rows(start: int, stop: int, *, spacing: int) -> NDArray[np.int64]:
    """Picks a random trace out of each stretch of ``spacing`` traces that begins in a range, always the same ones.

    Regular steps would keep in step with inlines and show the same crossline again and again.
    """
    begins = np.arange(start + -start % spacing, stop, spacing, dtype=np.int64)
    lengths = np.minimum(spacing, stop - begins)
    return begins + np.random.default_rng(start).integers(0, lengths)
