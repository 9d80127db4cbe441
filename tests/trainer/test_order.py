import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import InputError
from trainer.order import (
    PADDING,
    PlanOrder,
    ShuffledOrder,
    check_divides,
    global_batch,
    share_of_rank,
    steps_per_epoch,
)
from trainer.windows import plan_windows

BATCH_SIZE = 8


def shuffled(*, seed=0, pool_groups=3, boxes=None):
    boxes = boxes or [((0, 7), (0, 50), (0, 41)), ((9, 11), (5, 40), (0, 41))]
    plan = plan_windows(boxes, window=(1, 16, 16), stride=(1, 8, 8))
    return ShuffledOrder(plan, block=(4, 16, 20), pool_groups=pool_groups, seed=seed)


def epoch_of(order, epoch):
    steps = steps_per_epoch(order, batch_size=BATCH_SIZE)
    batches = [global_batch(order, step=epoch * steps + place, batch_size=BATCH_SIZE) for place in range(steps)]
    assert {found for found, _ in batches} == {epoch}
    return np.concatenate([windows for _, windows in batches])


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_holds_each_window_once_and_padding_last(epoch):
    order = shuffled()
    sequence = epoch_of(order, epoch)
    count = len(order.plan)
    assert count % BATCH_SIZE, "the case should have a tail"
    assert sorted(sequence[:count]) == list(range(count))
    assert (sequence[count:] == PADDING).all()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3),
    st.integers(1, 5),
    st.integers(1, 4),
)
@settings(deadline=None)
def test_any_plan_is_permuted(boxes, block, pool_groups):
    ranges = [((first, first + rows), (first, first + columns)) for first, rows, columns in boxes]
    plan = plan_windows(ranges, window=(1, 1), stride=(2, 3))
    order = ShuffledOrder(plan, block=(block, block + 1), pool_groups=pool_groups, seed=3)
    assert sorted(order.sequence(1, start=0, stop=len(plan))) == list(range(len(plan)))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_share_the_same_global_batches(world_size):
    order = shuffled()
    for step in range(steps_per_epoch(order, batch_size=BATCH_SIZE)):
        _, whole = global_batch(order, step=step, batch_size=BATCH_SIZE)
        shares = [share_of_rank(whole, rank=rank, world_size=world_size) for rank in range(world_size)]
        assert {len(share) for share in shares} == {BATCH_SIZE // world_size}
        np.testing.assert_array_equal(np.concatenate(shares), whole)


def test_order_depends_on_seed_and_epoch_alone():
    np.testing.assert_array_equal(epoch_of(shuffled(), 2), epoch_of(shuffled(), 2))
    assert (epoch_of(shuffled(), 2) != epoch_of(shuffled(), 3)).any()
    assert (epoch_of(shuffled(seed=1), 2) != epoch_of(shuffled(), 2)).any()


def test_neighbours_in_the_sequence_come_from_a_few_blocks():
    order = shuffled(pool_groups=2)
    origins = np.array([order.plan.origin(int(window)) for window in order.sequence(0, start=0, stop=len(order.plan))])
    blocks = [tuple(block) for block in origins // np.array(order.block)]
    changes_of_pool = {blocks.index(block) for block in blocks}
    last_use = {block: place for place, block in enumerate(blocks)}
    alive = max(
        sum(blocks.index(block) <= place <= last for block, last in last_use.items()) for place in range(len(blocks))
    )
    assert len(changes_of_pool) > 2 * order.pool_groups
    assert alive <= order.pool_groups


def test_digest_follows_all_that_makes_batches():
    digests = {
        shuffled().digest(batch_size=8),
        shuffled().digest(batch_size=16),
        shuffled(seed=1).digest(batch_size=8),
        shuffled(pool_groups=4).digest(batch_size=8),
    }
    assert len(digests) == 4


def test_scoring_keeps_the_plan():
    order = PlanOrder(shuffled().plan)
    np.testing.assert_array_equal(order.sequence(0, start=3, stop=7), [3, 4, 5, 6])


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(InputError, match="batch_size is 6 windows over all ranks, and 4 processes"):
        check_divides(6, world_size=4)
