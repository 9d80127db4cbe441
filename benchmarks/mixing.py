"""How well an order mixes windows."""

import numpy as np
from numpy.typing import NDArray

from trainer.plan.order import PADDING, Order


def mixing(order: Order, values: NDArray[np.float64], *, epochs: int) -> tuple[float, float]:
    """Batch means of a value that windows have, over some epochs.

    Args:
        order: Of the windows.
        values: Of each window, (window,).
        epochs: To average over.

    Returns:
        The variance of batch means over that of a full shuffle, and the correlation of neighbouring ones.
    """
    size, steps = order.batch_size, order.steps_per_epoch
    # Of N values drawn without putting back, a mean of B has their variance times (1 / B - 1 / N).
    shuffled = values.var() * len(values) / (len(values) - 1) * (1 / size - 1 / len(values))
    variances, correlations = [], []
    for epoch in range(epochs):
        batches = (order.batch(epoch * steps + place)[1] for place in range(steps))
        means = np.array([values[windows].mean() for windows in batches if PADDING not in windows])
        apart = means - values.mean()
        variances.append((apart**2).mean() / shuffled)
        correlations.append((apart[1:] * apart[:-1]).mean() / (apart**2).mean())
    return float(np.mean(variances)), float(np.mean(correlations))
