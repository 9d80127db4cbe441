"""A synthetic survey as two SEG-Y rev 1 files: what was recorded, and where the salt is.

Layout: SEG Technical Standards Committee, SEG Y rev 1 Data Exchange format, 2002.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import segyio
from numpy.typing import NDArray
from segyio import BinField, TraceField

from pipeline.synthetic.salt_section import salt_slabs
from pipeline.synthetic.salt_survey import COORDINATE_SCALAR, SaltSurvey

IBM_FLOAT, IEEE_FLOAT = 1, 5
"""Data sample format codes, binary header bytes 3225-3226."""

_HORIZONTALLY_STACKED = 4
_LIVE_SEISMIC_TRACE = 1
_METRES = 1
_COORDINATES_ARE_LENGTHS = 1


@dataclass(frozen=True, slots=True)
class SaltSurveyFiles:
    """Where a survey was written.

    Attributes:
        amplitude: SEG-Y of the amplitudes, IBM float.
        salt: SEG-Y of the salt on the same grid, IEEE float: 1 in salt, 0 elsewhere.
    """

    amplitude: Path
    salt: Path


def write_salt_survey(survey: SaltSurvey, *, out: Path) -> SaltSurveyFiles:
    """Write a survey's two files, ``amplitude.segy`` and ``salt.segy``, into a folder.

    Both appear only when both are complete; files of the same names are replaced.

    Args:
        survey: The recipe.
        out: Folder; made where it is missing.

    Returns:
        Paths of the two files.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = SaltSurveyFiles(amplitude=out / "amplitude.segy", salt=out / "salt.segy")
    with (
        _complete_or_absent(files.amplitude) as amplitude_path,
        _complete_or_absent(files.salt) as salt_path,
        _create(survey, amplitude_path, sample_format=IBM_FLOAT, content="AMPLITUDE") as amplitude_file,
        _create(survey, salt_path, sample_format=IEEE_FLOAT, content="SALT LABEL: 1 SALT, 0 OTHER ROCK") as salt_file,
    ):
        for slab in salt_slabs(survey):
            for file, samples in ((amplitude_file, slab.amplitude), (salt_file, slab.salt)):
                _write_inlines(survey, file, first_inline_index=slab.first_inline_index, samples=samples)
    return files


def cdp_coordinates_m(survey: SaltSurvey, *, inline_index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Easting and northing of one inline's traces in metres, float64, each (crossline,)."""
    azimuth = np.deg2rad(survey.grid_azimuth_deg)
    along = survey.crossline_spacing_m * np.arange(survey.n_crosslines)
    across = survey.inline_spacing_m * inline_index
    x_m = survey.origin_x_m + along * np.sin(azimuth) + across * np.cos(azimuth)
    y_m = survey.origin_y_m + along * np.cos(azimuth) - across * np.sin(azimuth)
    return x_m, y_m


@contextlib.contextmanager
def _complete_or_absent(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it at the end, removed on failure."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _create(survey: SaltSurvey, path: Path, *, sample_format: int, content: str) -> segyio.SegyFile:
    spec = segyio.spec()
    spec.iline, spec.xline = TraceField.INLINE_3D, TraceField.CROSSLINE_3D
    spec.ilines, spec.xlines = survey.inline_numbers, survey.crossline_numbers
    spec.samples = np.arange(survey.n_samples) * (survey.sample_interval_us / 1000)
    spec.sorting = segyio.TraceSortingFormat.INLINE_SORTING
    spec.format = sample_format
    file = segyio.create(str(path), spec)
    file.text[0] = segyio.create_text_header(_text_header(survey, content=content))
    file.bin.update(
        {
            BinField.JobID: 1,
            BinField.LineNumber: survey.first_inline,
            BinField.ReelNumber: 1,
            BinField.Traces: survey.n_crosslines,
            BinField.AuxTraces: 0,
            BinField.Interval: survey.sample_interval_us,
            BinField.IntervalOriginal: survey.sample_interval_us,
            BinField.Samples: survey.n_samples,
            BinField.SamplesOriginal: survey.n_samples,
            BinField.Format: sample_format,
            BinField.EnsembleFold: 1,
            BinField.SortingCode: _HORIZONTALLY_STACKED,
            BinField.MeasurementSystem: _METRES,
            BinField.SEGYRevision: 1,
            BinField.SEGYRevisionMinor: 0,
            BinField.TraceFlag: 1,
            BinField.ExtendedHeaders: 0,
        }
    )
    return file


def _write_inlines(
    survey: SaltSurvey, file: segyio.SegyFile, *, first_inline_index: int, samples: NDArray[Any]
) -> None:
    for offset, section in enumerate(samples):
        inline_index = first_inline_index + offset
        first_trace = inline_index * survey.n_crosslines
        x_m, y_m = cdp_coordinates_m(survey, inline_index=inline_index)
        for crossline_index, trace_samples in enumerate(section.astype(np.float32, copy=False)):
            trace = first_trace + crossline_index
            file.header[trace] = {
                TraceField.TRACE_SEQUENCE_LINE: crossline_index + 1,
                TraceField.TRACE_SEQUENCE_FILE: trace + 1,
                TraceField.CDP: trace + 1,
                TraceField.CDP_TRACE: 1,
                TraceField.TraceIdentificationCode: _LIVE_SEISMIC_TRACE,
                TraceField.SourceGroupScalar: COORDINATE_SCALAR,
                TraceField.CoordinateUnits: _COORDINATES_ARE_LENGTHS,
                TraceField.TRACE_SAMPLE_COUNT: survey.n_samples,
                TraceField.TRACE_SAMPLE_INTERVAL: survey.sample_interval_us,
                TraceField.CDP_X: round(x_m[crossline_index] * -COORDINATE_SCALAR),
                TraceField.CDP_Y: round(y_m[crossline_index] * -COORDINATE_SCALAR),
                TraceField.INLINE_3D: survey.first_inline + inline_index,
                TraceField.CROSSLINE_3D: survey.first_crossline + crossline_index,
            }
            file.trace[trace] = trace_samples


def _text_header(survey: SaltSurvey, *, content: str) -> dict[int, str]:
    last_inline, last_crossline = survey.inline_numbers[-1], survey.crossline_numbers[-1]
    return {
        1: "TRACEMILL SYNTHETIC SALT SURVEY",
        2: f"CONTENT: {content}",
        3: "NOT FIELD DATA. CONVOLUTIONAL MODEL, NO WAVE PROPAGATION, NO MIGRATION",
        5: f"INLINES {survey.first_inline}-{last_inline}, BYTES 189-192",
        6: f"CROSSLINES {survey.first_crossline}-{last_crossline}, BYTES 193-196",
        7: "CDP X BYTES 181-184, CDP Y BYTES 185-188, METRES",
        8: f"COORDINATE SCALAR {COORDINATE_SCALAR} BYTES 71-72: DIVIDE BY {-COORDINATE_SCALAR}",
        9: f"INLINE SPACING {survey.inline_spacing_m:g} M, CROSSLINE SPACING {survey.crossline_spacing_m:g} M",
        10: f"CROSSLINES RISE TOWARDS AZIMUTH {survey.grid_azimuth_deg:g} DEG, INLINES 90 DEG MORE",
        12: f"{survey.n_samples} SAMPLES A TRACE EVERY {survey.sample_interval_us} US, FIRST AT 0 MS TWO-WAY TIME",
        13: f"RICKER WAVELET {survey.dominant_frequency_hz:g} HZ, ZERO PHASE; SEED {survey.seed}",
        39: "SEG Y REV1",
        40: "END TEXTUAL HEADER",
    }
