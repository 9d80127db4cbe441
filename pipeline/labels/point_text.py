"""Horizons and fault sticks as text: points, and what their columns are, whoever wrote them.

A line is a point; words between the numbers are passed over (``INLINE :  1001 XLINE :  2001 ...`` is Charisma's), and
so are lines of less than three numbers, which part sticks from each other where no column does. Which column is what,
the recipe says, or a line of names, or the dataset: inline and crossline numbers and map positions lie on it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain, islice, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError
from data_catalog.storage import open_storage
from pipeline.labels.grid import DatasetGrid

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?(?![\w.])")

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")

_NAMES = {
    "inline": {"inline", "iline", "il", "line", "in-line"},
    "crossline": {"crossline", "xline", "xl", "cdp", "trace", "cross-line", "crl"},
    "x": {"x", "x-coord", "xcoord", "easting", "east", "utm-x", "x-coordinate", "cdp_x"},
    "y": {"y", "y-coord", "ycoord", "northing", "north", "utm-y", "y-coordinate", "cdp_y"},
    "z": {"z", "time", "twt", "depth", "value", "tvd", "z(ms)", "z(s)", "z(m)"},
    "stick": {"stick", "sticknr", "stick_number", "segment"},
}
"""What lines of names call columns."""

_EARTH_VISION = re.compile(r"#\s*Field:\s*(\d+)\s+([\w-]+)", re.IGNORECASE)
_NO_VALUE = (1e30, 9999999.0, -9999.0, -999.25, 99999.0)
"""What software writes where a surface has no value."""

HEAD_LINES = 100
"""In which columns may be named."""

POINTS_AT_ONCE = 20_000
"""Read as text before they become numbers."""

LEAST_COLUMNS = 3
LEAST_ALIKE = 0.9
"""Share of the points that have to have one number of columns."""

MOST_COLUMNS = 6
"""Of which positions may be; others lie behind."""

LEAST_INSIDE = 0.5
"""Share of the points that have to lie on the dataset before their columns are believed."""

_PROBED = 20_000
"""Points that tell which column is what."""


@dataclass(frozen=True)
class Points:
    """Points on a dataset's grid.

    Attributes:
        lines: float64 (point, 2): inline and crossline numbers, with fractions.
        z: float64 (point): as written.
        sticks: int64 (point): which polyline each is part of; 0 for all where nothing tells.
        columns: What the columns were taken for.
        left_out: Lines of numbers that hold no value, or another count of columns.
    """

    lines: NDArray[np.float64]
    z: NDArray[np.float64]
    sticks: NDArray[np.int64]
    columns: tuple[str, ...]
    left_out: int


def read_points(path: str, grid: DatasetGrid, columns: Sequence[str] | None = None) -> Points:
    """The points of a horizon or of a fault.

    Args:
        path: The file, a path or an fsspec URL.
        grid: The dataset that it belongs to.
        columns: What its columns are; None finds out.

    Raises:
        InputError: If it cannot be read, holds no points, or its columns cannot be told.
    """
    head, counts, parts = _read(path)
    table, blocks, skipped = _table(counts, parts, path)
    names = tuple(columns) if columns is not None else _stated_columns(head, table.shape[1])
    if names is not None and len(names) != table.shape[1]:
        raise InputError(f"{path} has {table.shape[1]} columns of numbers, and {len(names)} are named.")
    names = names or _found_columns(table, grid, path)
    by_name = {name: table[:, index] for index, name in enumerate(names) if name != "-"}
    if "z" not in by_name:
        raise InputError(f"{path}: columns are {', '.join(by_name)}; z is needed.")
    lines = _on_lines(by_name, grid, path)
    if not is_inside(lines, grid).any():
        raise InputError(f"{path}: no point lies on {grid.entry.name!r}, with columns {', '.join(names)}.")
    z = by_name["z"]
    is_value = np.isfinite(z) & ~np.isin(z, _NO_VALUE) & (np.abs(z) < 1e29)
    if not is_value.any():
        raise InputError(f"{path} holds no values, only what stands for none.")
    sticks = by_name["stick"].astype(np.int64) if "stick" in by_name else blocks
    return Points(lines[is_value], z[is_value], sticks[is_value], names, skipped + int((~is_value).sum()))


def _read(path: str) -> tuple[list[str], Counter[int], dict[int, list[NDArray[np.float64]]]]:
    """The first lines of a file; how many of its points have how many columns; and these points.

    Points are taken from the text some at a time: words take many times the memory of the numbers that they are.
    """
    filesystem, place = open_storage(path)
    head: list[str] = []
    counts: Counter[int] = Counter()
    parts: dict[int, list[NDArray[np.float64]]] = {}
    try:
        with filesystem.open(place, "rb") as file, TextIOWrapper(file, "utf-8", errors="replace") as text:
            head = [line.rstrip("\n") for line in islice(text, HEAD_LINES)]
            points = _points_of(chain(head, text))
            while some := list(islice(points, POINTS_AT_ONCE)):
                for width in {len(numbers) for numbers, _ in some}:
                    rows = [[*map(_number, numbers), block] for numbers, block in some if len(numbers) == width]
                    parts.setdefault(width, []).append(np.array(rows, np.float64))
                    counts[width] += len(rows)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from None
    return head, counts, parts


def _points_of(lines: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """The numbers of each line that is a point, and in which block of lines it is."""
    block, is_within = 0, False
    for line in lines:
        numbers = [] if line.lstrip().startswith(("#", "!", "@", ">")) else _numbers(line)
        if len(numbers) < LEAST_COLUMNS:
            block, is_within = block + is_within, False
            continue
        yield numbers, block
        is_within = True


def _number(text: str) -> float:
    return float(text.replace("d", "e").replace("D", "e"))


def _table(
    counts: Counter[int], parts: dict[int, list[NDArray[np.float64]]], path: str
) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Numbers of all lines that have as many as most have, float64 (point, column), in which block each is, and how
    many lines of numbers were left out."""
    if not counts:
        raise InputError(f"{path} holds no points: lines of three or more numbers.")
    width = max(sorted(counts), key=counts.__getitem__)
    if counts[width] < LEAST_ALIKE * counts.total():
        raise InputError(f"{path} has lines of {sorted(counts)} numbers: one layout is expected.")
    found = np.concatenate(parts[width])
    return found[:, :-1], found[:, -1].astype(np.int64), counts.total() - counts[width]


def _numbers(line: str) -> list[str]:
    """The numbers of a line; a comma within a word that is parted from others by blanks is a decimal one."""
    words = line.split()
    if len(words) >= LEAST_COLUMNS and any(_DECIMAL_COMMA.fullmatch(word) for word in words):
        line = " ".join(word.replace(",", ".") if _DECIMAL_COMMA.fullmatch(word) else word for word in words)
    return _NUMBER.findall(line)


def _stated_columns(lines: list[str], width: int) -> tuple[str, ...] | None:
    """What a line of names, or EarthVision's fields, say of the columns; None where nothing does."""
    fields = {int(match[1]): match[2] for line in lines if (match := _EARTH_VISION.search(line))}
    candidates = [[fields.get(index + 1, "-") for index in range(width)]] if fields else []
    candidates += [re.split(r"[\s,;\"|]+", line.strip(' #!@"\t')) for line in lines[:20] if not _is_point(line)]
    for words in candidates:
        names = tuple(_named(word) for word in words if word)
        known = [name for name in names if name != "-"]
        pairs = {"inline", "crossline"} <= set(known) or {"x", "y"} <= set(known)
        if len(names) == width and len(known) == len(set(known)) and pairs and "z" in known:
            return names
    return None


def _is_point(line: str) -> bool:
    return len(_NUMBER.findall(line)) >= LEAST_COLUMNS


def _named(word: str) -> str:
    return next((name for name, words in _NAMES.items() if word.lower().strip(":") in words), "-")


def _found_columns(table: NDArray[np.float64], grid: DatasetGrid, path: str) -> tuple[str, ...]:
    """What the columns are: those that lie on the dataset, behind them z, and perhaps a number of sticks."""
    probe = table[np.unique(np.linspace(0, len(table) - 1, _PROBED).astype(int))]
    by_lines = _best_pair(probe, ("inline", "crossline"), grid, path)
    by_map = None if grid.map is None else _best_pair(probe, ("x", "y"), grid, path)
    best = max((pair for pair in (by_lines, by_map) if pair), key=lambda pair: pair.share, default=None)
    if best is None:
        raise InputError(
            f"{path}: no columns lie on {grid.entry.name!r} as inline and crossline numbers"
            f"{' or as map positions' if grid.map else ''}; say in a recipe what they are, e.g. "
            "columns: [inline, crossline, z] (docs/labels.md): points beside the dataset are then left out."
        )
    taken = set(best.columns)
    if by_lines and by_map and not set(by_lines.columns) & set(by_map.columns):
        far = np.abs(by_lines.lines - by_map.lines) > [axis.step for axis in grid.axes]
        if far.any(axis=1).mean() <= LEAST_INSIDE:  # both say the same
            taken |= {*by_lines.columns, *by_map.columns}
    roles = dict(zip(best.columns, best.names, strict=True))
    z = _column_of_z(probe, taken, grid)
    roles[z] = "z"
    if (stick := _column_of_sticks(table, {*taken, z})) is not None:
        roles[stick] = "stick"
    return tuple(roles.get(index, "-") for index in range(table.shape[1]))


@dataclass(frozen=True)
class _Pair:
    """Two columns that lie on the dataset: at which share of the points, and where."""

    columns: tuple[int, ...]
    names: tuple[str, str]
    share: float
    lines: NDArray[np.float64]


def _best_pair(probe: NDArray[np.float64], names: tuple[str, str], grid: DatasetGrid, path: str) -> _Pair | None:
    """The two columns of which most points lie on the dataset; of equal ones the first; None where half do not."""
    best = None
    varies = [index for index in range(min(MOST_COLUMNS, probe.shape[1])) if np.ptp(probe[:, index]) > 0]
    # Points may all lie on one line, but not at one easting: a column of zeros is none.
    for columns in permutations(varies if names == ("x", "y") else range(min(MOST_COLUMNS, probe.shape[1])), 2):
        lines = _on_lines({name: probe[:, index] for name, index in zip(names, columns, strict=True)}, grid, path)
        share = float(is_inside(lines, grid).mean())
        if share >= LEAST_INSIDE and (best is None or share > best.share):
            best = _Pair(columns, names, share, lines)
    return best


def _column_of_z(probe: NDArray[np.float64], others: set[int], grid: DatasetGrid) -> int:
    """The first column behind positions that may hold times or depths; else the first one that is left."""
    last = max(abs(grid.sample_labels[0]), abs(grid.sample_labels[-1])) + grid.interval
    left = [index for index in range(probe.shape[1]) if index not in others]
    behind = [index for index in left if index > max(others)]
    for index in behind:
        if (np.abs(probe[:, index]) <= last).mean() >= LEAST_INSIDE:
            return index
    return (behind or left)[0]


def _column_of_sticks(table: NDArray[np.float64], others: set[int]) -> int | None:
    """The last column that numbers runs of points, each with a number of its own."""
    for index in reversed(range(table.shape[1])):
        values = table[:, index]
        if index in others or (values != np.rint(values)).any() or values.min() < 0:
            continue
        runs, numbers = 1 + int((np.diff(values) != 0).sum()), np.unique(values).size
        if 1 < runs == numbers <= len(values) / 2:
            return index
    return None


def _on_lines(by_name: dict[str, NDArray[np.float64]], grid: DatasetGrid, path: str) -> NDArray[np.float64]:
    """float64 (point, 2): inline and crossline numbers of points that are told by them or by positions."""
    if {"inline", "crossline"} <= by_name.keys():
        return np.stack([by_name["inline"], by_name["crossline"]], axis=-1)
    if not {"x", "y"} <= by_name.keys():
        raise InputError(f"{path}: columns are {', '.join(by_name)}; inline and crossline, or x and y, are needed.")
    if grid.map is None:
        raise InputError(
            f"{path} tells points by map positions, and {grid.entry.name!r} has no straight grid of them: use inline "
            "and crossline numbers."
        )
    return grid.map.lines(np.stack([by_name["x"], by_name["y"]], axis=-1))


def is_inside(lines: NDArray[np.float64], grid: DatasetGrid) -> NDArray[Any]:
    """Which points lie on the dataset, or within half a bin of its edge."""
    inside = np.ones(len(lines), np.bool_)
    for column, axis in enumerate(grid.axes):
        half = 0.5 * axis.step
        inside &= (lines[:, column] >= axis.first - half) & (lines[:, column] <= axis.last + half)
    return inside
