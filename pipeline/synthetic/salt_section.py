"""From recipe to samples: amplitude and salt of a synthetic survey, in slabs of inlines.

Age of each point -> ln(impedance) -> reflectivity -> convolved with the wavelet -> times gain -> plus noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from pipeline.synthetic.disturbance import Disturbance, SlideDeposits
from pipeline.synthetic.salt_body import SaltBody
from pipeline.synthetic.salt_survey import SaltSurvey
from pipeline.synthetic.sediments import BedColumn, Structure
from pipeline.synthetic.smooth_field import FloatArray, SmoothField

_GAIN_SPREAD = 0.4
"""Standard deviation of ln(gain): bright zones are some 1.5 times, dim ones some 0.7 times as loud as the mean."""

_MEAN_BED_PERIODS = 0.45
"""Mean bed thickness in dominant periods: most beds tune, as they do in real sections."""

_NOISE_STREAM = 6
"""Random streams 0 to 5 make the ground; this one, with the inline's position, makes the noise of an inline."""


@dataclass(frozen=True, slots=True)
class SaltSlab:
    """Some successive inlines of a survey.

    Attributes:
        first_inline_index: Position of its first inline, counted from 0.
        amplitude: float32 (inline, crossline, time), arbitrary units.
        salt: uint8 (inline, crossline, time), 1 in salt.
    """

    first_inline_index: int
    amplitude: FloatArray
    salt: NDArray[np.uint8]


def salt_slabs(survey: SaltSurvey, *, inlines_per_slab: int = 8) -> Iterator[SaltSlab]:
    """Amplitude and salt of a survey, from its first inline to its last.

    Args:
        survey: The recipe; the same recipe gives the same samples, however they are cut into slabs.
        inlines_per_slab: Inlines in a slab; the last may have fewer.

    Yields:
        Slabs in rising inline order, without gaps.
    """
    earth = _Earth(survey)
    for start in range(0, survey.n_inlines, inlines_per_slab):
        sections = [earth.section(index) for index in range(start, min(start + inlines_per_slab, survey.n_inlines))]
        amplitude, salt = (np.stack(part) for part in zip(*sections, strict=True))
        yield SaltSlab(first_inline_index=start, amplitude=amplitude, salt=salt)


def ricker_wavelet(*, dominant_frequency_hz: float, sample_interval_us: int) -> FloatArray:
    """Zero-phase Ricker wavelet of unit energy, float32, of odd length, long enough to fade to nothing.

    Source: Ricker, N. (1953), The form and laws of propagation of seismic wavelets, Geophysics 18, 10-40.
    """
    interval_s = sample_interval_us / 1e6
    half = int(np.ceil(1.3 / (dominant_frequency_hz * interval_s)))
    phase = (np.pi * dominant_frequency_hz * interval_s * np.arange(-half, half + 1)) ** 2
    wavelet: NDArray[np.float64] = (1 - 2 * phase) * np.exp(-phase)
    return (wavelet / np.linalg.norm(wavelet)).astype(np.float32)


class _Earth:
    """Everything a recipe's seed decides, ready to give any inline."""

    def __init__(self, survey: SaltSurvey) -> None:
        self._survey = survey
        self._wavelet = ricker_wavelet(
            dominant_frequency_hz=survey.dominant_frequency_hz, sample_interval_us=survey.sample_interval_us
        )
        # Interfaces lie half a sample off the traces' samples, and the wavelet reaches beyond both ends.
        margin = self._wavelet.size // 2
        n_interfaces = survey.n_samples + 2 * margin + 1
        self._recorded = slice(margin, margin + survey.n_samples)
        self._time = np.arange(n_interfaces, dtype=np.float32)[None, :] - np.float32(margin + 0.5)
        self._crossline = np.arange(survey.n_crosslines, dtype=np.float32)[:, None]

        column_rng, structure_rng, salt_rng, disturbance_rng, slide_rng, gain_rng = (
            np.random.default_rng([survey.seed, part]) for part in range(_NOISE_STREAM)
        )
        period = survey.dominant_period_samples
        self._column = BedColumn(
            column_rng, oldest=1.5 * n_interfaces + 10 * period, bed_thickness=_MEAN_BED_PERIODS * period
        )
        self._structure = Structure(survey, structure_rng)
        self._salt = SaltBody(survey, salt_rng, n_times=n_interfaces)
        self._disturbance = Disturbance(survey, disturbance_rng, n_times=n_interfaces)
        self._slides = SlideDeposits(survey, slide_rng)
        self._gain = SmoothField(gain_rng, shape=survey.shape, spacing=(25, 30, 30))
        self._signal_rms = np.float32(self._reflections(self._time).std())

    def section(self, inline_index: int) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Amplitude, float32, and salt, uint8, of one inline; both (crossline, time)."""
        where = {"crossline": self._crossline, "time": self._time}
        torn = self._disturbance.shift(inline_index)
        lift = self._salt.drag(inline_index=inline_index, **where)
        bedded = self._structure.age(inline_index=inline_index, **where) + lift
        slid = self._slides.mask(inline_index=inline_index, age=bedded, lift=lift)
        salt = self._salt.mask(inline_index=inline_index, **where)
        age = np.where(salt, self._time, bedded) + np.where(salt | slid, torn, np.float32(0))

        signal = self._reflections(age)[:, self._recorded] / self._signal_rms
        gain = np.exp(np.float32(_GAIN_SPREAD) * self._gain.panel(inline_index))
        amplitude = np.float32(self._survey.rms_amplitude) * (gain * signal + self._noise(inline_index))
        return amplitude, salt[:, self._recorded].astype(np.uint8)

    def _reflections(self, age: FloatArray) -> FloatArray:
        """Normal-incidence reflectivity, half the step of ln(impedance), convolved with the wavelet."""
        reflectivity = 0.5 * np.diff(self._column.log_impedance(age), axis=-1)
        convolved: FloatArray = correlate1d(reflectivity, self._wavelet, axis=-1)
        return convolved

    def _noise(self, inline_index: int) -> FloatArray:
        """Noise in the wavelet's band, independent from trace to trace, of RMS 1 / signal_to_noise."""
        rng = np.random.default_rng([self._survey.seed, _NOISE_STREAM, inline_index])
        white = rng.standard_normal(self._survey.shape[1:], dtype=np.float32)
        noise: FloatArray = correlate1d(white, self._wavelet, axis=-1) / np.float32(self._survey.signal_to_noise)
        return noise
