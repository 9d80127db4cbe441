"""Surveys of any size that take no disk: their SEG-Y is computed as it is read.

A conversion of a petabyte can so be planned, and rehearsed in part or in full, on a laptop. The URL says everything:

    rehearsal://inlines=9000,crosslines=5000,samples=4000/survey.sgy
    rehearsal://inlines=9000,crosslines=5000,samples=4000,order=random,seed=7,format=5/survey.sgy

Its first part holds the fields of `RehearsalSurvey`, in any order. Any process in which the project is installed knows
the protocol, Dask's workers too.

What is in the file (SEG-Y rev 1, big endian; positions counted from 0 where nothing else is said)
    The trace of inline i and crossline j holds ``first_inline + i`` and ``first_crossline + j`` in its header, and
    lies at easting 500 000 + 25 i and northing 5 000 000 + 25 j metres, stored as centimetres. Its CDP number is
    ``i * crosslines + j + 1``, its sequence numbers are its place in the file from 1; these wrap around at 2^31.
    Its sample s is the integer

        i + 1                                        where s mod 128 = 0
        j + 1                                        where s mod 128 = 1
        round(1000 (1 - 2 p) exp(-p)) elsewhere,     p = (pi ((s mod 61) - 30) / 16)^2

    So a Ricker wavelet repeats every 61 samples, the same in every trace, and the cell is marked every 128, so that
    most chunks of a store tell where they belong. Numbers below 2^24 are exact as IBM and as IEEE floats.
    61 and 128 share no factor: samples that moved along a trace by a chunk are noticed too.
"""

import hashlib
from enum import IntEnum
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from data_catalog.schema import Model
from pipeline.segy.fields import (
    BINARY_FIELDS,
    BINARY_HEADER_NBYTES,
    FILE_HEADER_NBYTES,
    TEXT_HEADER_NBYTES,
    TRACE_FIELDS,
    TRACE_HEADER_NBYTES,
)
from pipeline.segy.fields import Field as HeaderField
from pipeline.segy.samples import encode
from pipeline.synthetic.shuffle import Indices, shuffled

MARK_SPACING = 128
"""Samples from one mark of the cell to the next."""

_WAVELET_SPACING, _WAVELET_PERIOD, _WAVELET_PEAK = 61, 16, 1000

_ORIGIN_X_CM, _ORIGIN_Y_CM, _BIN_CM = 50_000_000, 500_000_000, 2_500

_MAX_LINES = 500_000
"""Inlines or crosslines: their coordinates fit into header words, and their marks are exact floats."""

_INT32_LIMIT = 2**31

_BINARY_WORDS = BINARY_FIELDS | {
    "line_number": HeaderField(3205, "i4"),
    "reel_number": HeaderField(3209, "i4"),
    "ensemble_fold": HeaderField(3227, "i2"),
    "sorting_code": HeaderField(3229, "i2"),
    "fixed_length_traces": HeaderField(3503, "i2"),
}
_TRACE_WORDS = TRACE_FIELDS | {"number_in_line": HeaderField(1, "i4"), "number_in_file": HeaderField(5, "i4")}

Lines = Annotated[int, Field(ge=1, le=_MAX_LINES)]
FirstLine = Annotated[int, Field(ge=0, lt=_INT32_LIMIT - _MAX_LINES)]


class FormatCode(IntEnum):
    """Sample format codes, binary header bytes 3225-3226."""

    IBM_FLOAT = 1
    IEEE_FLOAT = 5


class RehearsalSurvey(Model):
    """A survey, defined in full by these values: a trace in every cell of a grid.

    Attributes:
        inlines: Number of inlines.
        crosslines: Number of crosslines.
        samples: Samples a trace.
        interval_us: Sample interval in microseconds.
        order: Order of the traces in the file: ``inline`` goes along one inline after another, ``crossline`` along one
            crossline after another, ``random`` jumps.
        seed: Picks the random order.
        format: Sample format code, 1 (IBM float) or 5 (IEEE float).
        swap: The trace of this number, from 0, and the next one are in each other's place, headers and samples; None
            leaves the order as it is.
        first_inline: Inline number of the first inline; numbers rise by 1.
        first_crossline: Crossline number of the first crossline; numbers rise by 1.
    """

    inlines: Lines
    crosslines: Lines
    samples: Annotated[int, Field(ge=2, le=65_535)]
    interval_us: Annotated[int, Field(ge=1, le=32_767)] = 4_000
    order: Literal["inline", "crossline", "random"] = "inline"
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    format: FormatCode = FormatCode.IBM_FLOAT
    swap: Annotated[int, Field(ge=0)] | None = None
    first_inline: FirstLine = 1
    first_crossline: FirstLine = 1

    @model_validator(mode="after")
    def _swapped_traces_are_there(self) -> Self:
        if self.swap is not None and self.swap + 1 >= self.trace_count:
            raise ValueError(f"swap={self.swap} needs a trace after it, and the last trace is {self.trace_count - 1}")
        return self

    @property
    def trace_count(self) -> int:
        """Traces in the file."""
        return self.inlines * self.crosslines

    @property
    def trace_nbytes(self) -> int:
        """Bytes from one trace to the next."""
        return TRACE_HEADER_NBYTES + 4 * self.samples

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return FILE_HEADER_NBYTES + self.trace_count * self.trace_nbytes

    def cells(self, trace_numbers: Indices) -> tuple[Indices, Indices]:
        """Where traces lie.

        Args:
            trace_numbers: int64 (trace), counted from 0.

        Returns:
            Inline indices and crossline indices, int64 (trace), counted from 0.
        """
        if self.swap is not None:
            first, second = (trace_numbers == self.swap + place for place in (0, 1))
            trace_numbers = trace_numbers + first - second.astype(np.int64)
        if self.order == "crossline":
            crossline_indices, inline_indices = np.divmod(trace_numbers, self.inlines)
            return inline_indices, crossline_indices
        if self.order == "random":
            trace_numbers = shuffled(trace_numbers, count=self.trace_count, seed=self.seed)
        inline_indices, crossline_indices = np.divmod(trace_numbers, self.crosslines)
        return inline_indices, crossline_indices


def expected_samples(inline_indices: Any, crossline_indices: Any, *, samples: int) -> NDArray[np.float32]:
    """The samples of some cells, whatever the order or the format of the survey.

    Args:
        inline_indices: Integer or integers, counted from 0.
        crossline_indices: The same; both are broadcast against each other.
        samples: Samples a trace.

    Returns:
        float32 (cells..., sample).
    """
    inline_indices, crossline_indices = np.broadcast_arrays(inline_indices, crossline_indices)
    traces = np.empty((*inline_indices.shape, samples), np.float32)
    traces[...] = _wavelets(samples)
    traces[..., 0::MARK_SPACING] = inline_indices[..., None] + 1
    traces[..., 1::MARK_SPACING] = crossline_indices[..., None] + 1
    return traces


def _wavelets(samples: int) -> NDArray[np.float32]:
    """What all traces share: the third line of the rule above, for every sample."""
    phase = (np.pi * (np.arange(samples) % _WAVELET_SPACING - _WAVELET_SPACING // 2) / _WAVELET_PERIOD) ** 2
    # By way of integers, which have no negative zero.
    return np.rint(_WAVELET_PEAK * (1 - 2 * phase) * np.exp(-phase)).astype(np.int32).astype(np.float32)


class ComputedSegy:
    """The bytes of a survey's file.

    Args:
        survey: What is in it.

    Attributes:
        nbytes: Size of the file.
        etag: A hash of all that decides the bytes.
    """

    def __init__(self, survey: RehearsalSurvey) -> None:
        self._survey = survey
        self._file_header = np.frombuffer(_text_header(survey) + _binary_header(survey), np.uint8)
        header_dtype = _words_dtype(_TRACE_WORDS, nbytes=TRACE_HEADER_NBYTES)
        self._trace_dtype = np.dtype([("header", header_dtype), ("samples", ">u4", (survey.samples,))])
        self._template = self._trace_template()
        self.nbytes = survey.nbytes
        # The text header names every value that decides where which trace lies.
        self.etag = hashlib.sha256(self._file_header.tobytes() + self._template.tobytes()).hexdigest()

    def fill(self, target: NDArray[np.uint8], *, start: int) -> None:
        """Computes a range of the file.

        Args:
            target: uint8 (byte), contiguous; takes the bytes from ``start`` on.
            start: Position of the first byte, from 0; the range lies inside the file.
        """
        head = self._file_header[start : start + target.size]
        target[: head.size] = head
        done = head.size
        while done < target.size:  # at most three times: a part of a trace, whole traces, a part of a trace
            trace_number, skipped = divmod(start + done - FILE_HEADER_NBYTES, self._template.size)
            rest = target[done:]
            if skipped == 0 and rest.size >= self._template.size:
                part = rest[: rest.size - rest.size % self._template.size]
                self._compute_traces(part, first=trace_number)
            else:
                trace = np.empty_like(self._template)
                self._compute_traces(trace, first=trace_number)
                part = trace[skipped : skipped + rest.size]
                rest[: part.size] = part
            done += part.size

    def _compute_traces(self, target: NDArray[np.uint8], *, first: int) -> None:
        """Fills ``target``, uint8 of whole traces, with those from number ``first`` on."""
        target.reshape(-1, self._template.size)[...] = self._template
        traces = target.view(self._trace_dtype)
        headers, words = traces["header"], traces["samples"]
        numbers = np.arange(first, first + traces.size)
        inline_indices, crossline_indices = self._survey.cells(numbers)
        headers["number_in_line"] = headers["number_in_file"] = (numbers + 1) % _INT32_LIMIT
        headers["cdp"] = (inline_indices * self._survey.crosslines + crossline_indices + 1) % _INT32_LIMIT
        headers["cdp_x"] = _ORIGIN_X_CM + _BIN_CM * inline_indices
        headers["cdp_y"] = _ORIGIN_Y_CM + _BIN_CM * crossline_indices
        headers["inline"] = self._survey.first_inline + inline_indices
        headers["crossline"] = self._survey.first_crossline + crossline_indices
        words[:, 0::MARK_SPACING] = self._words(inline_indices + 1)[:, None]
        words[:, 1::MARK_SPACING] = self._words(crossline_indices + 1)[:, None]

    def _trace_template(self) -> NDArray[np.uint8]:
        """What all traces share, uint8 (byte)."""
        trace = np.zeros(1, self._trace_dtype)
        header = trace["header"]
        header["trace_identification"] = 1  # seismic data
        header["coordinate_scalar"] = -100
        header["coordinate_units"] = 1  # length
        header["sample_count"] = self._survey.samples
        header["sample_interval_us"] = self._survey.interval_us
        trace["samples"] = self._words(_wavelets(self._survey.samples))
        return trace.view(np.uint8)

    def _words(self, values: NDArray[Any]) -> NDArray[np.uint32]:
        return encode(values.astype(np.float32), self._survey.format)


def _words_dtype(fields: dict[str, HeaderField], *, nbytes: int, origin: int = 1) -> np.dtype[np.void]:
    """A header as a structured type, from a table of positions; ``origin`` is that of the header's first byte."""
    return np.dtype(
        {
            "names": list(fields),
            "formats": [f">{field.dtype}" for field in fields.values()],
            "offsets": [field.first_byte - origin for field in fields.values()],
            "itemsize": nbytes,
        }
    )


def _binary_header(survey: RehearsalSurvey) -> bytes:
    header = np.zeros(1, _words_dtype(_BINARY_WORDS, nbytes=BINARY_HEADER_NBYTES, origin=TEXT_HEADER_NBYTES + 1))
    header["line_number"] = header["reel_number"] = header["ensemble_fold"] = 1
    header["sample_interval_us"] = survey.interval_us
    header["sample_count"] = survey.samples
    header["sample_format"] = survey.format
    header["sorting_code"] = 4  # horizontally stacked
    header["measurement_system"] = 1  # metres
    header["revision_major"] = header["fixed_length_traces"] = 1
    return header.tobytes()


def _text_header(survey: RehearsalSurvey) -> bytes:
    last_inline = survey.first_inline + survey.inlines - 1
    last_crossline = survey.first_crossline + survey.crosslines - 1
    lines = {
        1: "TRACEMILL REHEARSAL SURVEY",
        2: "NOT FIELD DATA: COMPUTED FROM THE VALUES BELOW AS IT IS READ",
        4: f"INLINES {survey.first_inline}-{last_inline}, BYTES 189-192",
        5: f"CROSSLINES {survey.first_crossline}-{last_crossline}, BYTES 193-196",
        6: "CDP X BYTES 181-184, CDP Y BYTES 185-188, METRES, BINS OF 25 M",
        7: "COORDINATE SCALAR -100 BYTES 71-72: DIVIDE BY 100",
        8: f"{survey.samples} SAMPLES A TRACE EVERY {survey.interval_us} US",
        9: f"ORDER OF TRACES {survey.order.upper()}, SEED {survey.seed}, SWAP {survey.swap}",
        39: "SEG Y REV1",
        40: "END TEXTUAL HEADER",
    }
    return "".join(f"C{number:2d} {lines.get(number, ''):<76}" for number in range(1, 41)).encode("cp037")
