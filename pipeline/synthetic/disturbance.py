"""Ground without order: how beds are torn apart, in the salt and in slides among the sediments."""

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.salt_survey import SaltSurvey
from pipeline.synthetic.smooth_field import FloatArray, SmoothField

_SLIDE_AGES = (0.15, 0.45, 0.75)
"""Ages at which slopes failed, in record lengths; each seed moves them a little."""


class Disturbance:
    """How far each point was carried from its place in the column, where the ground has flowed or slid.

    Folding varies slowly along time, which keeps the spectrum, and across a few traces by about a period; breaking cuts
    what is left into blocks, each shifted against its neighbours.

    Args:
        survey: The recipe.
        rng: Source of the shapes.
        n_times: Size of the time axis that panels are asked for.
    """

    def __init__(self, survey: SaltSurvey, rng: np.random.Generator, *, n_times: int) -> None:
        shape = (survey.n_inlines, survey.n_crosslines, n_times)
        period = survey.dominant_period_samples
        self._tight_fold = SmoothField(rng, shape=shape, spacing=(3, 3, 8 * period))
        self._wide_fold = SmoothField(rng, shape=shape, spacing=(12, 12, 12 * period))
        self._break = SmoothField(rng, shape=shape, spacing=(5, 5, 4 * period))
        self._period = np.float32(period)

    def shift(self, inline_index: int) -> FloatArray:
        """Shift of age on one inline, samples, float32 (crossline, time)."""
        folding = 0.9 * self._tight_fold.panel(inline_index) + 1.5 * self._wide_fold.panel(inline_index)
        breaking = 0.7 * np.floor(1.5 * self._break.panel(inline_index))
        shift: FloatArray = self._period * (folding + breaking)
        return shift


class SlideDeposits:
    """Mass-transport deposits: beds that slid down the slope and broke up, as chaotic as the salt but never salt.

    They are sheets between undisturbed beds, thinner and wider than the walls, and make a lack of order alone a poor
    sign of salt. Slides run off the highs and come to rest in the basins, so they pinch out where the salt has lifted
    the beds; where one still touches a flank, nobody could say from the texture which is which.

    Args:
        survey: The recipe.
        rng: Source of the shapes.
    """

    def __init__(self, survey: SaltSurvey, rng: np.random.Generator) -> None:
        n_inlines, n_crosslines, n_samples = survey.shape
        self._largest_thickness = 0.14 * n_samples
        self._lift_limit = np.float32(1.5 * survey.dominant_period_samples)
        self._slides = [
            (
                (age + rng.uniform(-0.08, 0.08)) * n_samples,
                SmoothField(rng, shape=(n_inlines, n_crosslines), spacing=(35, 50)),
            )
            for age in _SLIDE_AGES
        ]

    def mask(self, *, inline_index: int, age: FloatArray, lift: FloatArray) -> NDArray[np.bool_]:
        """Where the beds have slid.

        Args:
            inline_index: Position of the inline.
            age: Age of each of its points before any slide, samples, float32 (crossline, time).
            lift: How far the salt has lifted each point, samples, float32 (crossline, time).

        Returns:
            bool (crossline, time).
        """
        room = np.maximum(1 - lift / self._lift_limit, 0)
        slid = np.zeros(age.shape, dtype=np.bool_)
        for oldest_age, extent in self._slides:
            # Lens-shaped: thickest where the field is high, nothing where it is low.
            thickness = self._largest_thickness * np.tanh(np.maximum(extent.panel(inline_index) + 0.4, 0))
            slid |= (age < oldest_age) & (age > oldest_age - thickness[:, None] * room)
        return slid
