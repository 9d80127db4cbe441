"""Metrics of a trained network on one split."""

from data_catalog import InputError
from trainer.experiment import Experiment
from trainer.feed import ExampleSource
from trainer.order import check_divides
from trainer.ranks import Ranks, joined
from trainer.scoring import score_split


def evaluate(experiment: Experiment, *, split: str | None, ranks: Ranks) -> dict[str, float]:
    """Scores a split of the run's dataset.

    Args:
        experiment: A run, opened.
        split: Which one; the configuration's test split by default.
        ranks: All of them call this together.

    Raises:
        InputError: If there is no such split.
    """
    config = experiment.config
    split = split or config.splits.test
    if split is None:
        raise InputError("the run's configuration names no test split: choose one with --split.")
    if config.dataset.label is not None:
        experiment.dataset.variable(config.dataset.label)  # a network can do without it, a score cannot
    check_divides(config.batch_size, world_size=ranks.world_size)
    order = experiment.scoring_order(split)
    source = ExampleSource(experiment.reader(), order, experiment.task, experiment.network_axes, config.seed)
    model = experiment.model.to(ranks.device)
    with joined(ranks):
        return score_split(model, source=source, feed=config.feed, batch_size=config.batch_size, ranks=ranks).metrics
