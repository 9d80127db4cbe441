import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_catalog import InputError
from trainer.plan.groups import Groups, JoinedGroups
from trainer.plan.order import PADDING, Order, check_share, slots_of_rank
from trainer.plan.windows import WindowPlan, plan_windows

BATCH_SIZE = 8


def a_plan(repeats=None):
    boxes = [((0, 7), (0, 50), (0, 41)), ((9, 11), (5, 40), (0, 41))]
    plan = plan_windows(boxes, window=(1, 16, 16), stride=(1, 8, 8))
    return WindowPlan(plan.boxes, plan.window, repeats)


def an_order(*, seed=0, lanes=3, plan=None, batch_size=BATCH_SIZE, block=(4, 32, 20)):
    return Order(JoinedGroups((Groups(plan or a_plan(), block, walk=1, slab=16),)), batch_size, lanes, seed)


def epoch_of(order, epoch):
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    batches = [order.batch(step) for step in steps]
    assert {found for found, _ in batches} == {epoch}
    return np.concatenate([windows for _, windows in batches])


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_holds_each_window_once_and_padding_in_its_last_batch_alone(epoch, seed):
    order = an_order(seed=seed)
    sequence = epoch_of(order, epoch)
    count = order.groups.window_count
    assert count % BATCH_SIZE, "the case should have a tail"
    assert sorted(sequence[sequence != PADDING]) == list(range(count))
    assert np.count_nonzero(sequence == PADDING) == -count % BATCH_SIZE
    assert (sequence[: count // BATCH_SIZE * BATCH_SIZE] != PADDING).all()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3),
    st.integers(1, 5),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_any_plan_is_dealt_out_as_often_as_it_says(boxes, block, batch_size, lanes, seed):
    ranges = [((first, first + rows), (first, first + columns)) for first, rows, columns in boxes]
    plan = plan_windows(ranges, window=(1, 1), stride=(2, 3))
    repeats = np.random.default_rng(seed).integers(0, 4, len(plan)).astype(np.uint8)
    repeats[0] = 1
    plan = WindowPlan(plan.boxes, plan.window, repeats)
    order = Order(JoinedGroups((Groups(plan, (block, block + 1), walk=0, slab=1),)), batch_size, lanes, seed)
    sequence = epoch_of(order, 1)
    np.testing.assert_array_equal(np.bincount(sequence[sequence != PADDING], minlength=len(plan)), repeats)
    assert len(sequence) - repeats.sum() < batch_size


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 5, 8])
def test_ranks_serve_all_slots_once_and_none_has_none(world_size):
    slots = [slots_of_rank(BATCH_SIZE, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(slot for of_rank in slots for slot in of_rank) == list(range(BATCH_SIZE))
    assert max(map(len, slots)) - min(map(len, slots)) <= 1


def test_order_depends_on_seed_and_epoch_alone():
    np.testing.assert_array_equal(epoch_of(an_order(), 2), epoch_of(an_order(), 2))
    assert (epoch_of(an_order(), 2) != epoch_of(an_order(), 3)).any()
    assert (epoch_of(an_order(seed=1), 2) != epoch_of(an_order(), 2)).any()


def test_without_a_seed_slots_walk_the_plan_from_end_to_end():
    order = an_order(seed=None, lanes=1)
    whole = np.concatenate([np.concatenate(list(order.groups.slabs(g))) for g in range(len(order.groups.lengths))])
    rows = epoch_of(order, 0).reshape(-1, BATCH_SIZE)
    walked = np.concatenate([rows[rows[:, slot] != PADDING, slot] for slot in range(BATCH_SIZE)])
    np.testing.assert_array_equal(walked, whole)


def test_a_group_is_decoded_by_the_ranks_of_one_or_two_lanes():
    """Groups are cut between lanes, and nowhere else: so all but one cut a lane are of one slot."""
    order = an_order(lanes=2)
    rows = epoch_of(order, 0).reshape(-1, BATCH_SIZE)
    group_of = np.empty(order.groups.window_count, int)
    for group in range(len(order.groups.lengths)):
        group_of[np.concatenate(list(order.groups.slabs(group)))] = group
    slots_of_group = [set() for _ in order.groups.lengths]
    for row in rows:
        for slot, window in enumerate(row):
            if window != PADDING:
                slots_of_group[group_of[window]].add(slot)
    assert sum(len(slots) - 1 for slots in slots_of_group) <= BATCH_SIZE


def test_a_lane_holds_one_slab_at_a_time():
    """At any step the windows of a lane that are still to come, of the slab that it is in, are its next ones."""
    order = an_order(lanes=1, batch_size=1)
    slab_of = {}
    for group in range(len(order.groups.lengths)):
        for number, slab in enumerate(order.groups.slabs(group)):
            slab_of |= dict.fromkeys(slab.tolist(), (group, number))
    slabs = [slab_of[window] for window in epoch_of(order, 0)]
    visits = [slab for place, slab in enumerate(slabs) if place == 0 or slab != slabs[place - 1]]
    assert len(visits) - len(set(visits)) <= 1, "only the slab where the epoch's ring was opened comes twice"


def test_epochs_are_cut_in_different_places():
    plan = plan_windows([((0, 64), (0, 1))], window=(1, 1), stride=(1, 1))
    order = Order(JoinedGroups((Groups(plan, (8, 1), walk=0, slab=8),)), 4, 2, 0)
    firsts = {tuple(sorted(order.batch(epoch * order.steps_per_epoch)[1] // 8)) for epoch in range(20)}
    cut = [len(set(groups)) for groups in firsts]
    assert max(cut) == 4


@pytest.mark.parametrize("lanes", [1, 4])
def test_mixing_of_a_drifting_survey(lanes):
    """Windows of a group alike, and drifting from group to group: as bad as it gets. Averages over epochs."""
    plan = plan_windows([((0, 400), (0, 20))], window=(1, 1), stride=(1, 1))
    order = Order(JoinedGroups((Groups(plan, (1, 20), walk=1, slab=20),)), 8, lanes, 0)
    variances, correlations = [], []
    for epoch in range(10):
        rows = epoch_of(order, epoch).reshape(-1, 8)
        means = (rows // 20).mean(axis=1)
        away = means - means.mean()
        variances.append(means.var())
        correlations.append((away[1:] * away[:-1]).mean() / means.var())
    of_shuffled = np.arange(400).var() / 8
    assert np.mean(variances) < 1.2 * of_shuffled
    if lanes == 4:
        assert np.mean(correlations) < 0.1
    else:
        assert np.mean(correlations) > 0.8, "the measure must be able to fail"


def test_digest_follows_all_that_makes_batches():
    repeats = np.ones(len(a_plan()), np.uint8)
    digests = {
        an_order().digest,
        an_order(batch_size=16).digest,
        an_order(seed=1).digest,
        an_order(seed=None).digest,
        an_order(lanes=4).digest,
        an_order(block=(4, 16, 20)).digest,
        an_order(plan=a_plan(2 * repeats)).digest,
    }
    assert len(digests) == 7
    assert an_order().digest == an_order().digest


def test_more_ranks_than_windows_are_refused():
    check_share(6, world_size=6)
    with pytest.raises(InputError, match="batch_size is 6 windows over all ranks, too few for 7 processes"):
        check_share(6, world_size=7)
