"""Prediction: a trained network over a whole dataset or a split, straight into a derived group of the store."""

import hashlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass

import torch
from pydantic import JsonValue
from rich.progress import track
from safetensors.torch import save
from torch import nn

from data_catalog import InputError
from trainer.config import Precision
from trainer.experiment import Experiment
from trainer.feed.window_reader import open_readers
from trainer.models.arithmetic import allow_tf32, arithmetic
from trainer.models.network import size_multiple
from trainer.plan.windows import Extents, Ranges
from trainer.prediction.derived import check_may_begin, describe, group_at_work, open_arrays, publish, url_of
from trainer.prediction.ledger import Ledger, Plan
from trainer.prediction.predictor import Predictor
from trainer.prediction.tiles import Tiling, columns
from trainer.ranks import EXIT_REQUEUE, Ranks, joined, sum_over_ranks, wait_for_all

log = logging.getLogger(__name__)

WHOLE = "whole"
"""In place of a split: everywhere."""

MOST_HALO = 128
"""Samples of context on either side where a network's view is wider than fits, or unknown: beyond, it is faint."""

TILE = {2: 512, 3: 64}
"""Samples of a tile's core along each axis, by the number of axes; more where the halo is wide."""

MOST_READ = {2: 4096, 3: 320}
"""Samples along each axis that the network sees at once, at most: in 3-D, 2 GiB for 16 filters."""

SAMPLES_AT_ONCE = 2**20


@dataclass(frozen=True)
class Prediction:
    """What to predict, where to write it.

    Attributes:
        experiment: A run, opened.
        derived_id: Name of the group to write.
        split: Where to predict: a split, or `WHOLE`.
        halo: Samples of context on either side of a tile; None for the network's receptive field where that fits, else
            `MOST_HALO`.
        precision: How the network is run.
        provenance: What the entry shall say of where it came from.
    """

    experiment: Experiment
    derived_id: str
    split: str
    halo: int | None
    precision: Precision
    provenance: dict[str, JsonValue]

    @property
    def boxes(self) -> tuple[Ranges, ...]:
        """Where values are predicted."""
        variable = self.experiment.main.stored.variable
        if self.split == WHOLE:
            return (tuple((0, size) for size in variable.shape),)
        return self.experiment.main.dataset.split(self.split, dims=variable.dims)

    @property
    def context(self) -> int:
        """Samples on either side of a sample that its prediction depends on; `MOST_HALO` where the model is silent."""
        reach = self.experiment.task.reach
        return int(getattr(self.experiment.model, "receptive_field", MOST_HALO - reach)) + reach

    @property
    def tiling(self) -> Tiling:
        """How the volume is cut for the network: tiles show all that a prediction depends on, or are blended."""
        model, axes = self.experiment.model, self.experiment.network_axes
        shape = self.experiment.main.stored.variable.shape
        halo = self.halo
        if halo is None:
            fits = TILE[len(axes)] + 2 * self.context <= MOST_READ[len(axes)]
            halo = self.context if fits else min(self.context, MOST_HALO)
        tile = core_extent(tuple(shape[axis] for axis in axes), halo=halo)
        return Tiling(
            shape=shape,
            network_axes=axes,
            tile=tile,
            halo=halo,
            multiple=size_multiple(model),
            sections=max(1, SAMPLES_AT_ONCE // (tile + 2 * halo) ** len(axes)),
            blend=halo // 2 if halo < self.context else 0,
        )

    @property
    def plan(self) -> Plan:
        """All that the values depend on: only the same prediction goes on with what another process began."""
        experiment, tiling = self.experiment, self.tiling
        weights = hashlib.sha256(
            save({name: each.contiguous() for name, each in experiment.model.state_dict().items()})
        )
        return {
            "weights": weights.hexdigest(),
            "variable": experiment.main.stored.path,
            "normalisation": asdict(experiment.main.normalisation),
            "task": experiment.config.task.model_dump(mode="json"),
            "seed": experiment.config.seed,
            "split": self.split,
            "boxes": [[list(bounds) for bounds in box] for box in self.boxes],
            "halo": tiling.halo,
            "tile": tiling.tile,
            "precision": self.precision,
        }


def core_extent(sizes: Extents, *, halo: int) -> int:
    """Samples of a tile's core along each axis: `TILE`, or twice the halo, so that at most half of a row is context.

    Args:
        sizes: Of the volume along the network's axes: no core is wider.
        halo: Samples on either side of the core.
    """
    affordable = MOST_READ[len(sizes)] - 2 * halo
    return max(TILE[len(sizes)], min(2 * halo, max(sizes), affordable))


def predict(prediction: Prediction, *, ranks: Ranks) -> None:
    """Predicts, and publishes the group with the entry's next revision; goes on where the same prediction has ended.

    Args:
        prediction: What to predict, where to write it.
        ranks: All of them call this together.

    Raises:
        InputError: If the group exists, another prediction began it, or there is no such split.
        SystemExit: With `EXIT_REQUEUE` where the process was told to end.
    """
    experiment = prediction.experiment
    plan = prediction.plan
    check_may_begin(experiment.main.dataset, prediction.derived_id, plan=plan)
    _warn_of_cut_halo(prediction)
    _warn_of_group_norm(prediction)
    with joined(ranks), _ended_by_exception():
        with _group(prediction, plan=plan, ranks=ranks):
            wait_for_all()
            _fail_together(lambda: _write_share(prediction, ranks=ranks), ranks=ranks)
            if ranks.is_first:
                _publish(prediction)
        wait_for_all()


def _warn_of_cut_halo(prediction: Prediction) -> None:
    tiling = prediction.tiling
    if prediction.halo is None and tiling.blend:
        log.warning(
            "a prediction depends on %d samples on either side, tiles show %d and are blended over %d: values near "
            "their edges are not quite those of the whole section. --halo %d shows all.",
            prediction.context,
            tiling.halo,
            tiling.blend,
            prediction.context,
        )


def _warn_of_group_norm(prediction: Prediction) -> None:
    if any(isinstance(module, nn.GroupNorm) for module in prediction.experiment.model.modules()):
        log.warning(
            "group normalisation takes mean and variance of what the network sees at once, a tile: values differ from "
            "those of whole sections, by more the more tiles differ from each other. norm: layer does not."
        )


def _write_share(prediction: Prediction, *, ranks: Ranks) -> None:
    experiment, boxes = prediction.experiment, prediction.boxes
    variable, compute = experiment.main.stored.variable, experiment.config.compute
    how = arithmetic(prediction.precision, device=ranks.device)
    allow_tf32(compute.tf32)
    predictor = Predictor(
        model=experiment.model.to(device=ranks.device, dtype=how.dtype).eval(),
        arithmetic=how,
        task=experiment.task,
        reader=open_readers([experiment.main], config=experiment.config.feed, with_label=False)[0],
        tiling=prediction.tiling,
        arrays=open_arrays(experiment.main.dataset, derived_id=prediction.derived_id, names=experiment.task.outputs),
        device=ranks.device,
    )
    ledger = Ledger(url_of(experiment.main.dataset, prediction.derived_id))
    everything = columns(variable.shape, shard=variable.shard_shape, boxes=boxes)
    done = ledger.done()
    if ranks.is_first and done:
        print(f"goes on: {len(done)} of {len(everything)} columns of shards are written", flush=True)
    left = [column for column in everything[ranks.rank :: ranks.world_size] if _name(column) not in done]
    quiet = not (ranks.is_first and sys.stdout.isatty())
    for column in track(left, description="predicts", disable=quiet):
        predictor.write_column(column, boxes=boxes)
        ledger.note(_name(column))


def _name(column: tuple[Ranges, ...]) -> str:
    """Of a column in the ledger: its first sample along each dimension but the last."""
    return "-".join(str(start) for start, _ in column[0][:-1])


def _publish(prediction: Prediction) -> None:
    experiment = prediction.experiment
    variable, split = experiment.main.stored.variable, prediction.split
    publish(
        experiment.main.dataset,
        derived_id=prediction.derived_id,
        variables={name: describe(output, like=variable) for name, output in experiment.task.outputs.items()},
        boxes=() if split == WHOLE else experiment.main.dataset.split_boxes(split),
        provenance={**prediction.provenance, "split": split},
    )


def _group(prediction: Prediction, *, plan: Plan, ranks: Ranks) -> AbstractContextManager[None]:
    if not ranks.is_first:
        return nullcontext()
    experiment = prediction.experiment
    return group_at_work(
        experiment.main.dataset,
        derived_id=prediction.derived_id,
        like=experiment.main.stored.variable,
        outputs=experiment.task.outputs,
        plan=plan,
    )


def _fail_together(step: Callable[[], None], *, ranks: Ranks) -> None:
    """Runs a step on every rank; where one fails, all of them raise, and none waits for it for ever."""
    error: Exception | None = None
    try:
        step()
    except Exception as caught:
        error = caught
    failures = int(sum_over_ranks(torch.tensor(float(error is not None), device=ranks.device)))
    if error is not None:
        raise error
    if failures:
        raise InputError(f"{failures} of {ranks.world_size} processes failed and said why; the same command goes on.")


@contextmanager
def _ended_by_exception() -> Iterator[None]:
    """Makes an exception of a request to end, as torchrun sends it when a rank is lost: the lease is given back."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(EXIT_REQUEUE))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
