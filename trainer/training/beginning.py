"""A run made ready: begun anew, or from its last checkpoint, and judged alike on every rank."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_catalog import InputError
from trainer.checkpoint import RunState, last_whole_checkpoint, read_state
from trainer.experiment import Experiment
from trainer.feed.batches import Batches
from trainer.feed.faulty_windows import FaultPolicy
from trainer.models.arithmetic import MIXED
from trainer.models.size import NetworkSize, measure
from trainer.plan.grouping import GroupShape
from trainer.ranks import Ranks, is_same_on_all_ranks
from trainer.tasks.task import Batch
from trainer.training.initial_weights import freeze, take_weights
from trainer.training.learner import Learner
from trainer.training.placing import recompute
from trainer.training.trackers import TrackerKind, choose_trackers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run ready to go.

    Attributes:
        experiment: Data, task and network.
        ranks: The processes of the run.
        training: Batches to learn from.
        validation: Batches to score; None where there are none.
        faults: What to do about chunks that cannot be used.
        trackers: Are told of it.
        learner: Moves the network's weights.
        size: Of the network; None where it could not be learned.
        state: Where it stands.
        steps: Of the whole run.
    """

    experiment: Experiment
    ranks: Ranks
    training: Batches[Batch]
    validation: Batches[Batch] | None
    faults: FaultPolicy
    trackers: tuple[TrackerKind, ...]
    learner: Learner
    size: NetworkSize | None
    state: RunState
    steps: int

    def faults_of_scoring(self) -> FaultPolicy:
        """The same for one validation, which may leave out as many windows each time."""
        return _fault_policy(self.experiment, ranks=self.ranks, split=self.experiment.config.splits.validation)


def begin(experiment: Experiment, *, ranks: Ranks, resume: bool) -> Run:
    """Makes a run ready.

    Args:
        experiment: Data, task and network.
        ranks: The processes of the run.
        resume: Whether to go on from the run's last checkpoint, if there is one.

    Raises:
        InputError: If there is a run already, or its checkpoint is of another one, or something does not fit.
    """
    config = experiment.config
    checkpoint = last_whole_checkpoint(config.out / "checkpoints")
    if checkpoint and not resume:
        raise InputError(f"{config.out} holds a run already: go on with --resume auto, or choose another --out.")
    before = read_state(checkpoint) if checkpoint else None
    if checkpoint and before:
        _check_origin(_origin(experiment), before.origin, checkpoint=checkpoint)
        _check_normalisations(_normalisations(experiment), before.normalisations, checkpoint=checkpoint)
    trackers = choose_trackers(config)
    readers = experiment.readers()
    shape = GroupShape.model_validate(before.grouping) if before else None
    training, validation = experiment.training_batches(readers, ranks=ranks, shape=shape), None
    if config.splits.validation:
        validation = experiment.scoring_batches(readers, split=config.splits.validation, ranks=ranks)
    if config.init_from and not checkpoint:
        take_weights(experiment.model, run=config.init_from)
    freeze(experiment.model, beginnings=config.freeze)
    recompute(experiment.model, levels=config.compute.recompute_levels)
    size = _size(experiment)
    learner = Learner(experiment.model, task=experiment.task, config=config, ranks=ranks)
    if checkpoint and before:
        _check_order(checkpoint, found=before.order_digest, expected=training.order.digest)
        learner.load(checkpoint, numbers=before.learner)
    return Run(
        experiment=experiment,
        ranks=ranks,
        training=training,
        validation=validation,
        faults=_fault_policy(experiment, ranks=ranks),
        trackers=trackers,
        learner=learner,
        size=size,
        state=before or _first_state(experiment, training=training, learner=learner),
        steps=config.steps or (config.epochs or 0) * training.order.steps_per_epoch,
    )


def check_begins_alike(run: Run) -> None:
    """Sees that all ranks go on from the same checkpoint; each has chosen it by what it sees of the folder.

    Raises:
        InputError: If not, on all of them.
    """
    if not is_same_on_all_ranks(run.state.step, device=run.ranks.device):
        raise InputError(
            f"{run.experiment.config.out}: not all ranks see the same checkpoints, this one would go on from step "
            f"{run.state.step}: see that the folder is the same on all machines, and up to date."
        )


def _fault_policy(experiment: Experiment, *, ranks: Ranks, split: str | None = None) -> FaultPolicy:
    config = experiment.config
    record = config.out / f"faults-{ranks.rank}.jsonl"
    return FaultPolicy(config.feed.faults, seed=config.seed, record=record, split=split)


def _size(experiment: Experiment) -> NetworkSize | None:
    """What the network takes: for the user to know, and no reason to end a run."""
    config = experiment.config
    try:
        return measure(
            experiment.model,
            in_channels=experiment.task.in_channels,
            extents=tuple(config.window.values()),
            autocast=MIXED.get(config.compute.precision),
        )
    except (RuntimeError, ValueError) as error:
        log.info("the network's size could not be learned: %s", error)
        return None


def _first_state(experiment: Experiment, *, training: Batches[Batch], learner: Learner) -> RunState:
    label = experiment.main.label
    return RunState(
        step=0,
        order_digest=training.order.digest,
        origin=_origin(experiment),
        grouping=training.grouping.shape.model_dump(mode="json"),
        normalisations=_normalisations(experiment),
        label=None if label is None else label.variable.model_dump(mode="json"),
        learner=learner.numbers(),
        best_score=None,
        best_step=None,
        since_best=0,
        scored_step=None,
    )


def _check_order(checkpoint: Path, *, found: str, expected: str) -> None:
    if found != expected:
        raise InputError(
            f"checkpoint {checkpoint} saw other windows in another order: datasets, splits, window, stride, edges, "
            "select, batch_size, order or seed have changed. Set them back, or choose another --out."
        )


def _normalisations(experiment: Experiment) -> dict[str, dict[str, float]]:
    return {source.dataset.entry.name: asdict(source.normalisation) for source in experiment.data}


def _check_normalisations(
    present: Mapping[str, Mapping[str, float]], before: Mapping[str, Mapping[str, float]], *, checkpoint: Path
) -> None:
    """A dataset of the same name and shape may hold other samples by now."""
    for name, normalisation in present.items():
        if name in before and normalisation != before[name]:
            raise InputError(
                f"checkpoint {checkpoint} was trained on dataset {name!r} as it was: its samples' mean and standard "
                f"deviation were {before[name]['mean']:.6g} and {before[name]['standard_deviation']:.6g}, now they are "
                f"{normalisation['mean']:.6g} and {normalisation['standard_deviation']:.6g}. Choose another --out."
            )


def _origin(experiment: Experiment) -> dict[str, Any]:
    config, main = experiment.config, experiment.main
    return {
        "dataset.name": config.dataset.name,
        "dataset.variable": main.stored.path,
        "dataset.label": None if main.label is None else main.label.path,
        "more_datasets": [each.model_dump(mode="json") for each in config.more_datasets],
        "task": config.task.model_dump(mode="json"),
        "model": config.model.model_dump(mode="json"),
        "freeze": list(config.freeze),
    }


def _check_origin(present: Mapping[str, Any], origin: Mapping[str, Any], *, checkpoint: Path) -> None:
    if different := [place for place in present if present[place] != origin.get(place)]:
        changes = ", ".join(f"config.{place} {origin.get(place)!r} to {present[place]!r}" for place in different)
        raise InputError(
            f"checkpoint {checkpoint} is of another run: changed {changes}. Set back, or choose another --out."
        )
