"""One survey in one or several SEG-Y files: running trace numbers over all of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError
from pipeline.recipe import HeaderBytes, SourceFile
from pipeline.segy.byte_order import swap_pairs
from pipeline.segy.file import SegyFile, open_segy
from pipeline.segy.opening import Reading
from pipeline.segy.read import REQUESTS_AT_ONCE, FileState, file_state, read_into
from pipeline.storage.many_files import pattern_matches
from pipeline.survey.header_words import OF_SEISMIC_UNIX, STACKED, STANDARD, Fields, HeaderWords, read_header_words
from pipeline.work.failure import SourceError

WHOLE_NBYTES = 2**20
"""Traces that follow one another and take no more are read with their samples, by one request."""

ATTEMPTS = 3
"""At a header that is read by itself: of hundreds of requests, one may fail now and then."""


@dataclass(frozen=True)
class Survey:
    """Files that follow one another, alike in samples, interval and format.

    Attributes:
        files: In order; the running trace number goes through them.
        states: What each file was when it was opened.
        fields: Where each file's trace headers hold the words of the geometry.
        pinned: Names of words whose place a recipe or a file states: inference leaves them there.
        names: The words that are read.
    """

    files: tuple[SegyFile, ...]
    states: tuple[FileState, ...]
    fields: tuple[Fields, ...]
    pinned: frozenset[str] = frozenset()
    names: tuple[str, ...] = STACKED

    @cached_property
    def first_traces(self) -> tuple[int, ...]:
        """Running number of each file's first trace, and, last, the number of all traces."""
        return tuple(accumulate((file.trace_count for file in self.files), initial=0))

    @cached_property
    def truncated_traces(self) -> NDArray[np.int64]:
        """int64: running numbers of traces that the end of their file cuts off."""
        ends = zip(self.first_traces[1:], self.files, strict=True)
        return np.array([end - 1 for end, file in ends if file.missing_nbytes], np.int64)

    @property
    def trace_count(self) -> int:
        """Traces in all files."""
        return self.first_traces[-1]

    @property
    def trace_nbytes(self) -> int:
        """Bytes from one trace to the next, the same in all files."""
        return self.files[0].trace_nbytes

    @property
    def traces_nbytes(self) -> int:
        """Size of all traces, headers and samples."""
        return self.trace_count * self.trace_nbytes

    def with_words(self, names: tuple[str, ...], moved: Fields) -> "Survey":
        """The same files, of which other words are read, some of them elsewhere than was known."""
        return replace(self, names=names, fields=tuple(fields | moved for fields in self.fields))

    def read_words(self, headers: NDArray[np.uint8], file_index: int) -> HeaderWords:
        """The words of the geometry in trace headers of one file."""
        word_order = self.files[file_index].word_order
        return read_header_words(headers, self.fields[file_index], self.names, byte_order=word_order)

    def read(self, trace_numbers: NDArray[np.int64], out: NDArray[np.uint8], *, gap_nbytes: int = 0) -> int:
        """Reads traces as they are stored.

        Args:
            trace_numbers: int64, ascending running numbers.
            out: uint8 (trace, byte), contiguous; filled with headers and samples as they are stored.
            gap_nbytes: Traces that lie no farther apart than this are read in one request, and what is between them
                is thrown away.

        Returns:
            Bytes that were asked for, what was thrown away included.

        Raises:
            InputError: If a file became shorter, or is another one than was opened.
            SourceError: If a file cannot be read.
        """
        content = out.reshape(-1).data
        nbytes = 0
        for file_index, begin, end in self._by_file(trace_numbers):
            file = self.files[file_index]
            own = trace_numbers[begin:end] - self.first_traces[file_index]
            if file.missing_nbytes and own[-1] == file.trace_count - 1:
                out[end - 1] = 0  # of which the file has only a part
            for first, pieces in _requests(own, content, begin, file, gap_nbytes):
                read_into(file.url, first, _up_to(file.nbytes - first, pieces))
                nbytes += sum(piece.nbytes for piece in pieces)
            if file.is_pair_swapped:
                swap_pairs(out[begin:end], header_nbytes=file.trace_header_nbytes)
            self.check_unchanged(file_index)
        return nbytes

    def header_words(self, trace_numbers: NDArray[np.int64], headers: NDArray[np.uint8]) -> HeaderWords:
        """The words of the geometry in trace headers that were read.

        Args:
            trace_numbers: int64, ascending running numbers: tell which file's positions hold.
            headers: uint8 (trace, header byte).
        """
        parts = [self.read_words(headers[begin:end], index) for index, begin, end in self._by_file(trace_numbers)]
        if not parts:
            return {name: np.empty(0, np.int64) for name in self.names}
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def read_headers(self, trace_numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Reads single headers, trace by trace and side by side: for a sparse sample. Few neighbours are read whole.

        Args:
            trace_numbers: int64, ascending running numbers.

        Returns:
            uint8 (trace, header byte).
        """
        header_nbytes = self.files[0].trace_header_nbytes
        if trace_numbers.size * self.trace_nbytes <= WHOLE_NBYTES and (np.diff(trace_numbers) == 1).all():
            traces = np.empty((trace_numbers.size, self.trace_nbytes), np.uint8)
            self.read(trace_numbers, traces)
            return traces[:, :header_nbytes].copy()
        headers = np.empty((trace_numbers.size, header_nbytes), np.uint8)

        def read_header(row: int, file: SegyFile, number: int) -> None:
            start = file.header_nbytes + number * file.trace_nbytes
            for attempt in range(ATTEMPTS):
                with suppress(SourceError) if attempt + 1 < ATTEMPTS else nullcontext():
                    read_into(file.url, start, [headers[row].data])
                    return

        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            requests = [
                pool.submit(read_header, row, self.files[file_index], number)
                for file_index, begin, end in self._by_file(trace_numbers)
                for row, number in enumerate((trace_numbers[begin:end] - self.first_traces[file_index]).tolist(), begin)
            ]
            for request in requests:
                request.result()
        for file_index, begin, end in self._by_file(trace_numbers):
            if self.files[file_index].is_pair_swapped:
                swap_pairs(headers[begin:end], header_nbytes=headers.shape[1])
        return headers

    def read_header_words(self, trace_numbers: NDArray[np.int64]) -> HeaderWords:
        """The words of the geometry of some traces, whose headers are read one by one."""
        return self.header_words(trace_numbers, self.read_headers(trace_numbers))

    def check_unchanged(self, file_index: int) -> None:
        """Sees that a file is still the one that was opened.

        Raises:
            InputError: If its size or its version differs.
        """
        file, expected = self.files[file_index], self.states[file_index]
        if (found := file_state(file.url)) != expected:
            raise InputError(
                f"{file.url} changed since it was opened: it had {expected.nbytes} bytes (version {expected.version}) "
                f"and has {found.nbytes} (version {found.version}). Convert the file as it is now under another name."
            )

    def _by_file(self, trace_numbers: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """File index and half-open range of positions for each file that holds some of the traces."""
        edges = np.searchsorted(trace_numbers, self.first_traces).tolist()
        for file_index, (begin, end) in enumerate(pairwise(edges)):
            if begin < end:
                yield file_index, begin, end


def _requests(
    numbers: NDArray[np.int64], content: memoryview, begin: int, file: SegyFile, gap_nbytes: int
) -> Iterator[tuple[int, list[memoryview]]]:
    """First byte, and buffers in file order, of each range to read; gaps go into a buffer of their own."""
    stride = file.trace_nbytes
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    run_edges = [0, *breaks.tolist(), numbers.size]
    gaps = (np.diff(numbers) - 1) * stride
    thrown_away = memoryview(bytearray(int(gaps[gaps <= gap_nbytes].max(initial=0))))
    first_byte, pieces, last = 0, list[memoryview](), 0
    for start, stop in pairwise(run_edges):
        piece = content[(begin + start) * stride : (begin + stop) * stride]
        gap = (int(numbers[start]) - last - 1) * stride
        if pieces and gap <= gap_nbytes:
            pieces += [thrown_away[:gap], piece]
        else:
            if pieces:
                yield first_byte, pieces
            first_byte, pieces = file.header_nbytes + int(numbers[start]) * stride, [piece]
        last = int(numbers[stop - 1])
    if pieces:
        yield first_byte, pieces


def _with_one_format(files: tuple[SegyFile, ...], readings: list[Reading]) -> tuple[SegyFile, ...]:
    """Files whose samples do not tell their format take that of those whose samples do, if all state the same one."""
    told = {file.format_code for file in files if file.is_told_by_samples}
    if (
        len({file.format_code for file in files}) == 1
        or len({file.stated_code for file in files}) > 1
        or len(told) != 1
    ):
        return files
    (code,) = told
    return tuple(
        file
        if file.format_code == code
        else open_segy(file.url, file.nbytes, reading.model_copy(update={"sample_format": code}))
        for file, reading in zip(files, readings, strict=True)
    )


def _up_to(nbytes: int, pieces: list[memoryview]) -> list[memoryview]:
    """As much of the buffers as there are bytes for."""
    if sum(piece.nbytes for piece in pieces) <= nbytes:
        return pieces
    found = []
    for piece in pieces:
        found.append(piece[: max(0, nbytes)])
        nbytes -= piece.nbytes
    return found


def open_survey(
    sources: tuple[str | SourceFile, ...], header_bytes: HeaderBytes, reading: Reading | None = None
) -> Survey:
    """Opens all files and sees that they belong together.

    Args:
        sources: Files, or patterns such as ``lines/*.sgy``.
        header_bytes: Header positions of files that state none.
        reading: How files are to be read that do not state it.

    Raises:
        InputError: If a file cannot be used, or differs from the first in what all must share.
    """
    named = [
        (url, (source.header_bytes or header_bytes).fields, source.reading or reading)
        for source in (SourceFile(path=source) if isinstance(source, str) else source for source in sources)
        for url in _matching(source.path)
    ]
    urls = [url for url, _, _ in named]
    if twice := sorted({url for url in urls if urls.count(url) > 1}):
        raise InputError(f"{', '.join(twice)} is named twice: name each file of a survey once.")
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        states = tuple(pool.map(file_state, urls))
        readings = (reading for _, _, reading in named)
        files = tuple(pool.map(open_segy, urls, (state.nbytes for state in states), readings))
    files = _with_one_format(files, [reading or Reading() for _, _, reading in named])
    shared = ("sample_count", "sample_interval_us", "format_code", "byte_order", "trace_header_nbytes")
    for file in files[1:]:
        for field in shared:
            expected, found = getattr(files[0], field), getattr(file, field)
            if expected != found:
                raise InputError(
                    f"{files[0].url} and {file.url} do not make one survey: {field.replace('_', ' ')} is {expected} "
                    f"in the first and {found} in the second. Convert them one by one."
                )
    stated = [file.trace_fields | positions for file, (_, positions, _) in zip(files, named, strict=True)]
    return Survey(
        files,
        states,
        tuple(
            STANDARD | (OF_SEISMIC_UNIX if file.format == "su" else {}) | positions
            for file, positions in zip(files, stated, strict=True)
        ),
        pinned=frozenset(name for positions in stated for name in positions),
    )


def _matching(path: str) -> list[str]:
    """Absolute URLs: of the file, or of all that match a pattern, sorted as text."""
    found = pattern_matches(path)
    if found is None:
        return [_absolute(path)]
    if not found:
        raise InputError(f"no file matches {path}: check the pattern.")
    return sorted(found)


def _absolute(path: str) -> str:
    """Workers may run in other folders; a URL says where it is by itself."""
    return path if "://" in path else str(Path(path).absolute())
