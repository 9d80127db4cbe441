"""Metrics of a whole split, the same on any number of ranks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.feed.batches import Batches
from trainer.feed.examples import on_device
from trainer.feed.faulty_windows import FaultPolicy
from trainer.models.arithmetic import FLOAT32, Arithmetic
from trainer.ranks import sum_over_ranks
from trainer.tasks.task import Batch, Task


@dataclass(frozen=True)
class Scores:
    """What a split came to.

    Attributes:
        metrics: By name.
        score: The one that chooses the best checkpoint; higher is better.
        picture: Views of this rank's first example.
    """

    metrics: dict[str, float]
    score: float
    picture: dict[str, Tensor]


@torch.no_grad()
def score_split(
    model: nn.Module,
    *,
    task: Task,
    batches: Batches[Batch],
    faults: FaultPolicy,
    arithmetic: Arithmetic = FLOAT32,
    meet: Callable[[], None] = lambda: None,
) -> Scores:
    """Runs a network over a split and merges what all ranks have counted; all of them call this together.

    Args:
        model: Not wrapped for several ranks; left in training mode.
        task: What it has learned.
        batches: Those of the split.
        faults: What to do about chunks that cannot be used.
        arithmetic: How the network is run.
        meet: Is called before the ranks meet.
    """
    model.eval()
    totals = []
    picture: dict[str, Tensor] = {}
    with batches.feed(range(batches.order.steps_per_epoch), faults=faults) as feed:
        for batch in on_device(feed, device=batches.ranks.device):
            output = arithmetic.run(model, batch.input)
            totals.append(task.statistics(output, batch=batch))
            picture = picture or task.picture(output, batch=batch)
    model.train()
    meet()
    total = sum_over_ranks(torch.stack(totals).sum(dim=0))
    metrics = task.metrics(total.cpu().numpy())
    return Scores(metrics=metrics, score=task.score(metrics), picture=picture)
