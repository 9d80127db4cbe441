"""Which sections of a dataset are drawn, and how much of each: integers in, a plan out.

A section spans two dimensions of the main variable, at one index along all others. One of a large survey is cut out of
the middle, whole chunks of it, so that a bounded number of them is read; what is more than a picture can show is left
out sample by sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

from data_catalog.schema import Kind, Variable

MOST_SECTIONS = 3
MOST_EXAMPLES = 4
MOST_TRACES = 8
"""Up to so many traces side by side are drawn as curves, more of them as an image."""

MOST_DRAWN = 2048
"""Samples of an image along either axis."""

MOST_OF_CURVE = 16384
"""Samples of a curve."""

SAMPLE_DIMS = ("time", "depth")


@dataclass(frozen=True, slots=True)
class Span:
    """A range of indices along one dimension.

    Attributes:
        dim: The dimension.
        start: First index.
        stop: End, exclusive.
        step: Every how many-th is drawn.
        size: Of the dimension.
    """

    dim: str
    start: int
    stop: int
    step: int
    size: int

    @property
    def part(self) -> slice:
        """For an array's axis."""
        return slice(self.start, self.stop, self.step)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return (self.stop - self.start, self.step) == (self.size, 1)


@dataclass(frozen=True, slots=True)
class Section:
    """What one picture shows.

    Attributes:
        rows: Downwards; None where there is a single trace.
        columns: To the right.
        fixed: Index along each other dimension.
        are_traces: Whether each row is a curve.
    """

    rows: Span | None
    columns: Span
    fixed: Mapping[str, int]
    are_traces: bool

    @property
    def spans(self) -> tuple[Span, ...]:
        """Rows, where there are any, and columns."""
        return (self.columns,) if self.rows is None else (self.rows, self.columns)


def plan_sections(kind: Kind, variable: Variable, *, budget: int) -> tuple[Section, ...]:
    """The sections of a dataset.

    Args:
        kind: Of the dataset.
        variable: The main one.
        budget: Chunks that a section may read, at least 1.
    """
    sizes = dict(zip(variable.dims, variable.shape, strict=True))
    chunks = dict(zip(variable.dims, variable.chunk_shape, strict=True))
    planned = _of_examples(sizes) if kind is Kind.EXAMPLES else _through_the_middle(kind, sizes)
    return tuple(_section(pair, fixed, sizes, chunks, budget) for pair, fixed in planned)


Pair = tuple[str | None, str]
Planned = tuple[Pair, dict[str, int]]


def _through_the_middle(kind: Kind, sizes: dict[str, int]) -> list[Planned]:
    *leading, last = sizes
    middle = {dim: size // 2 for dim, size in sizes.items()}
    across = [dim for dim in reversed(leading) if sizes[dim] > 1] or leading[-1:]
    pairs: list[Pair] = [(dim, last) for dim in across] or [(None, last)]
    if kind is Kind.STACK3D and len(leading) == 2:
        pairs.append((leading[0], leading[1]))
    return [(pair, middle) for pair in pairs[:MOST_SECTIONS]]


def _of_examples(sizes: dict[str, int]) -> list[Planned]:
    example, *rest = sizes
    if not rest:
        return [((None, example), {})]
    middle = {dim: size // 2 for dim, size in sizes.items()}
    count = min(MOST_EXAMPLES, sizes[example])
    chosen = sorted({round(at * (sizes[example] - 1) / max(1, count - 1)) for at in range(count)})
    return [(_pair(rest, sizes), middle | {example: at}) for at in chosen]


def _pair(dims: Sequence[str], sizes: dict[str, int]) -> Pair:
    """Which dimensions of an example make a picture: traces and their samples, or the last two."""
    last = next((dim for dim in SAMPLE_DIMS if dim in dims), dims[-1])
    others = [dim for dim in dims if dim != last]
    wide = [dim for dim in others if sizes[dim] > 1] or others
    if not wide:
        return None, last
    return wide[-1], last


def _section(
    pair: Pair, fixed: Mapping[str, int], sizes: Mapping[str, int], chunks: Mapping[str, int], budget: int
) -> Section:
    """A pair of dimensions as a picture: samples of many traces downwards, those of few, as curves, to the right."""
    across, last = pair
    left = {dim: at for dim, at in fixed.items() if dim not in pair}
    if across is None:
        (columns,) = _spans((last,), sizes, chunks, budget, most=MOST_OF_CURVE)
        return Section(None, columns, left, are_traces=True)
    are_traces = sizes[across] <= MOST_TRACES
    most = MOST_OF_CURVE if are_traces else MOST_DRAWN
    of_traces, of_samples = _spans((across, last), sizes, chunks, budget, most=most)
    if are_traces:
        return Section(of_traces, of_samples, left, are_traces=True)
    if last in SAMPLE_DIMS:
        return Section(of_samples, of_traces, left, are_traces=False)
    return Section(of_traces, of_samples, left, are_traces=False)


def _spans(
    dims: Sequence[str], sizes: Mapping[str, int], chunks: Mapping[str, int], budget: int, *, most: int
) -> tuple[Span, ...]:
    grid = [-(-sizes[dim] // chunks[dim]) for dim in dims]
    return tuple(
        _span(dim, (count - taken) // 2 * chunks[dim], taken * chunks[dim], sizes[dim], most)
        for dim, taken, count in zip(dims, _shared(grid, budget), grid, strict=True)
    )


def _shared(grid: Sequence[int], budget: int) -> list[int]:
    """Chunks that are taken along each axis of a grid: all, or about as many along one as along the other."""
    if len(grid) == 1:
        return [min(grid[0], budget)]
    first, second = grid
    if first * second <= budget:
        return [first, second]
    taken = min(second, max(isqrt(budget), budget // first))
    return [min(first, budget // taken), taken]


def _span(dim: str, start: int, length: int, size: int, most: int) -> Span:
    stop = min(size, start + length)
    return Span(dim, start, stop, -(-(stop - start) // most), size)
