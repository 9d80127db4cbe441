"""Metrics of a trained network on one split."""

from data_catalog import InputError
from trainer.experiment import Experiment
from trainer.feed.faulty_windows import FaultPolicy
from trainer.models.arithmetic import allow_tf32, arithmetic
from trainer.ranks import Ranks, joined
from trainer.training.scoring import score_split


def evaluate(experiment: Experiment, *, split: str | None, ranks: Ranks) -> dict[str, float]:
    """Scores a split of the run's datasets, all of them together.

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
    for named, source in zip((config.dataset, *config.more_datasets), experiment.data, strict=True):
        if named.label is not None:
            source.dataset.variable(named.label)  # a network can do without it, a score cannot
    batches = experiment.scoring_batches(experiment.readers(), split=split, ranks=ranks)
    allow_tf32(config.compute.tf32)
    how = arithmetic(config.compute.precision, device=ranks.device)
    model = experiment.model.to(device=ranks.device, dtype=how.dtype)
    faults = FaultPolicy(config.feed.faults, seed=config.seed, record=None)
    with joined(ranks):
        return score_split(model, task=experiment.task, batches=batches, faults=faults, arithmetic=how).metrics
