"""Which way of computing is fastest on the machine at hand: each is tried for some steps, in a process of its own.

A way that takes more memory than there is may be killed by the system: that ends its process, and the next is tried.
"""

import io
import math
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from data_catalog import Catalog, InputError, WorkError
from data_catalog.storage import write_atomically
from trainer.config import ComputeConfig, Config, Precision
from trainer.experiment import Experiment, prepare
from trainer.feed.examples import on_device
from trainer.feed.faulty_windows import FaultPolicy
from trainer.models.arithmetic import MIXED
from trainer.models.size import measure
from trainer.plan.order import largest_share
from trainer.ranks import Ranks, ranks_from_environment
from trainer.training.learner import Learner
from trainer.training.placing import recompute
from trainer.training.prospects import memory_nbytes, peak_nbytes

WARM_UP = 3
"""Steps before those that are timed: memory is allocated, kernels are chosen or compiled."""

WORTH = 1.03
"""A way must be faster than all simpler ones by so much, or the fastest of these stays."""

MOST_WAIT = 0.02
"""Share of the time that a network may wait for batches before more threads are tried."""

MOST_FULL = 0.8
"""Share of the memory that a way may take by the estimate, which leaves out what kernels need besides."""

MOST_LEVELS = 3
"""Levels that may be computed again: deeper ones hold hardly any of the memory."""

GIB = 2**30

Saving = dict[str, int | None]
"""Settings of `ComputeConfig` that save memory."""


@dataclass(frozen=True)
class Way:
    """One way of computing.

    Attributes:
        compute: All about it.
        threads: That read.
    """

    compute: ComputeConfig
    threads: int


@dataclass(frozen=True)
class Trial:
    """What became of a way.

    Attributes:
        way: Which.
        windows_per_s: Of one device; 0 where it failed.
        waits: Share of the time that it waited for batches.
        nbytes: Most memory: of the device if it has its own, else of the process.
        failure: Why it failed, in a few words; empty where it did not.
    """

    way: Way
    windows_per_s: float = 0.0
    waits: float = 0.0
    nbytes: int = 0
    failure: str = ""


def tune(config: Config, *, catalog: str | None, devices: int, steps: int, console: Console) -> Way:
    """Tries all ways, and prints what became of them.

    Args:
        config: Of the run.
        catalog: Where its datasets are.
        devices: That will share a batch; one of them is tried here, with its share.
        steps: That are timed of each way.
        console: Where to print.

    Returns:
        The best of them.

    Raises:
        InputError: If the run could not begin.
        WorkError: If no way of computing works.
    """
    share = largest_share(config.batch_size, world_size=devices)
    config = config.model_copy(update={"batch_size": share, "steps": WARM_UP + steps, "epochs": None})
    experiment, ranks = prepare(config, catalog=Catalog(catalog)), ranks_from_environment()
    if ranks.world_size > 1:
        raise InputError("tune tries one device by itself: start it without torchrun or srun, and with --devices.")
    trials = []
    for way in ways(experiment, ranks=ranks):
        trials.append(_try(way, config=config, catalog=catalog, console=console))
    while (best := choose(trials)).waits > MOST_WAIT and best.way.threads < (os.cpu_count() or 1):
        more = Way(best.way.compute, 2 * best.way.threads)
        trials.append(_try(more, config=config, catalog=catalog, console=console))
        if choose(trials).way != more:
            break
    console.print(_table(trials, best=best))
    return best.way


def ways(experiment: Experiment, *, ranks: Ranks) -> Iterator[Way]:
    """All that are worth a trial, the simplest first.

    Args:
        experiment: Its batch is what one device takes.
        ranks: Tells the device.
    """
    config = experiment.config
    mine: Precision = config.compute.precision
    precisions: tuple[Precision, ...] = ("float32", "bfloat16") if mine in ("float32", "bfloat16") else (mine,)
    compiles = (False, True) if shutil.which("g++") else (False,)
    savings = {precision: savings_of_memory(experiment, precision=precision, ranks=ranks) for precision in precisions}
    for compiled, precision, channels_last in product(compiles, precisions, (True, False)):
        for saving in savings[precision]:
            changes = {"precision": precision, "channels_last": channels_last, "compile": compiled}
            yield Way(config.compute.model_copy(update=changes | saving), config.feed.threads)


def savings_of_memory(experiment: Experiment, *, precision: Precision, ranks: Ranks) -> list[Saving]:
    """None where all fits as it is; else smaller micro-batches, levels that are computed again, and at last both."""
    share, model = experiment.config.batch_size, experiment.model
    averaged = experiment.config.optimiser.average_decay is not None
    halves = [math.ceil(share / 2**power) for power in range(share.bit_length() + 1)]
    most_levels = MOST_LEVELS if hasattr(model, "recompute_levels") else 0

    def fits(micro_batch: int, levels: int) -> bool:
        recompute(model, levels=levels)
        size = measure(
            model,
            in_channels=experiment.task.in_channels,
            extents=tuple(experiment.config.window.values()),
            autocast=MIXED.get(precision),
        )
        return size.training_nbytes(micro_batch, averaged=averaged) <= MOST_FULL * memory_nbytes(ranks)

    if fits(share, 0):
        return [{"micro_batch": None, "recompute_levels": 0}]
    found: list[Saving] = []
    if smaller := next((part for part in halves if fits(part, 0)), None):
        found.append({"micro_batch": smaller, "recompute_levels": 0})
    if levels := next((count for count in range(1, most_levels + 1) if fits(share, count)), None):
        found.append({"micro_batch": None, "recompute_levels": levels})
    return found or [{"micro_batch": 1, "recompute_levels": most_levels}]


def choose(trials: list[Trial]) -> Trial:
    """The fastest; a simpler one where the gain is not `WORTH` it.

    Raises:
        WorkError: If all have failed.
    """
    best = trials[0]
    for trial in trials[1:]:
        if trial.windows_per_s > WORTH * best.windows_per_s:
            best = trial
    if best.failure:
        raise WorkError("no way of computing works: " + "; ".join(sorted({trial.failure for trial in trials})))
    return best


def write_way(path: Path, *, way: Way) -> None:
    """Writes a way into a configuration; comments and all else stay.

    Raises:
        InputError: If the file cannot be written.
    """
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 120
    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"))
    found = {"compute": way.compute.model_dump(mode="json"), "feed": {"threads": way.threads}}
    plain = {"compute": ComputeConfig().model_dump(mode="json"), "feed": {}}
    for section, values in found.items():
        there = document.setdefault(section, {})
        for name, value in values.items():
            if name in there or value != plain[section].get(name):
                there[name] = value
    text = io.StringIO()
    yaml.dump(document, text)
    try:
        write_atomically(path, text.getvalue())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}).") from None


def _try(way: Way, *, config: Config, catalog: str | None, console: Console) -> Trial:
    feed = config.feed.model_copy(update={"threads": way.threads})
    document = config.model_copy(update={"compute": way.compute, "feed": feed}).model_dump(mode="json")
    with (
        console.status(f"tries {_described(way)}"),
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process,
    ):
        try:
            return Trial(way, *process.submit(_measured, document, catalog).result())
        except BrokenProcessPool:
            return Trial(way, failure="was killed, of too little memory as it seems")
        except torch.OutOfMemoryError:
            return Trial(way, failure="does not fit")
        except (RuntimeError, InputError, WorkError) as error:
            return Trial(way, failure=str(error).partition("\n")[0])


def _measured(document: dict[str, Any], catalog: str | None) -> tuple[float, float, int]:
    """Windows a second, share of waiting, and most memory."""
    config = Config.model_validate(document)
    ranks = ranks_from_environment()
    experiment = prepare(config, catalog=Catalog(catalog))
    batches = experiment.training_batches(experiment.readers(), ranks=ranks)
    recompute(experiment.model, levels=config.compute.recompute_levels)
    learner = Learner(experiment.model, task=experiment.task, config=config, ranks=ranks)
    assert config.steps is not None
    faults = FaultPolicy(config.feed.faults, seed=config.seed, record=None)
    with batches.feed(range(config.steps), faults=faults) as feed:
        for number, batch in enumerate(on_device(feed, device=ranks.device)):
            learner.step(batch, number=number, rate=config.optimiser.learning_rate)
            if number == WARM_UP - 1:
                started_s, waited_s = time.perf_counter(), feed.wait_s
        elapsed_s = time.perf_counter() - started_s
    windows = (config.steps - WARM_UP) * config.batch_size
    return windows / elapsed_s, (feed.wait_s - waited_s) / elapsed_s, peak_nbytes()


def _described(way: Way) -> str:
    compute = way.compute
    parts = [
        compute.precision,
        "channels last" if compute.channels_last else "",
        "compiled" if compute.compile else "",
        f"micro-batches of {compute.micro_batch}" if compute.micro_batch else "",
        f"{compute.recompute_levels} levels computed again" if compute.recompute_levels else "",
        f"{way.threads} reader threads",
    ]
    return ", ".join(filter(None, parts))


def _table(trials: list[Trial], *, best: Trial) -> Table:
    table = Table("", "way", box=None)
    for heading in ("windows/s", "waits", "GiB"):
        table.add_column(heading, justify="right")
    for trial in trials:
        figures = (f"{trial.windows_per_s:.3g}", f"{trial.waits:.0%}", f"{trial.nbytes / GIB:.2f}")
        about = _described(trial.way) + (f": {trial.failure}" if trial.failure else "")
        table.add_row("▸" if trial is best else "", about, *([] if trial.failure else figures))
    return table
