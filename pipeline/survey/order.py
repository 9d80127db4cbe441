"""In which order a survey's traces lie in its files: what gives each cell of the grid its trace number.

A full grid written line by line follows from a few numbers. Then no index of all traces is needed: a sparse sample of
headers proposes the order, and each header is compared with it when its samples are read.
"""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data_catalog.schema import Model
from pipeline.survey.files import Survey
from pipeline.survey.header_words import HeaderWords, WordRange

NO_TRACE = -1
SAMPLED_TRACES = 512
"""Headers looked at before an order is believed; each one is read by itself."""

RUNS, RUN_TRACES = 8, 24
"""Of neighbours, among them."""

LEAST_SAMPLED_PER_FILE = 8
_SEED = 20021


class Progression(Model):
    """Labels at equal steps, rising or falling.

    Attributes:
        first: First label.
        step: From one to the next; not 0.
        size: How many.
    """

    first: int
    step: int
    size: Annotated[int, Field(ge=1)]

    def index(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Position of each label, -1 where it is none of them."""
        position, rest = np.divmod(labels - self.first, self.step)
        return np.where((rest == 0) & (position >= 0) & (position < self.size), position, -1)

    def labels(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels at positions."""
        return self.first + self.step * positions

    @property
    def range(self) -> WordRange:
        """Its least and greatest label, and the step between them."""
        last = self.first + self.step * (self.size - 1)
        step = abs(self.step) if self.size > 1 else 0
        return WordRange(least=min(self.first, last), greatest=max(self.first, last), step=step)


class FileOrder(Model):
    """A file whose traces go through whole lines, one after another.

    Attributes:
        first_trace: Running number of its first trace.
        slow: Labels of the lines, in the order of the file.
        fast: Labels along each line.
    """

    first_trace: int
    slow: Progression
    fast: Progression


class LineByLine(Model):
    """Full lines of a grid, file after file.

    Attributes:
        slow_axis: Along which the lines follow one another.
        files: Of the survey, in order.
    """

    name: Literal["line by line"] = "line by line"
    slow_axis: Literal["inline", "crossline"]
    files: tuple[FileOrder, ...]

    def trace_numbers(self, labels: tuple[NDArray[np.int64], ...]) -> NDArray[np.int64]:
        """Running trace number of each cell.

        Args:
            labels: Inlines and crosslines of a block of the grid.

        Returns:
            int64 (inline, crossline), -1 where there is no trace.
        """
        slow, fast = labels if self.slow_axis == "inline" else labels[::-1]
        numbers = np.full((len(slow), len(fast)), NO_TRACE, np.int64)
        for file in self.files:
            along_slow, along_fast = file.slow.index(slow), file.fast.index(fast)
            found = (along_slow >= 0)[:, None] & (along_fast >= 0)
            own = file.first_trace + along_slow[:, None] * file.fast.size + along_fast
            numbers[found] = own[found]
        return numbers if self.slow_axis == "inline" else np.ascontiguousarray(numbers.T)

    def ranges(self) -> dict[str, WordRange]:
        """Labels of both axes, over all files."""
        fast_axis = "crossline" if self.slow_axis == "inline" else "inline"
        slow, fast = self.files[0].slow.range, self.files[0].fast.range
        for file in self.files[1:]:
            slow, fast = slow.merged(file.slow.range), fast.merged(file.fast.range)
        return {self.slow_axis: slow, fast_axis: fast}


class AsInFile(Model):
    """One trace axis, in the order of the files."""

    name: Literal["as in the file"] = "as in the file"

    def trace_numbers(self, labels: tuple[NDArray[np.int64], ...]) -> NDArray[np.int64]:
        """The labels are the trace numbers."""
        return labels[0]


class Indexed(Model):
    """Any order: trace numbers were found from an index of all headers, and stand in the store."""

    name: Literal["indexed"] = "indexed"


Order = Annotated[LineByLine | AsInFile | Indexed, Field(discriminator="name")]


def sampled_numbers(survey: Survey) -> NDArray[np.int64]:
    """Traces whose headers stand for all: the same ones each time, all of them where they are few.

    Returns:
        int64, ascending: the first two and the last of each file, runs of neighbours, which show what repeats and what
        a file is sorted by, and others spread at random.
    """
    if survey.trace_count <= SAMPLED_TRACES:
        return np.arange(survey.trace_count, dtype=np.int64)
    random = np.random.default_rng(_SEED)
    count = max(LEAST_SAMPLED_PER_FILE, SAMPLED_TRACES // len(survey.files))
    parts = []
    for first, file in zip(survey.first_traces, survey.files, strict=False):
        last = file.trace_count - 1
        own = [np.array([0, min(1, last), last]), random.integers(0, file.trace_count, count)]
        if len(survey.files) <= RUNS:
            begins = random.integers(0, file.trace_count, RUNS // len(survey.files))
            own += [np.arange(begin, min(begin + RUN_TRACES, file.trace_count)) for begin in (0, *begins.tolist())]
        parts.append(first + np.unique(np.concatenate(own)))
    return np.concatenate(parts).astype(np.int64)


def line_by_line(survey: Survey, numbers: NDArray[np.int64], words: HeaderWords) -> LineByLine | None:
    """The order that some traces keep to, if it is full lines one after another; None where it is none so simple.

    Args:
        survey: The files.
        numbers: int64 (trace), ascending: running numbers; the first two and the last of each file among them.
        words: Their header words.
    """
    for slow_axis, fast_axis in (("inline", "crossline"), ("crossline", "inline")):
        files = []
        for first, file in zip(survey.first_traces, survey.files, strict=False):
            own = (numbers >= first) & (numbers < first + file.trace_count)
            found = _file_order(first, file.trace_count, numbers[own], words[slow_axis][own], words[fast_axis][own])
            if found is None:
                break
            files.append(found)
        else:
            order = LineByLine.model_validate({"slow_axis": slow_axis, "files": files})
            return order if _covers_once(order) else None
    return None


def _file_order(
    first_trace: int, trace_count: int, numbers: NDArray[np.int64], slow: NDArray[np.int64], fast: NDArray[np.int64]
) -> FileOrder | None:
    """From the file's first two traces and its last one; all others have to agree."""
    if trace_count < 2 or slow[0] != slow[1] or fast[0] == fast[1]:
        return None
    fast_step = int(fast[1] - fast[0])
    fast_size, rest = divmod(int(fast[-1] - fast[0]), fast_step)
    fast_size += 1
    if rest or fast_size < 2 or trace_count % fast_size:
        return None
    slow_size = trace_count // fast_size
    slow_step, rest = divmod(int(slow[-1] - slow[0]), max(1, slow_size - 1))
    if rest or (slow_step == 0) != (slow_size == 1):
        return None
    order = FileOrder(
        first_trace=first_trace,
        slow=Progression(first=int(slow[0]), step=slow_step or 1, size=slow_size),
        fast=Progression(first=int(fast[0]), step=fast_step, size=fast_size),
    )
    along_slow, along_fast = np.divmod(numbers - first_trace, fast_size)
    agrees = (order.slow.labels(along_slow) == slow) & (order.fast.labels(along_fast) == fast)
    return order if agrees.all() else None


def _covers_once(order: LineByLine) -> bool:
    """Whether the files lie side by side: alike along one axis, and along the other with no label in two of them."""
    along_axes = ([file.slow for file in order.files], [file.fast for file in order.files])
    return any(_are_alike(along) and _are_apart(across) for along, across in (along_axes, along_axes[::-1]))


def _are_alike(progressions: list[Progression]) -> bool:
    return all(each.range == progressions[0].range for each in progressions)


def _are_apart(progressions: list[Progression]) -> bool:
    labels = np.concatenate([each.labels(np.arange(each.size)) for each in progressions])
    return len(np.unique(labels)) == len(labels)
