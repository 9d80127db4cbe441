"""Splits of a published dataset: made, judged for leaks, and published with its next revision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import prod
from typing import Annotated, Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from data_catalog import Box, Catalog, Entry, InputError
from data_catalog.conformance import check_splits
from data_catalog.model_file import by_options
from data_catalog.schema import Model, Name
from pipeline.plan.split_plan import (
    Ranges,
    cut_by_groups,
    cut_in_blocks,
    cut_in_order,
    deal_whole,
    nearest_distance,
)

SURVEY = "survey"
"""What is cut where whole datasets are dealt to splits."""

MOST_RANGES = 10_000
"""Of all splits together: the entry lists them."""

MOST_COMPARED_NBYTES = 256 * 2**20
"""Of a section on either side of a border: of a larger one the middle is taken."""

MOST_ALIKE = 0.5
"""Correlation across a border from which on one side tells much of the other."""

Share = Annotated[float, Field(gt=0, lt=1)]


class SplitRecipe(Model):
    """How a dataset is split.

    Attributes:
        by: The dimension that is cut, or `SURVEY`.
        shares: Of it, by split, in order.
        guard: Positions between splits that belong to none: at least a training window.
        blocks: Into how many blocks it is cut, which are dealt at random; None makes one range for each split.
        group: A coordinate along ``by``: positions with the same value stay together.
        seed: Of what is dealt at random.
    """

    by: Name
    shares: Annotated[dict[Name, Share], Field(min_length=2)]
    guard: Annotated[int, Field(ge=0)] = 0
    blocks: Annotated[int, Field(ge=2)] | None = None
    group: Name | None = None
    seed: int = 0


def load_split_recipe(**values: Any) -> SplitRecipe:
    """A checked recipe; values of None are left to it.

    Raises:
        InputError: If the values make none.
    """
    given = {name: value for name, value in values.items() if value is not None}
    return by_options(SplitRecipe, given, {"shares": "--shares"})


@dataclass(frozen=True, slots=True)
class Border:
    """What lies between two splits.

    Attributes:
        splits: Their names.
        distance: Positions between the nearest two ranges of them.
        correlation: Of the samples on either side of that border, as recorded; NaN where there is none to compare.
        neighbouring: Of samples side by side within the first split: how alike neighbours are anyway.
    """

    splits: tuple[str, str]
    distance: int
    correlation: float
    neighbouring: float

    @property
    def is_alike(self) -> bool:
        """Whether samples on one side tell much of those on the other."""
        return self.correlation > MOST_ALIKE


def split(recipe: SplitRecipe, *, name: str, catalog: Catalog) -> tuple[Entry, tuple[Border, ...]]:
    """Splits a dataset and publishes its next revision.

    Args:
        recipe: How.
        name: The dataset.
        catalog: Where it is.

    Returns:
        The new entry, and what lies between its splits.

    Raises:
        InputError: If the dataset has no such dimension or coordinate, or cannot be split so.
    """
    entry = catalog.open(name)
    if recipe.group is not None and recipe.guard:
        raise InputError("groups are dealt as they lie: --guard has no meaning with --group.")
    ranges = _ranges(recipe, entry)
    if sum(map(len, ranges.values())) > MOST_RANGES:
        raise InputError(
            f"these splits are more than {MOST_RANGES} ranges along {recipe.by}: sort the dataset by its groups, or "
            "cut it into fewer blocks."
        )
    boxes: dict[str, tuple[Box, ...]] = {
        split_name: tuple({recipe.by: bounds} for bounds in parts) for split_name, parts in ranges.items()
    }
    if problems := check_splits(boxes, entry.sizes):
        raise InputError(f"{problems[0].message}.")
    how: dict[str, JsonValue] = recipe.model_dump(mode="json", exclude_none=True)

    def with_splits(found: Entry) -> Entry:
        return found.model_copy(update={"splits": boxes, "split_by": how})

    published = catalog.revise(name, with_splits, what="the splits")
    return published, borders(published, recipe.by, ranges)


def split_surveys(recipe: SplitRecipe, *, names: Sequence[str], catalog: Catalog) -> dict[str, str]:
    """Puts whole datasets into splits, dealt at random by the samples of their main variables; publishes all of them.

    Args:
        recipe: How; ``by`` is `SURVEY`.
        names: The datasets.
        catalog: Where they are.

    Returns:
        The split of each dataset.

    Raises:
        InputError: If a dataset cannot be opened or is named twice, there are fewer than splits, or the recipe says
            what is of one dataset's dimensions.
    """
    if recipe.guard or recipe.blocks or recipe.group:
        raise InputError("surveys are split as wholes: --guard, --blocks and --group have no meaning with --by survey.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{', '.join(twice)} is named twice.")
    entries = [catalog.open(name) for name in names]
    sizes = [prod(entry.variables[entry.main_variable].shape) for entry in entries]
    dealt = dict(zip(names, deal_whole(sizes, recipe.shares, seed=recipe.seed, what="surveys"), strict=True))
    how: dict[str, JsonValue] = recipe.model_dump(mode="json", exclude_none=True) | {"surveys": list(names)}
    for name, split_name in dealt.items():
        whole = {"splits": {split_name: ({},)}, "split_by": how}
        catalog.revise(name, partial(Entry.model_copy, update=whole), what="its split")
    return dealt


def borders(entry: Entry, dim: str, ranges: Mapping[str, tuple[tuple[int, int], ...]]) -> tuple[Border, ...]:
    """What lies between each two splits along a dimension.

    Args:
        entry: The dataset.
        dim: The dimension.
        ranges: Half-open, of each split.
    """
    array = zarr.open_array(f"{entry.url}/{entry.main_variable}", mode="r")
    axis = entry.variables[entry.main_variable].dims.index(dim)
    found = []
    for one, other in combinations(ranges, 2):
        near = min(
            ((max(a, b) - min(c, d), (a, c), (b, d)) for a, c in ranges[one] for b, d in ranges[other]),
            key=lambda pair: pair[0],
        )
        _, first, second = near
        at, beyond = (first[1] - 1, second[0]) if first[0] < second[0] else (first[0], second[1] - 1)
        inside = at - 1 if first[0] <= at - 1 < first[1] else at + 1
        sections = {position: _section(array, axis, position) for position in {at, beyond, inside} if position >= 0}
        found.append(
            Border(
                (one, other),
                nearest_distance(ranges[one], ranges[other]),
                correlation(sections[at], sections[beyond]),
                correlation(sections[at], sections[inside]) if first[0] <= inside < first[1] else float("nan"),
            )
        )
    return tuple(found)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's coefficient of samples that are finite in both; NaN where there are none, or all are the same."""
    is_there = np.isfinite(one) & np.isfinite(other)
    a, b = one[is_there].astype(np.float64), other[is_there].astype(np.float64)
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _section(array: zarr.Array[Any], axis: int, position: int) -> NDArray[Any]:
    """All samples at one position along a dimension, or the middle of them where they are many."""
    rest = array.shape[:axis] + array.shape[axis + 1 :]
    share = min(
        1.0, (MOST_COMPARED_NBYTES / max(1, int(np.prod(rest)) * array.dtype.itemsize)) ** (1 / max(1, len(rest)))
    )
    where = [slice(int(size * (1 - share) / 2), int(np.ceil(size * (1 + share) / 2))) for size in array.shape]
    where[axis] = slice(position, position + 1)
    return np.asarray(array[tuple(where)])


def _ranges(recipe: SplitRecipe, entry: Entry) -> Ranges:
    main = entry.variables[entry.main_variable]
    if recipe.by not in main.dims:
        raise InputError(f"{entry.name!r} has no dimension {recipe.by}: there are {', '.join(main.dims)}.")
    size = entry.sizes[recipe.by]
    if recipe.group is not None:
        variable = entry.variables.get(recipe.group)
        if variable is None or variable.dims != (recipe.by,):
            raise InputError(f"{entry.name!r} has no coordinate {recipe.group} along {recipe.by}.")
        groups = np.asarray(zarr.open_array(f"{entry.url}/{recipe.group}", mode="r")[:])
        return cut_by_groups(groups, recipe.shares, seed=recipe.seed)
    if recipe.blocks is not None:
        return cut_in_blocks(size, recipe.shares, guard=recipe.guard, blocks=recipe.blocks, seed=recipe.seed)
    return cut_in_order(size, recipe.shares, guard=recipe.guard)
