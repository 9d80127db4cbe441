"""The learning rate: a function of how many samples were seen, so that it does not depend on how steps are cut."""

import math

from trainer.config import OptimiserConfig


def learning_rate(seen: int, *, total: int, config: OptimiserConfig) -> float:
    """The rate of one step: a linear rise, then what the schedule says.

    Args:
        seen: Windows that the run has seen, those of this step among them.
        total: Windows of the whole run.
        config: Highest rate, length of the rise, schedule, final fraction.
    """
    if seen < config.warmup_samples:
        return config.learning_rate * seen / config.warmup_samples
    done = min(1.0, (seen - config.warmup_samples) / max(1, total - config.warmup_samples))
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * _height(done, config=config))


def _height(done: float, *, config: OptimiserConfig) -> float:
    """From 1 to 0 as the run goes on; half a cosine after Loshchilov and Hutter (2017)."""
    if config.schedule == "constant":
        return 1.0
    return 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
