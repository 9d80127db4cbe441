"""What windows hold, told by the manifest without reading a sample: which of them to take, and how often.

The manifest counts live samples and classes chunk by chunk. Inside a chunk they are taken as spread evenly, so a
window's shares are exact where it consists of whole chunks, and estimates elsewhere.
"""

import numpy as np
import numpy.typing as npt

from data_catalog import InputError, Variable
from trainer.config import SelectionConfig
from trainer.data.store import Dataset, StoredVariable
from trainer.plan.windows import BoxWindows, Extents, WindowPlan

Density = npt.NDArray[np.float64]


def select_windows(
    plan: WindowPlan,
    config: SelectionConfig,
    *,
    dataset: Dataset,
    stored: StoredVariable,
    label: StoredVariable | None,
) -> WindowPlan:
    """The plan with windows left out or repeated as the configuration wants.

    Args:
        plan: All windows.
        config: What they have to hold.
        dataset: Has the manifest.
        stored: The input variable.
        label: The variable to learn from, if any.

    Raises:
        InputError: If a class is not among those of the label, or no window is left.
    """
    if config == SelectionConfig():
        return plan
    repeats = np.ones(len(plan), dtype=np.int64)
    if config.min_live:
        live = dataset.manifest(stored, "count").astype(np.float64)
        repeats[_shares(plan, live, variable=stored.variable) < config.min_live] = 0
    for name, share in config.min_share.items():
        repeats[_class_shares(plan, name, dataset=dataset, label=label) < share] = 0
    for rule in config.oversample:
        repeats[_class_shares(plan, rule.class_name, dataset=dataset, label=label) >= rule.min_share] *= rule.times
    if not repeats.any():
        raise InputError(
            "config.select: no window of the training split holds what it asks for, as far as the manifest tells; "
            "lower min_live or min_share."
        )
    return plan.repeated(repeats)


def _class_shares(plan: WindowPlan, name: str, *, dataset: Dataset, label: StoredVariable | None) -> Density:
    if label is None or label.variable.flag_meanings is None or label.variable.flag_values is None:
        raise InputError(f"config.select names class {name!r}, and config.dataset.label is no class label.")
    if name not in label.variable.flag_meanings:
        known = ", ".join(label.variable.flag_meanings)
        raise InputError(f"config.select: {name!r} is no class of label {label.name!r}, which has {known}.")
    value = label.variable.flag_values[label.variable.flag_meanings.index(name)]
    return _shares(plan, dataset.class_counts(label, [value])[..., 0].astype(np.float64), variable=label.variable)


def _shares(plan: WindowPlan, counts: Density, *, variable: Variable) -> Density:
    """Counted samples of each window over all that it has, (window,)."""
    for axis, (size, chunk) in enumerate(zip(variable.shape, variable.chunk_shape, strict=True)):
        extents = np.minimum(chunk, size - np.arange(counts.shape[axis]) * chunk)
        counts = counts / np.expand_dims(extents, tuple(other for other in range(counts.ndim) if other != axis))
    return np.concatenate([_shares_of_box(box, counts, chunk=variable.chunk_shape).ravel() for box in plan.boxes])


def _shares_of_box(box: BoxWindows, density: Density, *, chunk: Extents) -> Density:
    """Mean density under each window, on the grid of windows: integrated along one dimension after the other."""
    for axis, extent in enumerate(box.window):
        first = box.origins_along(axis)
        end = np.minimum(first + extent, box.ranges[axis][1])
        integral = np.cumsum(np.insert(density, 0, 0, axis=axis), axis=axis) * chunk[axis]
        density = (
            _integral_to(end, integral, density, axis=axis, chunk=chunk[axis])
            - _integral_to(first, integral, density, axis=axis, chunk=chunk[axis])
        ) / extent
    return density


def _integral_to(
    places: npt.NDArray[np.int64], integral: Density, density: Density, *, axis: int, chunk: int
) -> Density:
    number = np.minimum(places // chunk, density.shape[axis] - 1)
    beyond = np.expand_dims(places - number * chunk, tuple(other for other in range(density.ndim) if other != axis))
    return np.asarray(integral.take(number, axis=axis) + beyond * density.take(number, axis=axis))
