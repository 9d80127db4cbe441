"""Everything that batches follow from, chosen and judged together: windows, groups, order and how they are read."""

import logging
from dataclasses import dataclass
from typing import Generic, TypeVar

from trainer.config import FeedConfig, OrderConfig
from trainer.feed.audit import AuditFile
from trainer.feed.faulty_windows import FaultPolicy
from trainer.feed.feed import Feed, Maker, look_ahead_batches
from trainer.feed.sources import Sources
from trainer.plan.grouping import ChunkedPlan, Grouping, GroupShape, choose_grouping
from trainer.plan.order import Order, check_share, largest_share
from trainer.ranks import Ranks

log = logging.getLogger(__name__)

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Batches(Generic[BatchT]):
    """The batches of one split, to be fed.

    Attributes:
        sources: Their windows.
        maker: Makes them.
        order: Which windows each step takes.
        grouping: What the order's groups hold, and how often they read.
        config: How windows are read.
        ranks: Which part of each batch is this process's.
        look_ahead: Batches under way or ready at any time.
    """

    sources: Sources
    maker: Maker[BatchT]
    order: Order
    grouping: Grouping
    config: FeedConfig
    ranks: Ranks
    look_ahead: int

    def feed(self, steps: range, *, faults: FaultPolicy, audit: AuditFile | None = None) -> Feed[BatchT]:
        """Starts reading the batches of some steps, in main memory.

        Args:
            steps: Of the run.
            faults: What to do about chunks that cannot be used.
            audit: Takes down what is fed.
        """
        return Feed(
            self.maker,
            self.sources,
            self.order,
            ranks=self.ranks,
            steps=steps,
            threads=self.config.threads,
            look_ahead=self.look_ahead,
            faults=faults,
            audit=audit,
        )


def arrange(
    sources: Sources,
    maker: Maker[BatchT],
    *,
    batch_size: int,
    seed: int | None,
    order: OrderConfig,
    feed: FeedConfig,
    ranks: Ranks,
    shape: GroupShape | None = None,
) -> Batches[BatchT]:
    """Chooses groups and look-ahead that fit.

    Args:
        sources: The windows.
        maker: Makes batches of them.
        batch_size: Windows of a step over all ranks.
        seed: Of the order; None keeps that of the plan, for scoring.
        order: How windows are mixed.
        feed: How they are read.
        ranks: The processes that share batches.
        shape: Of the groups, as they were chosen before; None chooses them.

    Raises:
        InputError: If something does not fit, with the bytes that would.
    """
    check_share(batch_size, world_size=ranks.world_size)
    grouping = choose_grouping(
        [
            ChunkedPlan(source.plan, source.reader.grids(len(source.plan.window)))
            for source in sources.each
            if len(source.plan)
        ],
        batch_size=batch_size,
        ranks=order.ranks,
        threads=feed.threads,
        budget_nbytes=feed.resident_nbytes,
        lanes=1 if seed is None else order.lanes,
        shape=shape,
    )
    if seed is not None and order.lanes is None and grouping.shape.lanes == 1 and not grouping.groups.are_single:
        log.warning(
            "there is room for one lane only, so that neighbouring batches are much alike: "
            "config.feed.resident_nbytes of %d would mix them.",
            grouping.well_mixed_nbytes,
        )
    share = largest_share(batch_size, world_size=ranks.world_size)
    look_ahead = look_ahead_batches(feed, batch_nbytes=share * maker.window_nbytes)
    return Batches(
        sources,
        maker,
        Order(grouping.groups, batch_size, grouping.shape.lanes, seed),
        grouping,
        feed,
        ranks,
        look_ahead,
    )
