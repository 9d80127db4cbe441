"""A recipe for the trainer that fits a dataset: windows no larger than its splits and the guards between them.

The trainer is no part of the contract: what is known of it here is its public recipe, and a test runs it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil, prod
from typing import Any

import yaml

from data_catalog import layout
from data_catalog.schema import Box, Entry, Role, Variable

EXTENTS = (128, 64, 32, 16, 8)
"""Of windows: the largest that fits. A UNet of `LEVELS` levels takes multiples of the last one."""

LEVELS = 4
BATCH_SIZE = 16
STEPS = 500
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
GUARD_SHARE = 20
"""Of a dimension that windows are one wide along, one in so many is left between splits: neighbours are alike."""

MOST_BOXES = 400
"""Of the splits together: each of training is looked at beside each of the others. Of more there is no recipe."""

EXAMPLE = "example"
"""The dimension along which neighbours are so by chance: no guard band is needed there (SPEC.md, section 4)."""

Splits = Mapping[str, tuple[Box, ...]]
Window = dict[str, int]


@dataclass(frozen=True)
class TrainerRecipe:
    """How to train on a dataset.

    Attributes:
        text: The recipe, YAML.
        split_command: What has to be run first, where the dataset has no splits with room for a window between them.
    """

    text: str
    split_command: str | None


def trainer_recipe(entry: Entry) -> TrainerRecipe | None:
    """A small recipe: classes where there are labels of them, hidden traces where not; None where none fits."""
    main = entry.variables[entry.main_variable]
    label = _label(entry, main)
    if len(main.dims) < 2 or (label is None and main.shape[-2] < EXTENTS[-1]):
        return None
    if sum(map(len, entry.splits.values())) > MOST_BOXES:
        return None
    axes = main.dims[-2:] if label is None else _widest(main)
    if window := _window(entry, entry.splits, axes):
        return TrainerRecipe(_yaml(entry, label, window, entry.splits), None)
    return _split_first(entry, label, axes)


def _split_first(entry: Entry, label: str | None, axes: tuple[str, ...]) -> TrainerRecipe | None:
    """The recipe for splits that are to be made: across windows, where there is room for a guard band as wide as one;
    else along the slowest dimension with room for them."""
    dims = sorted(entry.variables[entry.main_variable].dims[:-1], key=lambda dim: dim not in axes)
    for by, extent in product(dims, EXTENTS):
        guard = 0 if by == EXAMPLE else extent if by in axes else max(1, entry.sizes[by] // GUARD_SHARE)
        splits = _shares(entry.sizes[by], by, guard)
        window = _window(entry, splits, axes, extents=(extent,))
        if window and window.get(by, guard) == guard:
            shares = ",".join(f"{name}={share}" for name, share in SHARES.items())
            command = f"python -m pipeline split {entry.name} --by {by} --shares {shares} --guard {guard}"
            return TrainerRecipe(_yaml(entry, label, window, splits), command)
    return None


def _label(entry: Entry, main: Variable) -> str | None:
    """The class label that is learned from, as the trainer calls it."""
    for path, variable in entry.all_variables().items():
        if variable.role is Role.CLASS_LABEL and variable.dims == main.dims:
            return path.removeprefix(f"{layout.DERIVED_GROUP}/")
    return None


def _widest(main: Variable) -> tuple[str, ...]:
    """Two dimensions that windows span: the last ones with room for one, but for the slowest where there are others."""
    sizes = dict(zip(main.dims, main.shape, strict=True))
    within = main.dims[1:] if len(main.dims) > 2 else main.dims
    ranked = sorted(within, key=lambda dim: (sizes[dim] >= EXTENTS[-1], main.dims.index(dim)))[-2:]
    return tuple(sorted(ranked, key=main.dims.index))


def _window(entry: Entry, splits: Splits, axes: tuple[str, ...], extents: tuple[int, ...] = EXTENTS) -> Window | None:
    """The largest window that fits the splits, and the guards between them; None where none does."""
    boxes = [box for name in SHARES for box in splits.get(name, ())]
    if not splits.get("train"):
        return None
    for extent in extents:
        window = {dim: min(extent, _rounded(min(_length(box, dim, entry) for box in boxes))) for dim in axes}
        if all(_are_apart(one, other, window, entry) for one, other in _neighbours(splits)):
            return window
    return None


def _rounded(length: int) -> int:
    """A multiple of what windows are multiples of; more than a box that is less: it is padded then."""
    return max(EXTENTS[-1], length // EXTENTS[-1] * EXTENTS[-1])


def _length(box: Box, dim: str, entry: Entry) -> int:
    start, stop = box.get(dim, (0, entry.sizes[dim]))
    return stop - start


def _neighbours(splits: Splits) -> Iterator[tuple[Box, Box]]:
    for name in SHARES.keys() - {"train"}:
        yield from product(splits["train"], splits.get(name, ()))


def _are_apart(one: Box, other: Box, window: Window, entry: Entry) -> bool:
    """Whether there is a guard band at least a window wide along some dimension (SPEC.md, section 4)."""
    for dim, size in entry.sizes.items():
        (a, b), (c, d) = one.get(dim, (0, size)), other.get(dim, (0, size))
        if max(a, c) - min(b, d) >= (0 if dim == EXAMPLE else window.get(dim, 1)):
            return True
    return False


def _shares(size: int, by: str, guard: int) -> Splits:
    """About what a split by shares will be: a sample less, since it may round otherwise; none without room."""
    lengths = [int(share * (size - guard * (len(SHARES) - 1))) - 1 for share in SHARES.values()]
    if min(lengths) < 1:
        return {}
    splits: dict[str, tuple[Box, ...]] = {}
    start = 0
    for name, length in zip(SHARES, lengths, strict=True):
        splits[name] = ({by: (start, start + length)},)
        start += length + guard
    return splits


def _yaml(entry: Entry, label: str | None, window: Window, splits: Splits) -> str:
    recipe: dict[str, Any] = {"dataset": {"name": entry.name, "variable": entry.main_variable}, "window": window}
    if label is not None:
        recipe["dataset"]["label"] = label
    boxes = [box for name in SHARES for box in splits.get(name, ())]
    if any(_length(box, dim, entry) < extent for box in boxes for dim, extent in window.items()):
        recipe["edges"] = "pad"
    if missing := [name for name in SHARES if name not in splits]:
        recipe["splits"] = dict.fromkeys(missing)
    recipe["model"] = {"name": "unet", "levels": LEVELS, "start_filters": 8}
    recipe["task"] = {"name": "reconstruction"} if label is None else {"name": "segmentation", "dice_weight": 1.0}
    windows = sum(_window_count(entry, box, window) for box in splits["train"])
    recipe |= {"batch_size": min(BATCH_SIZE, windows), "steps": STEPS, "out": f"runs/{entry.name}"}
    return yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None, width=110)


def _window_count(entry: Entry, box: Box, window: Window) -> int:
    """Training windows of a box, half a window apart."""
    dims = entry.variables[entry.main_variable].dims
    rooms = [(_length(box, dim, entry) - window.get(dim, 1), max(1, window.get(dim, 1) // 2)) for dim in dims]
    return prod(1 + max(0, ceil(room / step)) for room, step in rooms)
