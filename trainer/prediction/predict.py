"""Prediction: a trained network over a whole dataset or a split, straight into a derived group of the store."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from pydantic import JsonValue
from torch import nn

from data_catalog import InputError
from trainer.experiment import Experiment
from trainer.feed.window_reader import open_readers
from trainer.models.network import size_multiple
from trainer.plan.windows import Extents, Ranges
from trainer.prediction.derived import check_is_new, describe, new_group, open_arrays, publish
from trainer.prediction.predictor import Predictor
from trainer.prediction.tiles import Tiling, columns
from trainer.ranks import Ranks, joined, sum_over_ranks, wait_for_all

log = logging.getLogger(__name__)

WHOLE = "whole"
"""In place of a split: everywhere."""

MOST_HALO = 128
"""Samples of context on either side, where the user does not say: beyond, a network's view is wide but faint."""

TILE = {2: 512, 3: 64}
"""Samples of a tile's core along each axis, by the number of axes; more where the halo is wide."""

MOST_READ = {2: 4096, 3: 320}
"""Samples along each axis that the network sees at once where the halo widens tiles: 3-D, 2 GiB for 16 filters."""

SAMPLES_AT_ONCE = 2**20


@dataclass(frozen=True)
class Prediction:
    """What to predict, where to write it.

    Attributes:
        experiment: A run, opened.
        derived_id: Name of the group to write.
        split: Where to predict: a split, or `WHOLE`.
        halo: Samples of context on either side of a tile; None for the network's receptive field, up to `MOST_HALO`.
        provenance: What the entry shall say of where it came from.
    """

    experiment: Experiment
    derived_id: str
    split: str
    halo: int | None
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
        """How the volume is cut for the network."""
        model, axes = self.experiment.model, self.experiment.network_axes
        shape = self.experiment.main.stored.variable.shape
        halo = min(self.context, MOST_HALO) if self.halo is None else self.halo
        tile = core_extent(tuple(shape[axis] for axis in axes), halo=halo)
        return Tiling(
            shape=shape,
            network_axes=axes,
            tile=tile,
            halo=halo,
            multiple=size_multiple(model),
            sections=max(1, SAMPLES_AT_ONCE // (tile + 2 * halo) ** len(axes)),
        )


def core_extent(sizes: Extents, *, halo: int) -> int:
    """Samples of a tile's core along each axis: `TILE`, or twice the halo, so that at most half of a row is context.

    Args:
        sizes: Of the volume along the network's axes: no core is wider.
        halo: Samples on either side of the core.
    """
    affordable = MOST_READ[len(sizes)] - 2 * halo
    return max(TILE[len(sizes)], min(2 * halo, max(sizes), affordable))


def predict(prediction: Prediction, *, ranks: Ranks) -> None:
    """Predicts, and publishes the group with the entry's next revision; leaves no trace if it fails.

    Args:
        prediction: What to predict, where to write it.
        ranks: All of them call this together.

    Raises:
        InputError: If the group exists, or there is no such split.
    """
    experiment = prediction.experiment
    check_is_new(experiment.main.dataset, prediction.derived_id)
    _warn_of_cut_halo(prediction)
    _warn_of_group_norm(prediction)
    boxes = prediction.boxes
    experiment.model.to(ranks.device).eval()
    with joined(ranks), _ended_by_exception():
        with _group(prediction, ranks=ranks):
            wait_for_all()
            _fail_together(lambda: _write_share(prediction, boxes=boxes, ranks=ranks), ranks=ranks)
            if ranks.is_first:
                _publish(prediction)
        wait_for_all()


def _warn_of_cut_halo(prediction: Prediction) -> None:
    if prediction.halo is None and prediction.context > MOST_HALO:
        log.warning(
            "a prediction depends on %d samples on either side, tiles show %d: values near their edges are not quite "
            "those of the whole section. --halo %d shows all.",
            prediction.context,
            MOST_HALO,
            prediction.context,
        )


def _warn_of_group_norm(prediction: Prediction) -> None:
    if any(isinstance(module, nn.GroupNorm) for module in prediction.experiment.model.modules()):
        log.warning(
            "group normalisation takes mean and variance of what the network sees at once, a tile: values differ from "
            "those of whole sections, by more the more tiles differ from each other. norm: layer does not."
        )


def _write_share(prediction: Prediction, *, boxes: tuple[Ranges, ...], ranks: Ranks) -> None:
    experiment = prediction.experiment
    variable, outputs = experiment.main.stored.variable, experiment.task.outputs
    predictor = Predictor(
        model=experiment.model,
        task=experiment.task,
        reader=open_readers([experiment.main], config=experiment.config.feed, with_label=False)[0],
        tiling=prediction.tiling,
        arrays=open_arrays(experiment.main.dataset, derived_id=prediction.derived_id, names=outputs),
        device=ranks.device,
    )
    shards = columns(variable.shape, shard=variable.shard_shape, boxes=boxes)
    for column in shards[ranks.rank :: ranks.world_size]:
        predictor.write_column(column, boxes=boxes)


def _publish(prediction: Prediction) -> None:
    experiment = prediction.experiment
    variable, split = experiment.main.stored.variable, prediction.split
    publish(
        experiment.main.dataset,
        derived_id=prediction.derived_id,
        variables={name: describe(output, like=variable) for name, output in experiment.task.outputs.items()},
        boxes=() if split == WHOLE else experiment.main.dataset.entry.splits[split],
        provenance={**prediction.provenance, "split": split},
    )


def _group(prediction: Prediction, *, ranks: Ranks) -> AbstractContextManager[None]:
    if not ranks.is_first:
        return nullcontext()
    experiment = prediction.experiment
    return new_group(
        experiment.main.dataset,
        derived_id=prediction.derived_id,
        like=experiment.main.stored.variable,
        outputs=experiment.task.outputs,
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
        raise InputError(f"{failures} of {ranks.world_size} processes failed and said why; nothing was published.")


@contextmanager
def _ended_by_exception() -> Iterator[None]:
    """Makes of a request to end, as torchrun sends when another rank is lost, an exception that cleans up."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
