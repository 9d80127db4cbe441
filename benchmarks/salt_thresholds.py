"""How well loudness alone finds the salt of the demo's survey: the figure that a network must beat by far.

A threshold on the amplitude, its size, or its local RMS is tuned on the training split, in both directions, for the
best IoU there, and judged on the test split. The direction that does better on the test split is shown: generous to the
threshold. Coherence, which sees structure, is listed as the classical method it is.

Synthetic data; splits are the demo's.
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter, uniform_filter

from pipeline.synthetic.salt_section import salt_slabs
from pipeline.synthetic.salt_survey import SaltSurvey

DEMO = Path(__file__).parents[1] / "notebooks" / "demo"
TRAIN, TEST = (0.0, 0.60), (0.77, 1.0)
"""Shares of the inlines, as in notebooks/demo/salt.py."""
RMS_WINDOWS = ((1, 1, 25), (1, 1, 51), (1, 9, 9), (1, 21, 21), (1, 41, 41), (5, 5, 5), (9, 9, 9), (21, 21, 21))
"""Samples along (inline, crossline, time)."""
THRESHOLD_COUNT = 401

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]


def main() -> None:
    survey = SaltSurvey(**yaml.safe_load((DEMO / "salt_survey.yaml").read_text()))
    slabs = list(salt_slabs(survey))
    amplitude = np.concatenate([slab.amplitude for slab in slabs])
    salt = np.concatenate([slab.salt for slab in slabs]) == 1
    train, test = (slice(*(round(share * len(salt)) for share in shares)) for shares in (TRAIN, TEST))
    table = Table("what", "IoU on the test split", title=f"salt of the demo's survey, seed {survey.seed} (synthetic)")
    table.add_row("everything is salt", f"{salt[test].mean():.3f}")
    loudness = {"amplitude": amplitude, "size of the amplitude": np.abs(amplitude)}
    loudness |= {f"local RMS, {_times(window)}": _local_rms(amplitude, window) for window in RMS_WINDOWS}
    scores = {name: best_threshold(values, salt, train=train, test=test) for name, values in loudness.items()}
    for name, score in scores.items():
        table.add_row(f"threshold on {name}", f"{score:.3f}")
    for sigma in (3, 6, 10):
        score = best_threshold(_coherence(amplitude, sigma=sigma), salt, train=train, test=test)
        table.add_row(f"threshold on coherence, sigma {sigma} (structure, not loudness)", f"{score:.3f}")
    Console().print(table)
    print(f"best by loudness alone: {max(scores.values()):.3f}")
    sys.exit(max(scores.values()) > 0.5)


def best_threshold(values: Volume, salt: Mask, *, train: slice, test: slice) -> float:
    """Test IoU of the better direction, each with the threshold that is best on the training split."""
    edges = np.quantile(values[train].ravel()[::13], np.linspace(0, 1, THRESHOLD_COUNT))
    in_salt, in_rock = (
        np.r_[0, np.cumsum(np.histogram(values[train][part], bins=edges)[0])] for part in (salt[train], ~salt[train])
    )
    salt_count = salt[train].sum()
    below = edges[np.argmax(in_salt / (salt_count + in_rock))]
    above = edges[np.argmax((salt_count - in_salt) / (salt_count + in_rock[-1] - in_rock))]
    guesses = (values[test] < below, values[test] > above)
    return max(float((guess & salt[test]).sum() / (guess | salt[test]).sum()) for guess in guesses)


def _local_rms(amplitude: Volume, window: tuple[int, int, int]) -> Volume:
    return np.sqrt(np.maximum(uniform_filter(amplitude**2, window), 0))


def _coherence(amplitude: Volume, *, sigma: float) -> Volume:
    """Coherence of the structure tensor of each inline, ((l1 - l2) / (l1 + l2))^2 (Weickert, 1999)."""
    scaled = amplitude / amplitude.std()
    across, down = np.gradient(scaled, axis=1), np.gradient(scaled, axis=2)
    xx, yy, xy = (
        gaussian_filter(product, (0, sigma, sigma)) for product in (across * across, down * down, across * down)
    )
    return ((xx - yy) ** 2 + 4 * xy**2) / ((xx + yy) ** 2 + 1e-12)


def _times(window: tuple[int, ...]) -> str:
    return " x ".join(map(str, window))


if __name__ == "__main__":
    main()
