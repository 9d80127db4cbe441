"""Splits: nothing shared, guard bands kept, shares about as asked, the same by the same seed."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_catalog import InputError
from pipeline.plan.split_plan import Ranges, cut_by_groups, cut_in_blocks, cut_in_order, deal_whole, nearest_distance

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def owners(ranges: Ranges, size: int) -> np.ndarray:
    """Number of the split of each position, -1 for none; sees that none has two."""
    found = np.full(size, -1)
    for number, parts in enumerate(ranges.values()):
        for first, last in parts:
            assert 0 <= first < last <= size
            assert (found[first:last] == -1).all()
            found[first:last] = number
    return found


def check_guards(ranges: Ranges, guard: int) -> None:
    for one, other in combinations(ranges.values(), 2):
        assert nearest_distance(one, other) >= guard


@given(st.integers(10, 3000), st.integers(0, 100))
def test_ranges_in_order(size: int, guard: int) -> None:
    assume(size - 2 * guard >= 10)
    ranges = cut_in_order(size, SHARES, guard=guard)
    found = owners(ranges, size)
    check_guards(ranges, guard)
    assert (found == -1).sum() == 2 * guard
    for number, share in enumerate(SHARES.values()):
        assert abs((found == number).sum() - share * (size - 2 * guard)) <= 1


@given(st.integers(30, 3000), st.integers(0, 8), st.integers(3, 20), st.integers(0, 99))
def test_blocks(size: int, guard: int, blocks: int, seed: int) -> None:
    assume(size // blocks > 3 * guard + 1)
    ranges = cut_in_blocks(size, SHARES, guard=guard, blocks=blocks, seed=seed)
    found = owners(ranges, size)
    check_guards(ranges, guard)
    assert ranges == cut_in_blocks(size, SHARES, guard=guard, blocks=blocks, seed=seed)
    assert (found == -1).sum() <= guard * (blocks - 1)
    if guard == 0:
        for number, share in enumerate(SHARES.values()):
            assert abs((found == number).mean() - share) <= 2 / blocks + 1 / size


def test_other_seeds_deal_otherwise() -> None:
    found = {str(cut_in_blocks(1000, SHARES, guard=0, blocks=20, seed=seed)) for seed in range(5)}
    assert len(found) > 1


@given(st.lists(st.integers(0, 12), min_size=40, max_size=300), st.integers(0, 99))
def test_groups_stay_together(groups: list[int], seed: int) -> None:
    values = np.array(groups)
    assume(np.unique(values).size >= 3)
    found = owners(cut_by_groups(values, SHARES, seed=seed), values.size)
    assert (found >= 0).all()
    for group in np.unique(values):
        assert np.unique(found[values == group]).size == 1
    largest = np.bincount(values).max() / values.size
    for number, share in enumerate(SHARES.values()):
        assert abs((found == number).mean() - share) <= largest + 0.02


@pytest.mark.parametrize(
    ("size", "guard", "shares", "message"),
    [
        (10, 5, SHARES, "nothing is left for train, validation, test: 10 positions do not hold 3 splits"),
        (100, 0, {"train": 0.6, "test": 0.6}, "add up to 1: train 0.6, test 0.6 do not"),
        (100, 0, {"train": 1.2, "test": -0.2}, "positive"),
    ],
)
def test_splits_that_cannot_be_are_refused(size: int, guard: int, shares: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cut_in_order(size, shares, guard=guard)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=20), st.integers(0, 100))
def test_whole_things_leave_no_split_empty(sizes: list[int], seed: int) -> None:
    found = deal_whole(sizes, SHARES, seed=seed, what="surveys")
    assert set(found) == set(SHARES)
    assert len(found) == len(sizes)
    assert found == deal_whole(sizes, SHARES, seed=seed, what="surveys")


def test_too_few_groups_or_blocks_are_refused() -> None:
    with pytest.raises(InputError, match="2 groups cannot be dealt to 3 splits"):
        cut_by_groups(np.array([1, 1, 2]), SHARES, seed=0)
    with pytest.raises(InputError, match="2 blocks of 100 positions cannot be dealt to 3 splits"):
        cut_in_blocks(100, SHARES, guard=0, blocks=2, seed=0)


def test_distance_between_ranges() -> None:
    assert nearest_distance([(0, 5)], [(9, 12)]) == 4
    assert nearest_distance([(0, 5), (20, 25)], [(9, 12), (30, 31)]) == 4
    assert nearest_distance([(0, 5)], [(5, 6)]) == 0


def test_guard_bands_that_leave_little_of_a_split_are_refused() -> None:
    with pytest.raises(InputError, match=r"guard bands of 4 leave .* positions of .*: fewer blocks, or a narrower"):
        cut_in_blocks(512, {"train": 0.8, "test": 0.2}, guard=4, blocks=250, seed=0)
