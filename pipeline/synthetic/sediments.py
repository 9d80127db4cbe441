"""The sediments: one column of beds, and the age that each point of the survey has in it.

Ages are in samples: the age of a point is the time at which its bed would lie in undeformed ground. Folds, faults and
the drag of the salt are all shifts of age. ``crossline`` is a column (crossline, 1) and ``time`` a row (1, time), both
counted from the survey's first; together they span a section.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.synthetic.salt_survey import SaltSurvey
from pipeline.synthetic.smooth_field import FloatArray, SmoothField

_STEPS_PER_SAMPLE = 16
"""Resolution of the column: finer than a trace, or dipping beds would climb in steps."""

_LOG_IMPEDANCE_SPREAD = 0.08
"""Standard deviation of ln(impedance) from bed to bed: reflection coefficients of some 5 percent."""

_PACKAGE_SPREAD = 0.2
"""Standard deviation of ln(strength) from package to package."""

_BEDS_PER_PACKAGE = 8


class BedColumn:
    """ln(impedance) as a function of age: beds of random thickness and strength, in packages.

    Args:
        rng: Source of the beds.
        oldest: Largest age needed, samples; the column reaches as far to negative ages.
        bed_thickness: Mean thickness, samples.
    """

    def __init__(self, rng: np.random.Generator, *, oldest: float, bed_thickness: float) -> None:
        n_beds = int(4 * oldest / bed_thickness) + 16
        thickness = bed_thickness * (0.35 + rng.gamma(2.0, 0.65 / 2.0, n_beds))
        # Intervals with strong contrasts alternate with weak ones, as sandy and shaly sequences do.
        package_strength = np.exp(_PACKAGE_SPREAD * rng.standard_normal(n_beds // _BEDS_PER_PACKAGE + 1))
        strength = np.repeat(package_strength, _BEDS_PER_PACKAGE)[:n_beds]
        # Uniform, not normal: one freak bed would be the loudest thing at its depth and tell depth from loudness.
        log_impedance = _LOG_IMPEDANCE_SPREAD * strength * rng.uniform(-np.sqrt(3), np.sqrt(3), n_beds)
        bottoms = np.cumsum(thickness) - 2 * oldest
        self._first_age = -oldest
        ages = np.arange(int(2 * oldest * _STEPS_PER_SAMPLE)) / _STEPS_PER_SAMPLE + self._first_age
        fine = log_impedance[np.searchsorted(bottoms, ages).clip(max=n_beds - 1)]
        # Averaged over one sample, so that an interface between two samples shares its reflection among them.
        box = np.full(_STEPS_PER_SAMPLE, 1 / _STEPS_PER_SAMPLE)
        self._log_impedance: FloatArray = np.convolve(fine, box, mode="same").astype(np.float32)

    def log_impedance(self, age: FloatArray) -> FloatArray:
        """ln(impedance) at each age in samples; float32, the shape of ``age``."""
        index = ((age - np.float32(self._first_age)) * np.float32(_STEPS_PER_SAMPLE)).astype(np.int32)
        return np.take(self._log_impedance, index, mode="clip")


@dataclass(frozen=True, slots=True)
class Fault:
    """A straight normal fault: the ground went down on the side that its plane dips to.

    Attributes:
        crossline: Where it crosses the first inline at the first sample.
        strike: Crosslines it moves from one inline to the next.
        hade: Crosslines it moves from one sample to the next; its sign is the side it dips to.
        throw: How far the ground went down, samples.
    """

    crossline: float
    strike: float
    hade: float
    throw: float

    def age_shift(self, *, inline_index: int, crossline: FloatArray, time: FloatArray) -> FloatArray:
        """Shift of age on one inline, samples, float32 (crossline, time): younger where the ground went down."""
        plane = self.crossline + self.strike * inline_index + self.hade * time
        went_down = crossline > plane if self.hade > 0 else crossline < plane
        return np.where(went_down, np.float32(-self.throw), np.float32(0))


class Structure:
    """Dip, folds and faults of the sediments, before any salt.

    Args:
        survey: The recipe.
        rng: Source of the shapes.
    """

    def __init__(self, survey: SaltSurvey, rng: np.random.Generator) -> None:
        n_inlines, n_crosslines, n_samples = survey.shape
        self._n_samples = n_samples
        self._inline_dip, self._crossline_dip = rng.uniform(-0.06, 0.06, size=2).tolist()
        grid = (n_inlines, n_crosslines)
        self._shallow_fold = SmoothField(rng, shape=grid, spacing=(60, 70))
        self._deep_fold = SmoothField(rng, shape=grid, spacing=(40, 45))
        n_faults = max(2, round(n_crosslines / 50))
        period = survey.dominant_period_samples
        self._faults = [
            Fault(
                crossline=(index + rng.uniform(0.1, 0.9)) * n_crosslines / n_faults,
                strike=rng.uniform(-0.4, 0.4),
                hade=float(rng.choice([-1, 1])) * rng.uniform(0.25, 0.5),
                throw=period * rng.uniform(0.5, 1.6),
            )
            for index in range(n_faults)
        ]

    def age(self, *, inline_index: int, crossline: FloatArray, time: FloatArray) -> FloatArray:
        """Age of each point of one inline, samples, float32 (crossline, time)."""
        tilt = self._inline_dip * inline_index + self._crossline_dip * crossline
        shallow = 4.0 * self._shallow_fold.panel(inline_index)[:, None]
        deep = 9.0 * self._deep_fold.panel(inline_index)[:, None]
        age: FloatArray = time + tilt + shallow + deep * (time / self._n_samples)
        for fault in self._faults:
            age += fault.age_shift(inline_index=inline_index, crossline=crossline, time=time)
        return age
