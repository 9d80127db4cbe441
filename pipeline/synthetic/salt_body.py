"""The salt: where it is, and how it drags the sediments up.

``crossline`` is a column (crossline, 1) and ``time`` a row (1, time), both counted from the survey's first.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.salt_survey import SaltSurvey
from pipeline.synthetic.smooth_field import FloatArray, SmoothField

_OUTLINE_HEIGHT = (0.0, 0.12, 0.32, 0.5, 0.68, 0.8, 0.9, 0.96, 1.0)
_OUTLINE_WIDTH = (1.25, 1.03, 0.88, 0.95, 1.10, 1.06, 0.80, 0.50, 0.0)
"""Half-width of a wall against height, both relative: a pedestal, a stem, and a bulb that overhangs it."""

_RUGOSITY = ((24, 6.0), (8, 2.0))
"""Size of the bumps on the salt's skin and how far they stand out, in samples; twice as wide in traces as high."""


@dataclass(frozen=True, slots=True)
class WallSection:
    """One salt wall where an inline cuts it.

    Attributes:
        axis: Crossline of its axis at half height.
        lean: How far the crown stands off the foot, traces.
        half_width: Half-width of the stem, traces.
        crown: Time of its top, samples.
        base: Time of its base, samples.
    """

    axis: float
    lean: float
    half_width: float
    crown: float
    base: float

    def contains(self, *, crossline: FloatArray, time: FloatArray) -> NDArray[np.bool_]:
        """Whether each point lies in the wall; bool, the shape that the two broadcast to."""
        height = (self.base - time) / (self.base - self.crown)
        width = np.interp(height, _OUTLINE_HEIGHT, _OUTLINE_WIDTH, left=0.0, right=0.0)
        inside: NDArray[np.bool_] = np.abs(crossline - self.axis - self.lean * (height - 0.5)) < self.half_width * width
        return inside

    def drag(self, *, crossline: FloatArray, time: FloatArray) -> FloatArray:
        """Uplift of the sediments by the rising salt, samples, float32 (crossline, time).

        It is largest at the flanks, fades away from them and upward above the crown (the beds there thin: they were
        laid down while the salt rose), and is nil below the base.
        """
        tallness = self.base - self.crown
        off_flank = np.maximum(np.abs(crossline - self.axis) / self.half_width - 0.3, 0)
        rise = np.minimum((self.base - time) / (0.7 * tallness), 1).clip(min=0)
        fade = np.exp(-np.maximum(self.crown - time, 0) / (0.5 * tallness))
        lift: FloatArray = 0.24 * tallness * np.exp(-((off_flank / 0.9) ** 2)) * (rise * fade)
        return lift


class _Wall:
    """One wall along its whole length: diapirs that swell, lean and rise differently from inline to inline."""

    def __init__(self, survey: SaltSurvey, rng: np.random.Generator, *, first_axis: float, drift: float) -> None:
        self._survey = survey
        self._first_axis = first_axis
        self._drift = drift
        self._wander, self._lean, self._swell, self._crown = (
            SmoothField(rng, shape=(survey.n_inlines,), spacing=(18,)) for _ in range(4)
        )

    def section(self, inline_index: int, *, base: float) -> WallSection:
        wander, lean, swell, crown = (
            float(field.panel(inline_index)) for field in (self._wander, self._lean, self._swell, self._crown)
        )
        _, n_crosslines, n_samples = self._survey.shape
        return WallSection(
            axis=self._first_axis + self._drift * inline_index + n_crosslines * 0.02 * wander,
            lean=n_crosslines * 0.06 * lean,
            half_width=n_crosslines * 0.12 * float(np.exp(0.18 * swell)),
            crown=n_samples * (0.27 + 0.07 * float(np.tanh(crown))),
            base=base,
        )


class SaltBody:
    """Two walls of connected diapirs that cross the survey obliquely.

    Args:
        survey: The recipe.
        rng: Source of the shapes.
        n_times: Size of the time axis that sections are asked for.
    """

    def __init__(self, survey: SaltSurvey, rng: np.random.Generator, *, n_times: int) -> None:
        n_inlines, n_crosslines, n_samples = survey.shape
        # From the first inline to the last, the walls move by about half the distance between them.
        first_axis = rng.uniform(0.15, 0.18) * n_crosslines
        travel = rng.uniform(0.24, 0.27) * n_crosslines
        if rng.random() < 0.5:
            first_axis, travel = first_axis + travel, -travel
        self._walls = [
            _Wall(survey, rng, first_axis=first_axis + offset * n_crosslines, drift=travel / n_inlines)
            for offset in (0.0, 0.44)
        ]
        self._n_samples = n_samples
        self._base = SmoothField(rng, shape=(n_inlines,), spacing=(40,))
        shape = (n_inlines, n_crosslines, n_times)
        self._bumps = [
            (
                np.float32(size),
                SmoothField(rng, shape=shape, spacing=(2 * step, 2 * step, step)),
                SmoothField(rng, shape=shape, spacing=(2 * step, 2 * step, step)),
            )
            for step, size in _RUGOSITY
        ]

    def _sections(self, inline_index: int) -> list[WallSection]:
        base = self._n_samples * (0.86 + 0.015 * float(self._base.panel(inline_index)))
        return [wall.section(inline_index, base=base) for wall in self._walls]

    def mask(self, *, inline_index: int, crossline: FloatArray, time: FloatArray) -> NDArray[np.bool_]:
        """Where the salt is on one inline; bool (crossline, time)."""
        # Smooth walls, asked about points that were moved about at random, have a rough skin.
        rough_crossline, rough_time = crossline, time
        for size, across, upright in self._bumps:
            rough_crossline = rough_crossline + size * across.panel(inline_index)
            rough_time = rough_time + 0.7 * size * upright.panel(inline_index)
        left, right = (
            wall.contains(crossline=rough_crossline, time=rough_time) for wall in self._sections(inline_index)
        )
        return left | right

    def drag(self, *, inline_index: int, crossline: FloatArray, time: FloatArray) -> FloatArray:
        """Uplift of the sediments by both walls on one inline, samples, float32 (crossline, time)."""
        left, right = (wall.drag(crossline=crossline, time=time) for wall in self._sections(inline_index))
        return left + right
