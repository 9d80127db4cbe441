"""Training, on one screen."""

import math
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from torch._C._distributed_c10d import Store

from data_catalog.lease import hold_lease
from trainer.checkpoint import RunState
from trainer.config_file import write_config
from trainer.experiment import Experiment
from trainer.feed.audit import AuditFile
from trainer.feed.examples import on_device
from trainer.ranks import EXIT_REQUEUE, Ranks, joined, wait_for_all
from trainer.run_folder import make_run_folder
from trainer.training.beginning import Run, begin
from trainer.training.checkpoint_writer import CheckpointWriter
from trainer.training.interruption import Interruption
from trainer.training.prospects import prospects
from trainer.training.provenance import note_start
from trainer.training.run_log import RunLog
from trainer.training.schedule import learning_rate
from trainer.training.watchdog import Watchdog


def fit(experiment: Experiment, *, ranks: Ranks, resume: bool) -> None:
    """Trains a network.

    Args:
        experiment: Data, task and network.
        ranks: The processes of the run; all of them call this.
        resume: Whether to go on from the run's last checkpoint, if there is one.

    Raises:
        InputError: If the run cannot begin; raised on every rank, before any waits for another.
        SystemExit: With `EXIT_REQUEUE` where the run was told to end, and has been saved.
    """
    out = experiment.config.out
    is_there = out.is_dir()  # then nobody else shall write while its checkpoints are read; else nothing is made yet
    with _alone(out, wanted=ranks.is_first and is_there):
        run = begin(experiment, ranks=ranks, resume=resume)
        make_run_folder(out)
        with joined(ranks) as store, _alone(out, wanted=ranks.is_first and not is_there):
            _train(run, store=store)


def _train(run: Run, *, store: Store | None) -> None:
    config, ranks, learner, state = run.experiment.config, run.ranks, run.learner, run.state
    told_to_end = False
    with ExitStack() as stack:
        log = stack.enter_context(_begin_log(run)) if ranks.is_first else None
        writer = stack.enter_context(_writer(run)) if ranks.is_first else None
        interruption = stack.enter_context(Interruption(ranks))
        watchdog = stack.enter_context(Watchdog(ranks, store=store, patience_s=config.watch_s))
        audit = AuditFile(config.out, rank=ranks.rank) if config.feed.audit else None
        feed = stack.enter_context(run.training.feed(range(state.step, run.steps), faults=run.faults, audit=audit))
        for step, batch in enumerate(on_device(feed, device=ranks.device), start=state.step + 1):
            watchdog.is_at(f"takes step {step}", meets=True)
            interruption.ask()
            rate = learning_rate(step * config.batch_size, total=run.steps * config.batch_size, config=config.optimiser)
            outcome = learner.step(batch, number=step - 1, rate=rate)
            if log:
                log.step(step, outcome, learning_rate=rate, waited_s=feed.wait_s)
            told_to_end = interruption.agreed() and step < run.steps
            state = _scored_and_saved(run, replace(state, step=step), log=log, writer=writer, at_once=told_to_end)
            watchdog.is_at(f"reads the batch of step {step + 1}", meets=False)
            if told_to_end or state.since_best >= (config.patience or math.inf):
                break
    wait_for_all()
    if state.step < run.steps:
        _say_why(run, state, told_to_end=told_to_end)


def _scored_and_saved(
    run: Run, state: RunState, *, log: RunLog | None, writer: CheckpointWriter | None, at_once: bool
) -> RunState:
    """The state after a step, scored and saved where that is due."""
    config, is_last = run.experiment.config, state.step == run.steps
    scores = None
    if run.validation and not at_once and (is_last or state.step % config.validate_every_steps == 0):
        scores = run.learner.score(run.validation, faults=run.faults)
        state = state.scored(scores.score)
        if log:
            log.scores(state.step, split=str(config.splits.validation), scores=scores)
    if scores or at_once or is_last or state.step % config.checkpoint_every_steps == 0:
        state, tensors = replace(state, learner=run.learner.numbers()), run.learner.tensors()
        if writer:
            writer.write(state, tensors)
    return state


def _say_why(run: Run, state: RunState, *, told_to_end: bool) -> None:
    """Why a run ends before its last step."""
    reason = f"{state.since_best} validations in a row were not better than the best, {state.best_score}"
    if told_to_end:
        reason = "told to; saved, go on with --resume auto"
    if run.ranks.is_first:
        print(f"ended at step {state.step} of {run.steps}: {reason}", flush=True)
    if told_to_end:
        sys.exit(EXIT_REQUEUE)


def _alone(folder: Path, *, wanted: bool) -> AbstractContextManager[object]:
    """One run writes into a folder at a time."""
    return hold_lease(str(folder), purpose="fit") if wanted else nullcontext()


def _writer(run: Run) -> CheckpointWriter:
    config = run.experiment.config
    return CheckpointWriter(config.out / "checkpoints", keep=config.keep_checkpoints)


def _begin_log(run: Run) -> RunLog:
    config = run.experiment.config
    write_config(config.out / "config.yaml", config=config)
    note_start(run)
    for data, source in zip(run.experiment.data, run.training.sources.each, strict=True):
        for part, about in source.reader.about.items():
            print(f"{data.dataset.entry.name}, {part}: {about}")
    for line in prospects(run):
        print(line, flush=True)
    return RunLog(config.out, first_step=run.state.step, steps=run.steps, batch_size=config.batch_size)
