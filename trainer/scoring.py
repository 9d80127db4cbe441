"""Metrics of a whole split, the same on any number of ranks."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.config import FeedConfig
from trainer.feed import ExampleSource, Feed
from trainer.order import steps_per_epoch
from trainer.ranks import Ranks, sum_over_ranks


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
def score_split(model: nn.Module, *, source: ExampleSource, feed: FeedConfig, batch_size: int, ranks: Ranks) -> Scores:
    """Runs a network over a split and merges what all ranks have counted.

    Args:
        model: Not wrapped for several ranks; left in training mode.
        source: The split's examples.
        feed: How to read.
        batch_size: Windows of a step over all ranks.
        ranks: All of them call this together.
    """
    model.eval()
    task, totals = source.task, []
    picture: dict[str, Tensor] = {}
    steps = range(steps_per_epoch(source.order, batch_size=batch_size))
    with Feed(source, config=feed, batch_size=batch_size, ranks=ranks, steps=steps) as batches:
        for batch in batches:
            output = model(batch.input)
            totals.append(task.statistics(output, batch=batch))
            picture = picture or task.picture(output, batch=batch)
    model.train()
    total = sum_over_ranks(torch.stack(totals).sum(dim=0))
    metrics = task.metrics(total.cpu().numpy())
    return Scores(metrics=metrics, score=task.score(metrics), picture=picture)
