"""Samples of a label file into classes: whole numbers that were declared, and nothing else."""

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError, layout
from pipeline.recipe import Label


def as_classes(
    name: str,
    label: Label,
    samples: NDArray[np.float32],
    rows: NDArray[np.int64],
    start: int,
    stop: int,
    ordered: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Classes of a chunk that holds the samples of a label.

    Args:
        name: Of the variable.
        label: What its samples may be.
        samples: float32 (trace, sample), padded to the chunk's length.
        rows: int64 (trace): row of each as read, -1 where there is none.
        start: First sample of the chunk.
        stop: The one after its last that is not padding.
        ordered: int64: running trace number of each row.

    Raises:
        InputError: If a sample is neither a class nor the ignore value.
    """
    allowed = np.zeros(layout.CLASS_VALUE_COUNT, np.bool_)
    allowed[[*label.classes, label.ignore_value]] = True
    with np.errstate(invalid="ignore"):  # NaN and what is out of range become some number, and are found out below
        classes = samples.astype(np.uint8)
    wrong = ((classes != samples) | ~allowed[classes]) & (rows >= 0)[:, None]
    wrong[:, stop - start :] = False
    if wrong.any():
        row, sample = (int(index[0]) for index in np.nonzero(wrong))
        raise InputError(
            f"label {name!r} holds {samples[row, sample]:g} at sample {start + sample} of trace "
            f"{int(ordered[rows[row]])}, which is neither a class ({', '.join(map(str, label.classes))}) nor the "
            f"ignore value {label.ignore_value}: declare it with --classes, or correct the file."
        )
    return classes
