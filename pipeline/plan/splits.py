"""Splits as the user writes them, in labels or shares of an axis, to boxes in index space. Pure."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from data_catalog import Box, InputError
from data_catalog.conformance import check_splits
from pipeline.survey.axis import Axis, SampleAxis

_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"(?P<dim>[^:,]+):(?P<start>{_NUMBER})(?P<share>%?):(?P<stop>{_NUMBER})(?P=share)")


def split_boxes(splits: dict[str, tuple[str, ...]], axes: tuple[Axis | SampleAxis, ...]) -> dict[str, tuple[Box, ...]]:
    """Boxes of each split.

    Args:
        splits: Boxes of each, ``DIM:FIRST:LAST`` in axis labels, both included, or ``DIM:FROM%:TO%`` in shares of the
            axis, the end left out; ranges along several axes joined by commas.
        axes: Axes with their labels.

    Raises:
        InputError: If a range is not of that form, names no axis or one twice, or is empty, or if splits overlap.
    """
    boxes = {name: tuple(_box(name, text, axes) for text in texts) for name, texts in splits.items()}
    if problems := check_splits(boxes, {axis.name: axis.size for axis in axes}):
        raise InputError(f"{problems[0].message}: change one of the --split ranges.")
    return boxes


def _box(name: str, text: str, axes: tuple[Axis | SampleAxis, ...]) -> Box:
    by_name = {axis.name: axis for axis in axes}
    box: Box = {}
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or match["dim"] not in by_name:
            raise InputError(
                f"split {name}={text}: {part!r} is not DIM:FIRST:LAST or DIM:FROM%:TO% with DIM one of "
                f"{', '.join(by_name)}."
            )
        if match["dim"] in box:
            raise InputError(f"split {name}={text} names {match['dim']} twice: give a box of its own for each range.")
        axis = by_name[match["dim"]]
        bounds = float(match["start"]), float(match["stop"])
        if match["share"] and not 0 <= bounds[0] <= bounds[1] <= 100:
            raise InputError(f"split {name}={text}: shares go from 0% to 100%, the smaller one first.")
        start, stop = _by_share(axis, bounds) if match["share"] else _by_label(axis, bounds)
        if start >= stop:
            raise InputError(f"split {name}={text} is empty: {axis.name} goes from {axis.first} to {axis.last}.")
        box[axis.name] = (start, stop)
    return box


def _by_label(axis: Axis | SampleAxis, bounds: tuple[float, float]) -> tuple[int, int]:
    if isinstance(axis, Axis):  # of traces it may be as long as the survey
        labels: Sequence[float] = axis.listed or range(axis.first, axis.last + 1, axis.step)
    else:
        labels = axis.values.tolist()
    return bisect_left(labels, bounds[0]), bisect_right(labels, bounds[1])


def _by_share(axis: Axis | SampleAxis, bounds: tuple[float, float]) -> tuple[int, int]:
    first, last = (round(axis.size * bound / 100) for bound in bounds)
    return first, last
