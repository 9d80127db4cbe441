"""Mean and standard deviation of a variable from its manifest, without reading a sample."""

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_catalog import InputError
from trainer.data.store import Dataset, StoredVariable
from trainer.plan.windows import Extents, Ranges

log = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Normalisation:
    """Amplitudes become (x - mean) / standard_deviation.

    Attributes:
        mean: In the variable's units.
        standard_deviation: In the variable's units, of the population.
    """

    mean: float
    standard_deviation: float

    def apply(self, amplitude: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Amplitudes in the variable's units to float32 of about unit variance."""
        return np.asarray((amplitude - np.float32(self.mean)) / np.float32(self.standard_deviation), dtype=np.float32)

    def undo(self, normalised: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The way back to the variable's units, float32."""
        return np.asarray(normalised * np.float32(self.standard_deviation) + np.float32(self.mean), dtype=np.float32)


def normalisation_from_manifest(
    dataset: Dataset, stored: StoredVariable, *, boxes: tuple[Ranges, ...]
) -> Normalisation:
    """Merges the chunks wholly inside the boxes; where there are none, those that touch them, with a warning.

    Args:
        dataset: The dataset.
        stored: The variable to normalise.
        boxes: The training split.

    Raises:
        InputError: If no live sample was counted there, or all of them are equal.
    """
    shape, chunk = stored.variable.shape, stored.variable.chunk_shape
    if not chunks_inside(boxes, shape=shape, chunk=chunk).any():
        log.warning(
            "no chunk of %r lies wholly inside the training split: normalising with the chunks that touch it.",
            stored.name,
        )
    chosen = chunks_of(boxes, shape=shape, chunk=chunk)
    count, mean, m2 = (dataset.manifest(stored, name)[chosen] for name in ("count", "mean", "m2"))
    merged = merge(count.astype(np.int64), mean=mean.astype(np.float64), m2=m2.astype(np.float64))
    if not merged.standard_deviation > 0:
        raise InputError(
            f"variable {stored.name!r} has no live samples in the training split, or all of them are equal: "
            "nothing can be learned there. `python -m data_catalog show` lists splits and variables."
        )
    return merged


def merge(count: npt.NDArray[np.int64], *, mean: npt.NDArray[np.float64], m2: npt.NDArray[np.float64]) -> Normalisation:
    """Chan, Golub and LeVeque's rule (1983) for any number of parts at once: exact, and free of cancellation.

    Args:
        count: Samples in each part, (part,).
        mean: Their means, (part,).
        m2: Sums of squared differences from each part's own mean, (part,).
    """
    total = count.sum()
    if total == 0:
        return Normalisation(mean=0.0, standard_deviation=0.0)
    overall = float((count * mean).sum() / total)
    squares = float(m2.sum() + (count * (mean - overall) ** 2).sum())
    return Normalisation(mean=overall, standard_deviation=(squares / total) ** 0.5)


def chunks_of(boxes: tuple[Ranges, ...], *, shape: Extents, chunk: Extents) -> Mask:
    """The inner chunks that tell about some boxes: those wholly inside, or, where there are none, those that touch."""
    inside = chunks_inside(boxes, shape=shape, chunk=chunk)
    return inside if inside.any() else chunks_touched(boxes, shape=shape, chunk=chunk)


def chunks_inside(boxes: tuple[Ranges, ...], *, shape: Extents, chunk: Extents) -> Mask:
    """Which inner chunks lie wholly inside one of the boxes, bool on the chunk grid."""
    return _any_box(boxes, shape=shape, chunk=chunk, inside=True)


def chunks_touched(boxes: tuple[Ranges, ...], *, shape: Extents, chunk: Extents) -> Mask:
    """Which inner chunks share samples with one of the boxes, bool on the chunk grid."""
    return _any_box(boxes, shape=shape, chunk=chunk, inside=False)


def _any_box(boxes: tuple[Ranges, ...], *, shape: Extents, chunk: Extents, inside: bool) -> Mask:
    mask = np.zeros([-(-size // extent) for size, extent in zip(shape, chunk, strict=True)], dtype=np.bool_)
    for box in boxes:
        places = []
        for (start, stop), size, extent in zip(box, shape, chunk, strict=True):
            first = np.arange(0, size, extent)
            end = np.minimum(first + extent, size)
            places.append(
                np.flatnonzero((first >= start) & (end <= stop) if inside else (first < stop) & (end > start))
            )
        mask[np.ix_(*places)] = True
    return mask
