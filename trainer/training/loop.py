"""Training, on one screen."""

import logging
import math
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace

from data_catalog.lease import hold_lease
from trainer.checkpoint import RunState
from trainer.config_file import write_config
from trainer.experiment import Experiment
from trainer.feed.audit import AuditFile
from trainer.feed.examples import on_device
from trainer.ranks import EXIT_REQUEUE, Ranks, joined, wait_for_all
from trainer.report.page import write_report
from trainer.run_folder import make_run_folder
from trainer.training.beginning import Run, begin, check_begins_alike
from trainer.training.checkpoint_writer import CheckpointWriter
from trainer.training.interruption import Interruption
from trainer.training.profiling import profiled
from trainer.training.prospects import prospects
from trainer.training.provenance import note_start
from trainer.training.run_log import RunLog
from trainer.training.schedule import learning_rate
from trainer.training.trackers import Trackers
from trainer.training.watchdog import Watchdog

log = logging.getLogger(__name__)


def fit(experiment: Experiment, *, ranks: Ranks, resume: bool, profile_steps: int = 0) -> None:
    """Trains a network.

    Args:
        experiment: Data, task and network.
        ranks: The processes of the run; all of them call this.
        resume: Whether to go on from the run's last checkpoint, if there is one.
        profile_steps: That are traced; 0 traces none.

    Raises:
        InputError: If the run cannot begin; but for what one rank alone can see, before any waits for another.
        SystemExit: With `EXIT_REQUEUE` where the run was told to end, and has been saved.
    """
    out = experiment.config.out
    is_there = out.is_dir()  # then nobody else shall write while its checkpoints are read; else nothing is made yet
    with ExitStack() as stack:
        stack.enter_context(_alone(experiment, wanted=ranks.is_first and is_there))
        run = begin(experiment, ranks=ranks, resume=resume)
        make_run_folder(out)
        store = stack.enter_context(joined(ranks))
        stack.enter_context(_alone(experiment, wanted=ranks.is_first and not is_there))
        check_begins_alike(run)
        with Watchdog(ranks, store=store, patience_s=experiment.config.watch_s) as watchdog:
            state, was_told = _train(run, watchdog=watchdog, profile_steps=profile_steps)
            watchdog.is_at("has ended", meets=True)
            wait_for_all()
        if ranks.is_first:
            _tell_end(run, state, was_told=was_told)
    if was_told:
        sys.exit(EXIT_REQUEUE)


def _train(run: Run, *, watchdog: Watchdog, profile_steps: int) -> tuple[RunState, bool]:
    """Where the run stands at its end, and whether it was told to end."""
    config, ranks, learner, state = run.experiment.config, run.ranks, run.learner, run.state
    was_told = False
    with ExitStack() as stack:
        run_log = stack.enter_context(_begin_log(run)) if ranks.is_first else None
        writer = stack.enter_context(_writer(run)) if ranks.is_first else None
        interruption = stack.enter_context(Interruption(ranks))
        if _is_due(run, state):  # the run was ended before it came to that
            state = _scored(run, state, run_log=run_log, watchdog=watchdog)
        steps = range(state.step, state.step if _is_over(run, state) else run.steps)
        audit = AuditFile(config.out, rank=ranks.rank) if config.feed.audit else None
        feed = stack.enter_context(run.training.feed(steps, faults=run.faults, audit=audit))
        profile = stack.enter_context(profiled(config.out, ranks=ranks, steps=profile_steps))
        for step, batch in enumerate(on_device(feed, device=ranks.device), start=state.step + 1):
            watchdog.is_at(f"takes step {step}", meets=True)
            interruption.ask()
            rate = learning_rate(step * config.batch_size, total=run.steps * config.batch_size, config=config.optimiser)
            outcome = learner.step(batch, number=step - 1, rate=rate)
            profile.step()
            if run_log:
                run_log.step(step, outcome, learning_rate=rate, waited_s=feed.wait_s)
            state, is_saved = replace(state, step=step), step % config.checkpoint_every_steps == 0
            was_told = interruption.agreed() and step < run.steps
            if not was_told and _is_due(run, state):
                state, is_saved = _scored(run, state, run_log=run_log, watchdog=watchdog), True
            if is_saved or was_told or step == run.steps:
                state, tensors = replace(state, learner=learner.numbers()), learner.tensors()
                if writer:
                    writer.write(state, tensors)
            watchdog.is_at(f"reads the batch of step {step + 1}", meets=False)
            if was_told or _is_over(run, state):
                break
    return state, was_told


def _is_due(run: Run, state: RunState) -> bool:
    """Whether the validation split is to be scored after a step."""
    every = run.experiment.config.validate_every_steps
    due = 0 < state.step != state.scored_step and (state.step == run.steps or state.step % every == 0)
    return due and run.validation is not None


def _is_over(run: Run, state: RunState) -> bool:
    """Whether it is no use to go on."""
    return state.since_best >= (run.experiment.config.patience or math.inf)


def _scored(run: Run, state: RunState, *, run_log: RunLog | None, watchdog: Watchdog) -> RunState:
    """The state after the validation split was scored."""
    config = run.experiment.config
    assert run.validation is not None, "else nothing is due"
    shared = config.compute.shard_weights  # then each forward pass meets the others
    watchdog.is_at(f"scores the network of step {state.step}", meets=shared)
    scores = run.learner.score(
        run.validation,
        faults=run.faults_of_scoring(),
        meet=lambda: watchdog.is_at(f"adds up the scores of step {state.step}", meets=True),
    )
    if run_log:
        run_log.scores(state.step, split=str(config.splits.validation), scores=scores)
    return state.scored(scores.score)


def _tell_end(run: Run, state: RunState, *, was_told: bool) -> None:
    """Why a run ends before its last step, and its report."""
    reason = f"{state.since_best} validations in a row were not better than the best, {state.best_score}"
    if was_told:
        reason = "told to; saved, go on with --resume auto"
    if state.step < run.steps:
        print(f"ended at step {state.step} of {run.steps}: {reason}", flush=True)
    try:
        write_report(run.experiment.config.out)
    except Exception as error:  # what was learned is worth more than a page about it
        log.warning("no report was made: %s: %s", type(error).__name__, error)


def _alone(experiment: Experiment, *, wanted: bool) -> AbstractContextManager[object]:
    """One run writes into a folder at a time."""
    return hold_lease(str(experiment.config.out), purpose="fit") if wanted else nullcontext()


def _writer(run: Run) -> CheckpointWriter:
    config = run.experiment.config
    return CheckpointWriter(config.out / "checkpoints", keep=config.keep_checkpoints)


def _begin_log(run: Run) -> RunLog:
    config, first_step = run.experiment.config, run.state.step
    write_config(config.out / "config.yaml", config=config)
    note_start(run)
    for data, source in zip(run.experiment.data, run.training.sources.each, strict=True):
        for part, about in source.reader.about.items():
            print(f"{data.dataset.entry.name}, {part}: {about}")
    for line in prospects(run):
        print(line, flush=True)
    trackers = Trackers(run.trackers, config=config, first_step=first_step)
    return RunLog(config.out, trackers=trackers, first_step=first_step, steps=run.steps, batch_size=config.batch_size)
