"""A shard against the traces that it was made of: samples, headers, live and classes, bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import layout
from data_catalog.zarr_metadata import read_array_metadata
from pipeline.plan.costs import medium_of
from pipeline.segy.file import SegyFile
from pipeline.segy.read import read_bytes
from pipeline.segy.samples import StoredTraces, as_native, decode, encode, word_dtype, words_of_native
from pipeline.storage.rounding import round_in_place
from pipeline.store.stored_shard import DamagedObject, StoredShard, read_values
from pipeline.survey.files import Survey
from pipeline.survey.order import NO_TRACE
from pipeline.verification.checked_shard import CheckedShard, CheckedVariable, Finding, first_of


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What was compared.

    Attributes:
        trace_count: Traces of the source.
        source_nbytes: Their bytes.
    """

    trace_count: int
    source_nbytes: int


def compare_with_source(
    checked: CheckedShard, survey: Survey, stored: StoredShard | None, is_sound: NDArray[np.bool_]
) -> SourceReport:
    """Reads the traces that a shard was made of, and compares all that was made of them.

    Args:
        checked: Takes the findings down.
        survey: The files.
        stored: The shard, as fetched; None where it cannot be read.
        is_sound: bool (its chunks on the array): which chunks may be decoded.

    Raises:
        InputError: If a source changed meanwhile.
        DamagedObject: If the trace numbers cannot be decoded.
        OSError: If the store or a source cannot be read.
    """
    variable = checked.variable
    numbers = checked.read(layout.trace_number_path(variable.key), checked.where)
    if fault := _fault_of_numbers(numbers, survey.trace_count):
        checked.add("trace-number-wrong", fault)
        return SourceReport(0, 0)
    comparison = _Comparison(checked, _read_source(survey, numbers), stored, is_sound)
    if variable.ignore_value is not None:
        with checked.damage_reported():
            comparison.compare_classes(variable.ignore_value)
    else:
        with checked.damage_reported():
            comparison.compare_headers()
        with checked.damage_reported():
            comparison.compare_samples_and_live()
    content = comparison.source.traces.content
    return SourceReport(len(content), content.nbytes)


def _kept_files(variable: CheckedVariable) -> Iterator[tuple[int, SegyFile]]:
    """Files of which the store keeps what is around the traces, with their numbers: of labels, none."""
    if variable.survey is not None and variable.ignore_value is None:
        yield from enumerate(variable.survey.files)


def compare_file_headers(url: str, variable: CheckedVariable) -> Iterator[Finding]:
    """Compares what precedes the traces of each file; of labels it is not kept.

    Args:
        url: The store.
        variable: Whose files.

    Raises:
        InputError: If a source cannot be read.
    """
    for index, file in _kept_files(variable):
        path = layout.file_header_path(index, variable.key)
        expected = np.frombuffer(read_bytes(file.url, 0, file.header_nbytes), np.uint8)
        try:
            found = read_values(zarr.open_array(f"{url}/{path}", mode="r"), (slice(None),), path=path)
        except DamagedObject as error:
            yield Finding(code="object-damaged", message=f"{variable.name}: {error}.", variable=variable.name)
            continue
        shared = min(found.size, expected.size)
        count = int((found[:shared] != expected[:shared]).sum()) + abs(found.size - expected.size)
        if count:
            what = f"{path} ({found.size} bytes) and the file header of {file.url} ({expected.size} bytes) differ"
            message = f"{variable.name}: {what} in {count} bytes, {_first_difference(found, expected)}."
            yield Finding(code="file-header-differs", message=message, variable=variable.name, count=count)


def compare_tails(url: str, variable: CheckedVariable) -> Iterator[Finding]:
    """Compares what follows the traces of each file; of labels it is not kept.

    Args:
        url: The store.
        variable: Whose files.

    Raises:
        InputError: If a source cannot be read.
    """
    for index, file in _kept_files(variable):
        if not file.tail_nbytes:
            continue
        path = layout.tail_path(variable.name, index)
        try:
            array = zarr.open_array(f"{url}/{path}", mode="r")
            is_same = array.shape == (file.tail_nbytes,)
            for start in range(0, file.tail_nbytes, array.chunks[0]):
                found = read_values(array, (slice(start, start + array.chunks[0]),), path=path)
                is_same &= found.tobytes() == read_bytes(file.url, file.tail_start + start, found.size)
        except (DamagedObject, FileNotFoundError) as error:
            yield Finding(code="object-damaged", message=f"{variable.name}: {error}.", variable=variable.name)
            continue
        if not is_same:
            message = f"{variable.name}: {path} is not what follows the traces of {file.url}."
            yield Finding(code="tail-differs", message=message, variable=variable.name)


def compare_repeated(url: str, variable: CheckedVariable) -> tuple[SourceReport, list[Finding]]:
    """Compares the traces that have no cell, piece by piece.

    Args:
        url: The store.
        variable: Whose traces.

    Raises:
        InputError: If a source changed meanwhile.
        OSError: If a source cannot be read.
    """
    findings: list[Finding] = []
    path = layout.repeated_path(variable.name)
    if variable.survey is None or read_array_metadata(f"{url}/{path}") is None:
        return SourceReport(0, 0), findings
    array = zarr.open_array(f"{url}/{path}", mode="r")
    numbers = zarr.open_array(f"{url}/{layout.repeated_number_path(variable.name)}", mode="r")
    for start in range(0, array.shape[0], array.chunks[0]):
        where = slice(start, start + array.chunks[0])
        try:
            found = read_values(array, (where, slice(None)), path=path)
            of_piece = np.asarray(numbers[where])
        except DamagedObject as error:
            findings.append(
                Finding(code="object-damaged", message=f"{variable.name}: {error}.", variable=variable.name)
            )
            continue
        order = np.argsort(of_piece)
        expected = np.empty_like(found)
        variable.survey.read(of_piece[order], expected)
        differs = (expected != found[order]).any(axis=1)
        if differs.any():
            message = f"{variable.name}: trace {int(of_piece[order][differs][0])}, which has no cell, is another one."
            count = int(differs.sum())
            findings.append(Finding(code="trace-differs", message=message, variable=variable.name, count=count))
    return SourceReport(array.shape[0], array.shape[0] * array.shape[1]), findings


def _first_difference(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> str:
    for byte, (one, other) in enumerate(zip(found.tolist(), expected.tolist(), strict=False), start=1):
        if one != other:
            return f"the first is byte {byte}: {one} is stored, and {other} in the source"
    return "all of them at the end"


def _fault_of_numbers(numbers: NDArray[np.int64], trace_count: int) -> str:
    """What makes trace numbers useless, in words; empty where nothing does."""
    outside = (numbers < NO_TRACE) | (numbers >= trace_count)
    if outside.any():
        return f"trace number {int(numbers[outside][0])} is stored, and the source has {trace_count} traces"
    held = np.sort(numbers[numbers != NO_TRACE])
    repeated = held[1:][np.diff(held) == 0]
    return f"trace number {int(repeated[0])} is stored twice" if repeated.size else ""


@dataclass(frozen=True, slots=True)
class _Source:
    """The traces of a shard as the files have them, and which cell of the shard has which.

    Attributes:
        traces: As stored.
        numbers: int64 (trace dimensions): running numbers of the traces, -1 for none.
        rows: int64 (trace dimensions): where they are in ``traces``, -1 for none.
    """

    traces: StoredTraces
    numbers: NDArray[np.int64]
    rows: NDArray[np.int64]

    def headers(self) -> NDArray[np.uint8]:
        """uint8 (trace dimensions, header byte); 0 where there is no trace."""
        headers = np.zeros((*self.rows.shape, self.traces.header_nbytes), np.uint8)
        is_there = self.rows >= 0
        headers[is_there] = self.traces.headers[self.rows[is_there]]
        return headers

    def words(self, where: tuple[slice, ...]) -> NDArray[Any]:
        """Sample words of a box of the shard; 0 where there is no trace."""
        rows, samples = self.rows[where[:-1]], where[-1]
        words = np.zeros((*rows.shape, samples.stop - samples.start), word_dtype(self.traces.code))
        is_there = rows >= 0
        words[is_there] = self.traces.words(rows[is_there], samples.start, samples.stop)
        return words


def _bits(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.view(f"u{samples.itemsize}")


def _rounded(samples: NDArray[np.float32], dropped_bits: int) -> NDArray[np.float32]:
    rounded = samples.copy()
    round_in_place(rounded.reshape(-1), dropped_bits)
    return rounded


def _read_source(survey: Survey, numbers: NDArray[np.int64]) -> _Source:
    file = survey.files[0]
    cells = np.nonzero(numbers != NO_TRACE)
    in_file_order = np.argsort(numbers[cells])
    cells = tuple(index[in_file_order] for index in cells)
    rows = np.full(numbers.shape, -1, np.int64)
    rows[cells] = np.arange(in_file_order.size)
    content = np.empty((in_file_order.size, file.trace_nbytes), np.uint8)
    survey.read(numbers[cells], content, gap_nbytes=medium_of(file.url).worthwhile_gap_nbytes)
    traces = StoredTraces(content, file.trace_header_nbytes, file.word_order, file.format_code)
    return _Source(traces, numbers, rows)


class _Comparison:
    """Compares what is stored of one shard with the traces of its source."""

    def __init__(
        self, checked: CheckedShard, source: _Source, stored: StoredShard | None, is_sound: NDArray[np.bool_]
    ) -> None:
        self.checked = checked
        self.source = source
        self.stored = stored
        self.is_sound = is_sound

    def compare_headers(self) -> None:
        path = layout.trace_header_path(self.checked.variable.key)
        expected = self.source.headers()
        found = self.checked.read(path, (*self.checked.where, slice(None)))
        differs = found != expected
        if differs.any():
            *cell, byte = at = first_of(differs)
            what = f"byte {byte + 1} of the header of {self._trace(tuple(cell))} is {int(found[at])}"
            what += f", and {int(expected[at])} in the source"
            self.checked.add("trace-header-differs", what, count=int(differs.sum()))

    def compare_samples_and_live(self) -> None:
        """Sees that samples are those of the source, and that with the residue they give its words again."""
        variable = self.checked.variable
        dropped_bits = variable.dropped_bits
        fates = self._fates()
        # What was rounded does not lead back to the source's words, and has no residue.
        residue = None if dropped_bits else self.checked.fetch(layout.residue_path(variable.name))
        live = np.zeros(self.source.rows.shape, np.bool_)
        first, count = "", 0
        for where, in_array, is_sound in self._chunks():
            expected_words = self.source.words(where)
            expected = self._samples(expected_words)
            is_own = fates[where[:-1]] < layout.AVERAGED
            live[where[:-1]] |= (expected != 0).any(axis=-1) & is_own
            if self.stored is None or not is_sound:
                continue
            samples = self.stored.values(in_array)
            # Means of several traces, and zeros in place of what is no number, are not in the source.
            expected[~is_own] = samples[~is_own]
            live[where[:-1]] |= (samples != 0).any(axis=-1) & ~is_own
            if residue is None:
                expected = _rounded(expected, dropped_bits)
                words, expected_words = samples.view(np.uint32), expected.view(np.uint32)
            else:
                words = self._words(samples, residue, in_array)
            differs = (words != expected_words) | (_bits(samples) != _bits(expected))
            if differs.any():
                at = first_of(differs)
                first = first or (
                    f"{self._sample(where, at)} is {samples[at]!s} (word {int(words[at]):#010x}), "
                    f"and {expected[at]!s} (word {int(expected_words[at]):#010x}) in the source"
                    f"{', rounded' if dropped_bits else ''}"
                )
                count += int(differs.sum())
        if count:
            self.checked.add("samples-differ", first, count=count)
        if variable.is_main:
            self._compare_live(live)

    def _samples(self, words: NDArray[Any]) -> NDArray[Any]:
        """What the samples of words should be in the store; a copy, also where they are the words."""
        code = self.source.traces.code
        return (as_native(words, code) if self.checked.variable.is_native else decode(words, code)).copy()

    def _fates(self) -> NDArray[np.uint8]:
        """What became of each trace; datasets of before version 1.3 do not say, and kept all."""
        path = layout.fate_path(self.checked.variable.key)
        if read_array_metadata(f"{self.checked.url}/{path}") is None:
            return np.full(self.source.rows.shape, layout.KEPT, np.uint8)
        return self.checked.read(path, self.checked.where)

    def _words(self, samples: NDArray[np.float32], residue: StoredShard, in_array: tuple[slice, ...]) -> NDArray[Any]:
        """The words that an export writes for stored samples."""
        code = self.source.traces.code
        words = words_of_native(samples, code) if self.checked.variable.is_native else encode(samples, code)
        return words ^ residue.values(in_array) if residue.is_there else words

    def _compare_live(self, expected: NDArray[np.bool_]) -> None:
        found = self.checked.read(layout.LIVE, self.checked.where)
        differs = found != expected
        if differs.any():
            cell = first_of(differs)
            marked = "live, and holds no" if found[cell] else "not live, and holds a"
            what = f"{self._trace(cell)} is marked as {marked} sample other than 0 in the source"
            self.checked.add("live-differs", what, count=int(differs.sum()))

    def compare_classes(self, ignore_value: int) -> None:
        """Sees that classes are those of the source, and the ignore value where no trace is live."""
        live = self.checked.read(layout.LIVE, self.checked.where) & (self.source.rows >= 0)
        first, count = "", 0
        for where, in_array, is_sound in self._chunks():
            if self.stored is None or not is_sound:
                continue
            found = self.stored.values(in_array)
            of_source = decode(self.source.words(where), self.source.traces.code)
            expected = np.where(live[where[:-1]][..., None], of_source, np.float32(ignore_value))
            differs = found != expected
            if differs.any():
                at = first_of(differs)
                first = first or f"{self._sample(where, at)} is {int(found[at])}, and should be {expected[at]:g}"
                count += int(differs.sum())
        if count:
            self.checked.add("classes-differ", first, count=count)

    def _chunks(self) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...], bool]]:
        """Inner chunks, cut at the array's edge: where they lie in the shard, where in the array, and if sound."""
        chunks = self.checked.variable.chunks
        origin = (*(part.start for part in self.checked.where), 0)
        for index in np.ndindex(self.is_sound.shape):
            in_shard, in_array = [], []
            for i, length, first, size in zip(index, chunks.chunk_shape, origin, chunks.shape, strict=True):
                start, stop = i * length, min((i + 1) * length, size - first)
                in_shard.append(slice(start, stop))
                in_array.append(slice(first + start, first + stop))
            yield tuple(in_shard), tuple(in_array), bool(self.is_sound[index])

    def _sample(self, where: tuple[slice, ...], at: tuple[int, ...]) -> str:
        *cell, sample = (part.start + index for part, index in zip(where, at, strict=True))
        return f"sample {sample} of {self._trace(tuple(cell))}"

    def _trace(self, cell: tuple[int, ...]) -> str:
        """A trace by its running number and its labels."""
        labels = []
        for dim, part, index in zip(self.checked.variable.dims, self.checked.where, cell, strict=False):
            position = part.start + index
            labels.append(f"{dim} {int(self.checked.read(dim, (slice(position, position + 1),))[0])}")
        number = int(self.source.numbers[cell])
        named = "the cell without a trace" if number == NO_TRACE else f"trace {number}"
        return f"{named} ({', '.join(labels)})"
