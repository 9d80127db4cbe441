"""The recipe of a synthetic salt survey: everything its two SEG-Y files follow from.

The survey is made up and its physics is the convolutional model: each trace is a reflectivity series convolved with one
wavelet. No wave was propagated and nothing was migrated, so there are no diffractions, no multiples, no shadow below
salt and no velocity pull-up. It is a test of texture and geometry, not of imaging.

What the rock is
    Sediments: beds of random thickness and impedance, tilted, folded, faulted, and dragged up along the salt, over
    which they thin. Salt: two walls of connected diapirs, with a rugose skin and overhangs, that stand on a near-flat
    base and cross the survey obliquely, so that where the salt was in one inline says little about where it is in a far
    one.

Why the salt is not simply quiet or loud
    The walls are *layered evaporites*, as in the Zechstein of the North Sea or the Messinian of the Levant: halite with
    beds of anhydrite and carbonate, whose impedance contrasts match those between the sediments outside. Flow broke and
    refolded these beds into stringers much smaller than the walls. So the salt here is the sediment column torn apart:
    each point takes the impedance of a bed some tens of samples away, and neighbouring traces disagree on which. This
    leaves amplitudes, local loudness and the vertical spectrum as they are outside; what tells salt is that reflections
    do not continue from trace to trace, and that beds outside bend up and end at the flanks. Real salt is often quieter
    than its surroundings as well; that clue is left out on purpose, so that a threshold on loudness finds nothing.
    Zones of high and low gain, unrelated to the salt, cross everything.

Why a lack of order is not enough either
    Some intervals of the sediments slid down a slope and broke up. These mass-transport deposits are exactly as chaotic
    as the salt, but are sheets between undisturbed beds. Telling them apart takes the shape of things.
"""

from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

COORDINATE_SCALAR = -100
"""Trace header bytes 71-72: stored coordinates are to be divided by 100, so they count centimetres."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Spacing = Annotated[float, Field(gt=0, le=500)]


class SaltSurvey(BaseModel):
    """A synthetic 3-D time survey over salt, defined in full by these values.

    Attributes:
        n_inlines: Number of inlines.
        n_crosslines: Number of crosslines; each inline has a live trace at every one.
        n_samples: Samples a trace.
        sample_interval_us: Sample interval in microseconds.
        first_inline: Inline number of the first inline; numbers rise by 1.
        first_crossline: Crossline number of the first crossline; numbers rise by 1.
        inline_spacing_m: Distance between neighbouring inlines.
        crossline_spacing_m: Distance between neighbouring crosslines.
        grid_azimuth_deg: Direction in which crossline numbers rise along an inline, clockwise from grid north. Inline
            numbers rise 90 degrees clockwise of it.
        origin_x_m: Easting of the first trace.
        origin_y_m: Northing of the first trace.
        dominant_frequency_hz: Peak frequency of the Ricker wavelet.
        signal_to_noise: RMS of the reflections over RMS of the noise.
        rms_amplitude: Approximate RMS of the amplitudes, in the survey's arbitrary units.
        seed: Picks the geology and the noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_inlines: int = Field(default=200, ge=2, le=20_000)
    n_crosslines: int = Field(default=320, ge=16, le=20_000)
    n_samples: int = Field(default=300, ge=48, le=32_767)
    sample_interval_us: int = Field(default=4_000, ge=250, le=32_767)
    first_inline: int = Field(default=1_001, ge=1, le=10_000_000)
    first_crossline: int = Field(default=2_001, ge=1, le=10_000_000)
    inline_spacing_m: Spacing = 25.0
    crossline_spacing_m: Spacing = 12.5
    grid_azimuth_deg: float = Field(default=30.0, ge=0.0, lt=360.0)
    origin_x_m: float = Field(default=452_000.0, ge=-1e7, le=1e7)
    origin_y_m: float = Field(default=6_783_000.0, ge=-1e7, le=1e7)
    dominant_frequency_hz: float = Field(default=25.0, ge=1.0, allow_inf_nan=False)
    signal_to_noise: Positive = 4.0
    rms_amplitude: Positive = 1_000.0
    seed: int = Field(default=20_240, ge=0)

    @model_validator(mode="after")
    def _wavelet_is_sampled(self) -> Self:
        # A Ricker wavelet has next to nothing above 2.5 times its peak frequency; that must stay below Nyquist.
        highest_hz = 1e6 / (5 * self.sample_interval_us)
        if self.dominant_frequency_hz > highest_hz:
            raise ValueError(
                f"dominant_frequency_hz is {self.dominant_frequency_hz:g}, but sampling every "
                f"{self.sample_interval_us} us carries a Ricker wavelet of at most {highest_hz:g} Hz; "
                "lower the frequency or the sample interval"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes along (inline, crossline, time)."""
        return self.n_inlines, self.n_crosslines, self.n_samples

    @property
    def inline_numbers(self) -> NDArray[np.int32]:
        """Inline numbers, int32, (n_inlines,)."""
        return np.arange(self.n_inlines, dtype=np.int32) + np.int32(self.first_inline)

    @property
    def crossline_numbers(self) -> NDArray[np.int32]:
        """Crossline numbers, int32, (n_crosslines,)."""
        return np.arange(self.n_crosslines, dtype=np.int32) + np.int32(self.first_crossline)

    @property
    def dominant_period_samples(self) -> float:
        """Period of the wavelet's peak frequency, in samples: the yardstick of bed thickness and fault throw."""
        return 1e6 / (self.dominant_frequency_hz * self.sample_interval_us)
