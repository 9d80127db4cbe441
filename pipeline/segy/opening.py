"""Opening a file: what is said of how to read it, and what is known of it so far."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator
from pydantic import Field as PydanticField

from data_catalog.schema import Model
from pipeline.segy.byte_order import ByteOrder, swap_pairs, word_order
from pipeline.segy.fields import SAMPLE_FORMATS, Field, read_words
from pipeline.segy.read import read_bytes

Truncated = Literal["salvage", "drop", "fail"]
"""What becomes of a trace that the file's end cuts off."""


def _format_code(code: int) -> int:
    if code not in SAMPLE_FORMATS:
        raise ValueError(f"a sample format is one of {', '.join(map(str, SAMPLE_FORMATS))}")
    return code


class Reading(Model):
    """How a file is to be read, where its headers do not say it or say it wrongly. None leaves a thing to them.

    Attributes:
        format: ``segy``, or ``su`` for Seismic Unix: traces alone, without a file header.
        byte_order: Of headers and samples.
        sample_format: Code of the sample format.
        sample_count: Samples a trace.
        sample_interval_us: Sample interval in microseconds, or thousandths of the depth's unit.
        truncated: What becomes of a trace that the file's end cuts off: ``salvage`` fills it up with zeros, ``drop``
            keeps its bytes for the export alone, ``fail`` refuses the file.
    """

    format: Literal["segy", "su"] | None = None
    byte_order: ByteOrder | None = None
    sample_format: Annotated[int, AfterValidator(_format_code)] | None = None
    sample_count: Annotated[int, PydanticField(ge=1)] | None = None
    sample_interval_us: Annotated[float, PydanticField(gt=0, allow_inf_nan=False)] | None = None
    truncated: Truncated = "salvage"


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to cut a file into traces.

    Attributes:
        header_nbytes: Bytes before the first trace.
        trace_header_nbytes: 240, and 240 more for each trace header extension.
        sample_count: Samples a trace.
        sample_nbytes: Bytes a sample.
        trace_count: Whole traces that the file has room for.
        rest_nbytes: Bytes that are left over.
    """

    header_nbytes: int
    trace_header_nbytes: int
    sample_count: int
    sample_nbytes: int
    trace_count: int
    rest_nbytes: int

    @property
    def trace_nbytes(self) -> int:
        """Bytes from one trace to the next."""
        return self.trace_header_nbytes + self.sample_count * self.sample_nbytes


@dataclass(slots=True)
class Opening:
    """What is known of a file so far.

    Attributes:
        url: Path or fsspec URL.
        nbytes: Size of the file.
        reading: What is known better than its headers say.
        oddities: What was contradictory and how it was decided, as far as was seen.
        byte_order: Of headers and samples.
    """

    url: str
    nbytes: int
    reading: Reading
    oddities: list[str]
    byte_order: ByteOrder = "big"

    def trace_headers(self, layout: Layout, traces: list[int]) -> NDArray[np.uint8]:
        """Headers of some traces, uint8 (trace, byte), with pairs swapped back; zeros where the file has ended."""
        headers = np.zeros((len(traces), layout.trace_header_nbytes), np.uint8)
        for row, trace in enumerate(traces):
            start = layout.header_nbytes + trace * layout.trace_nbytes
            content = np.frombuffer(read_bytes(self.url, start, layout.trace_header_nbytes), np.uint8)
            headers[row, : content.size] = content
        if self.byte_order == "pairwise":
            swap_pairs(headers, header_nbytes=headers.shape[1])
        return headers

    def words(self, headers: NDArray[np.uint8], word: Field) -> list[int]:
        """One word of some headers, uint8 (header, byte), whose pairs were swapped back."""
        values: list[int] = read_words(headers, word, byte_order=word_order(self.byte_order)).tolist()
        return values
