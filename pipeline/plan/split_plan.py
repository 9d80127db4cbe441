"""Splits that do not leak: an axis cut into ranges, blocks or groups, with guard bands between. Pure integers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError

Ranges = dict[str, tuple[tuple[int, int], ...]]
"""Half-open ranges along the axis, by split."""

LEAST_LEFT = 0.5
"""Share of a split that guard bands have to leave of it."""


def cut_in_order(size: int, shares: Mapping[str, float], *, guard: int) -> Ranges:
    """One range for each split, in their order, with a guard band between neighbours.

    Args:
        size: Positions along the axis.
        shares: Of what is left beside the guard bands, by split; they add up to 1.
        guard: Positions between splits that belong to none.

    Raises:
        InputError: If shares do not add up to 1, or a split would be empty.
    """
    _check(shares)
    room = size - guard * (len(shares) - 1)
    edges = np.rint(np.cumsum([0.0, *shares.values()]) * max(0, room)).astype(int)
    found: Ranges = {
        name: ((int(begin) + guard * number, int(end) + guard * number),)
        for number, (name, begin, end) in enumerate(zip(shares, edges, edges[1:], strict=False))
    }
    _refuse_empty(found, size, guard)
    return found


def cut_in_blocks(size: int, shares: Mapping[str, float], *, guard: int, blocks: int, seed: int) -> Ranges:
    """Blocks of equal length, dealt to splits at random; guard bands where blocks of different splits meet.

    Args:
        size: Positions along the axis.
        shares: Of the blocks, by split; they add up to 1.
        guard: Positions between blocks of different splits that belong to none.
        blocks: How many.
        seed: The same gives the same.

    Raises:
        InputError: If shares do not add up to 1, or a split would be empty.
    """
    _check(shares)
    if not len(shares) <= blocks <= size:
        raise InputError(f"{blocks} blocks of {size} positions cannot be dealt to {len(shares)} splits.")
    owners = np.random.default_rng(seed).permutation(_dealt(blocks, list(shares.values())))
    edges = np.rint(np.linspace(0, size, blocks + 1)).astype(int)
    return ranges_of(np.repeat(owners, np.diff(edges)), list(shares), guard=guard)


def cut_by_groups(groups: NDArray[np.generic], shares: Mapping[str, float], *, seed: int) -> Ranges:
    """Whole groups, such as all examples of one event, dealt to splits at random, the largest first.

    Args:
        groups: Of each position along the axis.
        shares: Of the positions, by split; they add up to 1.
        seed: The same gives the same.

    Raises:
        InputError: If shares do not add up to 1, or there are fewer groups than splits.
    """
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    splits = list(shares)
    owners = np.array([splits.index(split) for split in deal_whole(counts.tolist(), shares, seed=seed, what="groups")])
    return ranges_of(owners[index], splits, guard=0)


def deal_whole(sizes: Sequence[int], shares: Mapping[str, float], *, seed: int, what: str) -> list[str]:
    """The split that each of several things goes into as a whole, dealt at random, the largest first.

    Args:
        sizes: Of the things.
        shares: Of their total, by split; they add up to 1.
        seed: The same gives the same.
        what: They are, for a message.

    Raises:
        InputError: If shares do not add up to 1, or there are fewer things than splits.
    """
    _check(shares)
    if len(sizes) < len(shares):
        raise InputError(f"{len(sizes)} {what} cannot be dealt to {len(shares)} splits.")
    of = np.asarray(sizes, np.float64)
    names, wanted = list(shares), np.array(list(shares.values())) * of.sum()
    given, owners = np.zeros(len(names)), np.zeros(len(of), int)
    order = np.random.default_rng(seed).permutation(len(of))
    for dealt, thing in enumerate(order[np.argsort(-of[order], kind="stable")]):
        lacks = (wanted - given) / np.maximum(wanted, 1)
        if np.count_nonzero(given == 0) >= len(of) - dealt:  # the rest is needed so that no split stays empty
            lacks[given > 0] = -np.inf
        owners[thing] = int(np.argmax(lacks))
        given[owners[thing]] += of[thing]
    return [names[owner] for owner in owners]


def ranges_of(owners: NDArray[np.integer], names: Sequence[str], *, guard: int) -> Ranges:
    """Ranges of positions with one owner, shortened so that a guard band lies between those of different splits.

    Args:
        owners: Split of each position, by number.
        names: Of the splits.
        guard: Positions between ranges of different splits that belong to none.

    Raises:
        InputError: If nothing is left of a split.
    """
    edges = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), owners.size]
    before, after = guard - guard // 2, guard // 2
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    for begin, end in pairwise(edges):
        first = begin + (after if begin > 0 else 0)
        last = end - (before if end < owners.size else 0)
        if first < last:
            found[names[int(owners[begin])]].append((first, last))
    ranges = {name: tuple(each) for name, each in found.items()}
    _refuse_empty(ranges, owners.size, guard)
    for number, name in enumerate(names):
        dealt, left = int((owners == number).sum()), sum(last - first for first, last in ranges[name])
        if left < LEAST_LEFT * dealt:
            raise InputError(
                f"guard bands of {guard} leave {left} of the {dealt} positions of {name}: fewer blocks, or a narrower "
                "guard band."
            )
    return ranges


def nearest_distance(one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> int:
    """Positions that lie between the nearest two ranges; 0 where they touch or meet."""
    return min(max(0, max(a, b) - min(c, d)) for a, c in one for b, d in other)


def _dealt(blocks: int, shares: list[float]) -> NDArray[np.int64]:
    """How many blocks each split gets, as a list of owners: at least one each, by largest remainders."""
    exact = np.array(shares) * (blocks - len(shares))
    counts = 1 + np.floor(exact).astype(int)
    for split in np.argsort(-(exact - np.floor(exact)), kind="stable")[: blocks - counts.sum()]:
        counts[split] += 1
    return np.repeat(np.arange(len(shares)), counts)


def _check(shares: Mapping[str, float]) -> None:
    if any(share <= 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        told = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise InputError(f"shares of splits are positive and add up to 1: {told} do not.")


def _refuse_empty(ranges: Ranges, size: int, guard: int) -> None:
    empty = [name for name, found in ranges.items() if not any(first < last for first, last in found)]
    if empty:
        raise InputError(
            f"nothing is left for {', '.join(empty)}: {size} positions do not hold {len(ranges)} splits with {guard} "
            "between them."
        )
