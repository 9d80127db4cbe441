"""Training, on one screen."""

import math
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from data_catalog import InputError, WorkError
from trainer.checkpoint import (
    RunState,
    best_score,
    last_checkpoint,
    load_model,
    load_optimiser,
    mark_best,
    prune,
    read_state,
    write_checkpoint,
)
from trainer.config_file import write_config
from trainer.experiment import Experiment
from trainer.feed.audit import AuditFile
from trainer.feed.batches import Batches
from trainer.feed.examples import on_device
from trainer.feed.faulty_windows import FaultPolicy
from trainer.plan.grouping import GroupShape
from trainer.ranks import Ranks, joined, wait_for_all
from trainer.run_folder import make_run_folder
from trainer.tasks.task import Batch
from trainer.training.optimisation import learning_rate, make_optimiser, set_learning_rate, take_step
from trainer.training.run_log import RunLog
from trainer.training.scoring import Scores, score_split

BUCKET_MIB = 8  # DDP's 25 MiB would leave the tail of a small network's gradients exposed


@dataclass(frozen=True)
class Training:
    """A run ready to go, judged alike on every rank.

    Attributes:
        experiment: Data, task and network.
        ranks: The processes of the run.
        training: Batches to learn from.
        validation: Batches to score; None where there are none.
        faults: What to do about chunks that cannot be used.
        optimiser: Of the network.
        first_step: Steps done before.
        steps: Of the whole run.
    """

    experiment: Experiment
    ranks: Ranks
    training: Batches[Batch]
    validation: Batches[Batch] | None
    faults: FaultPolicy
    optimiser: torch.optim.Optimizer
    first_step: int
    steps: int

    @property
    def checkpoints(self) -> Path:
        """Where they are written."""
        return self.experiment.config.out / "checkpoints"

    def run(self) -> None:
        """Trains to the end; all ranks call this together."""
        config, ranks, task = self.experiment.config, self.ranks, self.experiment.task
        network = _over_ranks(self.experiment.model, ranks=ranks)
        with ExitStack() as stack:
            log = stack.enter_context(self._begin_log()) if ranks.is_first else None
            steps = range(self.first_step, self.steps)
            audit = AuditFile(config.out, rank=ranks.rank) if config.feed.audit else None
            feed = stack.enter_context(self.training.feed(steps, faults=self.faults, audit=audit))
            done_at, waited_s = time.perf_counter(), 0.0
            for step, batch in enumerate(on_device(feed, device=ranks.device), start=self.first_step + 1):
                rate = learning_rate(step - 1, steps=self.steps, config=config.optimiser)
                set_learning_rate(self.optimiser, rate=rate)
                clip_norm = config.optimiser.clip_norm
                outcome = take_step(
                    network, batch=batch, task=task, optimiser=self.optimiser, ranks=ranks, clip_norm=clip_norm
                )
                _check_finite(outcome.loss, step=step)
                if log:
                    step_s = time.perf_counter() - done_at
                    values = {"loss": outcome.loss, "gradient_norm": outcome.gradient_norm, "learning_rate": rate}
                    pace = {"windows_per_s": config.batch_size / step_s, "wait": (feed.wait_s - waited_s) / step_s}
                    log.step(step, values=values | pace)
                self._score_and_save(step, log=log)
                done_at, waited_s = time.perf_counter(), feed.wait_s

    def _score_and_save(self, step: int, *, log: RunLog | None) -> None:
        config, last = self.experiment.config, step == self.steps
        scores = None
        if self.validation and (last or step % config.validate_every_steps == 0):
            scores = score_split(
                self.experiment.model, task=self.experiment.task, batches=self.validation, faults=self.faults
            )
            if log and config.splits.validation:
                log.scores(step, split=config.splits.validation, metrics=scores.metrics, picture=scores.picture)
        if scores or last or step % config.checkpoint_every_steps == 0:
            if self.ranks.is_first:
                self._save(step, scores=scores)
            wait_for_all()

    def _save(self, step: int, *, scores: Scores | None) -> None:
        data, label = self.experiment.data, self.experiment.main.label
        state = RunState(
            step=step,
            order_digest=self.training.order.digest,
            origin=_origin(self.experiment),
            grouping=self.training.grouping.shape.model_dump(mode="json"),
            normalisations={source.dataset.entry.name: asdict(source.normalisation) for source in data},
            label=None if label is None else label.variable.model_dump(mode="json"),
        )
        write_checkpoint(self.checkpoints, state=state, model=self.experiment.model, optimiser=self.optimiser)
        if scores and scores.score > best_score(self.checkpoints):
            mark_best(self.checkpoints, step=step, score=scores.score)
        prune(self.checkpoints)

    def _begin_log(self) -> RunLog:
        config = self.experiment.config
        write_config(config.out / "config.yaml", config=config)
        for data, source in zip(self.experiment.data, self.training.sources.each, strict=True):
            for part, about in source.reader.about.items():
                print(f"{data.dataset.entry.name}, {part}: {about}")
        return RunLog(config.out, first_step=self.first_step, steps=self.steps)


def fit(experiment: Experiment, *, ranks: Ranks, resume: bool) -> None:
    """Trains a network.

    Args:
        experiment: Data, task and network.
        ranks: The processes of the run; all of them call this.
        resume: Whether to go on from the run's last checkpoint.

    Raises:
        InputError: If the run cannot begin; raised on every rank, before any waits for another.
    """
    training = _ready(experiment, ranks=ranks, resume=resume)
    make_run_folder(experiment.config.out)
    with joined(ranks):
        training.run()


def _ready(experiment: Experiment, *, ranks: Ranks, resume: bool) -> Training:
    config = experiment.config
    checkpoint = _checkpoint_to_go_on_from(experiment, resume=resume)
    state = read_state(checkpoint) if checkpoint else None
    if checkpoint and state:
        _check_origin(experiment, checkpoint=checkpoint, origin=state.origin)
    readers = experiment.readers()
    shape = GroupShape.model_validate(state.grouping) if state else None
    training, validation = experiment.training_batches(readers, ranks=ranks, shape=shape), None
    if config.splits.validation:
        validation = experiment.scoring_batches(readers, split=config.splits.validation, ranks=ranks)
    experiment.model.to(ranks.device)
    optimiser = make_optimiser(experiment.model, config=config.optimiser)
    if checkpoint and state:
        load_model(checkpoint, model=experiment.model)
        _check_order(checkpoint, found=state.order_digest, expected=training.order.digest)
        load_optimiser(checkpoint, optimiser=optimiser)
    return Training(
        experiment=experiment,
        ranks=ranks,
        training=training,
        validation=validation,
        faults=FaultPolicy(config.feed.faults, seed=config.seed, record=config.out / f"faults-{ranks.rank}.jsonl"),
        optimiser=optimiser,
        first_step=state.step if state else 0,
        steps=config.steps or (config.epochs or 0) * training.order.steps_per_epoch,
    )


def _checkpoint_to_go_on_from(experiment: Experiment, *, resume: bool) -> Path | None:
    checkpoint = last_checkpoint(experiment.config.out / "checkpoints")
    if checkpoint and not resume:
        raise InputError(f"{experiment.config.out} holds a run already: go on with --resume, or choose another --out.")
    return checkpoint


def _check_order(checkpoint: Path, *, found: str, expected: str) -> None:
    if found != expected:
        raise InputError(
            f"checkpoint {checkpoint} saw other windows in another order: datasets, splits, window, stride, edges, "
            "select, batch_size, order or seed have changed. Set them back, or choose another --out."
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
    }


def _check_origin(experiment: Experiment, *, checkpoint: Path, origin: dict[str, Any]) -> None:
    present = _origin(experiment)
    if different := [place for place in present if present[place] != origin.get(place)]:
        changes = ", ".join(f"config.{place} {origin.get(place)!r} to {present[place]!r}" for place in different)
        raise InputError(
            f"checkpoint {checkpoint} is of another run: changed {changes}. Set back, or choose another --out."
        )


def _check_finite(loss: float, *, step: int) -> None:
    """The loss is that of all ranks, so all of them stop."""
    if not math.isfinite(loss):
        raise WorkError(
            f"the loss became {loss} at step {step}: lower config.optimiser.learning_rate, and go on with --resume "
            "from the last checkpoint, or begin again."
        )


def _over_ranks(model: nn.Module, *, ranks: Ranks) -> nn.Module:
    if ranks.world_size == 1:
        return model
    device_ids = [ranks.device] if ranks.device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=device_ids, bucket_cap_mb=BUCKET_MIB)
