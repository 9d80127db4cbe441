"""First arrivals in flat layers: rays that go straight from layer to layer, and head waves along faster ones.

Depths are in m and grow downwards, velocities in m/s, times in s, slownesses in s/m. Sources and receivers may lie at
any depths; a ray is the same either way.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError

MOST_STEPS = 100
"""Of Newton's method, which gets from below to a root of a concave function without overshooting; ten do."""

PRECISION = 1e-12
"""Relative change of a root at which it is found."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayeredModel:
    """Flat layers of constant velocity.

    Attributes:
        tops_m: Depths at which layers begin, from the uppermost down. The first one reaches up without end.
        velocities_m_s: Of each layer.
    """

    tops_m: tuple[float, ...]
    velocities_m_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.tops_m) != len(self.velocities_m_s) or not self.tops_m:
            raise InputError(
                f"a velocity model has as many depths as velocities, found {len(self.tops_m)} and "
                f"{len(self.velocities_m_s)}."
            )
        if any(lower <= upper for upper, lower in zip(self.tops_m, self.tops_m[1:], strict=False)):
            raise InputError(f"layers of a velocity model lie below each other, found tops at {self.tops_m} m.")
        if min(self.velocities_m_s) <= 0 or not np.isfinite([*self.tops_m, *self.velocities_m_s]).all():
            raise InputError(f"velocities are above 0 m/s, found {self.velocities_m_s}.")

    def thicknesses_m(self, upper_m: float, lower_m: float) -> Floats:
        """How much of each layer lies between two depths: (layer,) float64."""
        tops = np.array([-np.inf, *self.tops_m[1:]])
        bottoms = np.array([*self.tops_m[1:], np.inf])
        return np.asarray(np.maximum(0.0, np.minimum(bottoms, lower_m) - np.maximum(tops, upper_m)))

    def velocity_at(self, depth_m: float) -> float:
        """Velocity at a depth; at the top of a layer that layer's."""
        return self.velocities_m_s[max(0, int(np.searchsorted(self.tops_m, depth_m, side="right")) - 1)]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """First arrivals at some distances.

    Attributes:
        times_s: float64 (distance,).
        slownesses_s_m: Horizontal slowness of each ray, float64 (distance,): sin(angle from the vertical) / velocity.
    """

    times_s: Floats
    slownesses_s_m: Floats


def first_arrivals(model: LayeredModel, distances_m: Floats, *, source_m: float, receiver_m: float) -> Arrivals:
    """What comes first at each distance: the direct ray, or a head wave.

    Args:
        model: The layers.
        distances_m: Between source and receivers along the surface, float64 (distance,), at least 0.
        source_m: Depth of the source.
        receiver_m: Depth of the receivers.
    """
    found = _direct(model, distances_m, *sorted((source_m, receiver_m)))
    for interface in range(1, len(model.tops_m)):
        other = _head_wave(model, distances_m, *sorted((source_m, receiver_m)), interface=interface)
        if other is not None:
            is_earlier = other.times_s < found.times_s
            found = Arrivals(
                np.where(is_earlier, other.times_s, found.times_s),
                np.where(is_earlier, other.slownesses_s_m, found.slownesses_s_m),
            )
    return found


def _direct(model: LayeredModel, distances_m: Floats, upper_m: float, lower_m: float) -> Arrivals:
    """Rays that are bent by Snell's law on their way through the layers in between.

    With v the velocity of the fastest of them, q the tangent of the ray's angle there, and h and w thicknesses and
    velocities, a ray comes out at the distance sum(h (w/v) q / sqrt(1 + q^2 (1 - (w/v)^2))). That is concave in q, and
    almost straight far out, so that Newton's method gets to q from below in a few steps.
    """
    thicknesses = model.thicknesses_m(upper_m, lower_m)
    if not thicknesses.any():  # source and receiver at one depth
        velocity = model.velocity_at(upper_m)
        return Arrivals(distances_m / velocity, np.full_like(distances_m, 1 / velocity))
    crossed = thicknesses > 0
    h, w = thicknesses[crossed, None], np.array(model.velocities_m_s)[crossed, None]
    v = w.max()
    ratio, slower = w / v, 1 - (w / v) ** 2
    q = np.zeros_like(distances_m)
    for _ in range(MOST_STEPS):
        root = np.sqrt(1 + slower * q**2)
        missing = distances_m - (h * ratio * q / root).sum(axis=0)
        step = missing / (h * ratio / root**3).sum(axis=0)
        q = np.maximum(0.0, q + step)
        if (np.abs(step) <= PRECISION * (1 + q)).all():
            break
    length = np.sqrt(1 + q**2)
    cosines = np.sqrt(1 + slower * q**2) / length
    return Arrivals((h / (w * cosines)).sum(axis=0), q / (v * length))


def _head_wave(
    model: LayeredModel, distances_m: Floats, upper_m: float, lower_m: float, *, interface: int
) -> Arrivals | None:
    """The wave that goes down to the top of a layer below both, along it, and up again; infinite times before it comes.

    None where there is none: the layer is not below both, or one of those above it is as fast.
    """
    depth, velocity = model.tops_m[interface], model.velocities_m_s[interface]
    if depth < lower_m:
        return None
    thicknesses = model.thicknesses_m(upper_m, depth) + model.thicknesses_m(lower_m, depth)
    crossed = thicknesses > 0
    h, w = thicknesses[crossed], np.array(model.velocities_m_s)[crossed]
    if (w >= velocity).any():
        return None
    slowness = 1 / velocity
    vertical = np.sqrt(1 / w**2 - slowness**2)
    first_m = float((h * slowness / vertical).sum())
    times = distances_m * slowness + float((h * vertical).sum())
    return Arrivals(np.where(distances_m >= first_m, times, np.inf), np.full_like(distances_m, slowness))
