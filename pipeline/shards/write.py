"""One task, one shard: read its traces, decode and encode them chunk by chunk, and enter it in the ledger."""

import hashlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import InputError, layout
from pipeline.plan.chunking import SAMPLE_NBYTES
from pipeline.plan.costs import Reads
from pipeline.plan.design import StoreDesign, VolumeDesign, does_not_fit
from pipeline.recipe import Label
from pipeline.segy.samples import StoredTraces, as_native, native_dtype, word_dtype, words_of_native
from pipeline.shards.buffers import Buffers, lent_buffers
from pipeline.shards.classes import as_classes
from pipeline.shards.column import Column, decode_column
from pipeline.shards.fates import averaged, counts_of, fates_of
from pipeline.shards.output import ShardOutput
from pipeline.shards.repeated import repeats_of
from pipeline.shards.reuse import Predecessor
from pipeline.shards.statistics import class_counts
from pipeline.shards.take_over import take_over
from pipeline.shards.trace_heaps import OtherTraces, TraceHeaps
from pipeline.shards.trace_values import on_grid, write_coordinates
from pipeline.storage.codec import ShardEncoder
from pipeline.storage.new_objects import NewObjects
from pipeline.store.ledger import Arrays, Ledger, Shard, ShardRecord
from pipeline.survey.files import Survey
from pipeline.survey.header_words import HeaderWords, summarise
from pipeline.survey.order import NO_TRACE, Indexed
from pipeline.work.attempt import give_up_thread

FLOAT, DOUBLE = "float32", "float64"


@dataclass(frozen=True)
class ShardJob:
    """What every shard's task needs: a few names and numbers, nothing survey-sized.

    Attributes:
        url: The store, with its template in place.
        design: What it holds.
        surveys: Files of each variable.
        fingerprint: Digest of everything that all shards depend on.
        reads: How the traces of each variable are read.
        heaps: Traces that were sorted by shard, by variable.
        predecessor: A dataset whose shards are taken over where they hold the same traces.
        is_second_design: Whether objects of an earlier design may be there, also where no record tells of them.
    """

    url: str
    design: StoreDesign
    surveys: dict[str, Survey]
    fingerprint: str
    reads: dict[str, Reads]
    heaps: dict[str, TraceHeaps]
    predecessor: Predecessor | None = None
    is_second_design: bool = False

    @property
    def unfinished(self) -> str:
        """Where objects are written before they get their names.

        A worker that was frozen, and goes on when something else is being made there, does not find its own folder.
        """
        return f"{self.url}/{layout.UNFINISHED_OBJECTS}/{self.fingerprint}"


@dataclass(frozen=True, slots=True)
class ShardReport:
    """How one shard went.

    Attributes:
        record: What the ledger now says; None if a trace was not where it had been predicted, and nothing was written.
        disagreement: That trace, in a sentence.
        was_complete: Whether it was found complete, and left as it is.
        was_taken_over: Whether it is the one of the dataset that is extended.
    """

    record: ShardRecord | None
    disagreement: str | None = None
    was_complete: bool = False
    was_taken_over: bool = False


class _Disagreement(Exception):  # noqa: N818 (no error: a prediction that did not hold)
    """A trace header does not say what was predicted."""


def write_shard(job: ShardJob, shard: Shard) -> ShardReport:
    """Writes one shard of every array, whole; running it again writes the same.

    Args:
        job: What all shards share.
        shard: Index on the trace dimensions.

    Raises:
        InputError: If a source changed, or a label holds what is not a class.
        OSError: If a source cannot be read or the store cannot be written.
    """
    ledger = Ledger(job.url)
    numbers = {volume.name: _trace_numbers(job, volume, shard) for volume in job.design.volumes}
    fingerprint = _fingerprint(job, numbers)
    earlier = ledger.record(shard)
    if earlier is not None and earlier.fingerprint == fingerprint:
        return ShardReport(earlier, was_complete=True)
    with NewObjects(unfinished=job.unfinished) as objects:
        replaces = earlier is not None or job.is_second_design
        output = ShardOutput(
            objects, job.url, shard, chunks=job.design.chunks, codec=job.design.codec, replaces=replaces
        )
        try:
            was_taken_over = job.predecessor is not None and take_over(
                job.predecessor, shard, numbers, job.design, job.surveys, output
            )
            if not was_taken_over:
                with lent_buffers() as buffers:
                    writer = _ShardWriter(job, shard, output, buffers)
                    for volume in job.design.volumes:
                        writer.write_volume(volume, numbers[volume.name])
        except _Disagreement as error:
            return ShardReport(None, disagreement=str(error))
        give_up_thread()  # the disk has some of the shard still to take: the next one is begun meanwhile
        output.publish()
    record = ShardRecord(
        shard=shard,
        fingerprint=fingerprint,
        source_nbytes=output.source_nbytes,
        stored_nbytes=output.stored_nbytes,
        seconds=output.seconds,
        worker=f"{socket.gethostname()}:{os.getpid()}",
        headers=output.headers,
        fates=output.fates,
    )
    ledger.complete(record, output.manifest)
    return ShardReport(record, was_taken_over=was_taken_over)


def _trace_numbers(job: ShardJob, volume: VolumeDesign, shard: Shard) -> NDArray[np.int64]:
    where = job.design.chunks.trace_slices(shard)
    if isinstance(volume.order, Indexed):
        array = zarr.open_array(f"{job.url}/{layout.trace_number_path(volume.key)}", mode="r")
        return np.asarray(array[where])
    labels = (axis.labels(part.start, part.stop) for axis, part in zip(job.design.axes, where, strict=True))
    return volume.order.trace_numbers(tuple(labels))


def _fingerprint(job: ShardJob, numbers: dict[str, NDArray[np.int64]]) -> str:
    digest = hashlib.sha256(job.fingerprint.encode())
    for name, block in numbers.items():
        digest.update(f"{name} {block.shape}".encode())
        digest.update(np.ascontiguousarray(block, "<i8").data)
    return digest.hexdigest()


class _ShardWriter:
    """Writes the parts of one shard, and gathers what is to be said of it."""

    def __init__(self, job: ShardJob, shard: Shard, output: ShardOutput, buffers: Buffers) -> None:
        self.job = job
        self.design = job.design
        self.shard = shard
        self.output = output
        self.buffers = buffers
        self.live = np.empty(0, np.bool_)
        self.main_keys: HeaderWords = {}

    def write_volume(self, volume: VolumeDesign, numbers: NDArray[np.int64]) -> None:
        """Reads one variable's traces and writes all that is made of them."""
        cells = np.nonzero(numbers != NO_TRACE)
        in_file_order = np.argsort(numbers[cells])
        cells = tuple(index[in_file_order] for index in cells)
        with self.output.timed("read"):
            traces = self._read(volume, numbers[cells])
        words = self.job.surveys[volume.name].header_words(numbers[cells], traces.headers)
        self._check_positions(volume, cells, numbers[cells], words)
        self.output.headers[volume.name] = summarise(words)
        self._check_keys(volume, numbers[cells], words)
        rows = self._padded_rows(cells)
        if volume.label is None:
            survey = self.job.surveys[volume.name]
            fates = fates_of(numbers, self.design.chunks.trace_shard_shape, survey.truncated_traces)
            shown = traces
            if self.design.duplicates == "mean" and isinstance(volume.order, Indexed):
                where = self.design.chunks.trace_slices(self.shard)
                shown = averaged(traces, rows, repeats_of(self.job.url, volume).within(where), survey, fates)
            live = self._write_samples(volume, shown, traces, rows, fates)
            inside = tuple(slice(0, size) for size in numbers.shape)
            self.output.write_per_trace(layout.fate_path(volume.key), fates[inside], fill=layout.ABSENT)
            self.output.write_per_trace(
                layout.trace_header_path(volume.key),
                on_grid(self.design, self.shard, cells, traces.headers, fill=0),
                fill=0,
            )
        else:
            self._write_classes(volume, volume.label, traces, rows, numbers[cells])
        if volume.is_main:
            self.live = live
            self.output.write_per_trace(layout.LIVE, live[inside], fill=False)
            self.output.fates = counts_of(fates)
            write_coordinates(self.output, self.design, self.shard, cells, words)
        if not isinstance(volume.order, Indexed):
            self.output.write_per_trace(layout.trace_number_path(volume.key), numbers, fill=NO_TRACE)

    def _read(self, volume: VolumeDesign, ordered: NDArray[np.int64]) -> StoredTraces:
        survey = self.job.surveys[volume.name]
        file = survey.files[0]
        nbytes = ordered.size * file.trace_nbytes
        buffer = self.buffers.take("traces", nbytes).reshape(ordered.size, file.trace_nbytes)
        if heaps := self.job.heaps.get(volume.name):
            try:
                is_indexed = isinstance(volume.order, Indexed)
                self.output.source_nbytes += heaps.read(self.shard, ordered, buffer, may_hold_others=is_indexed)
            except OtherTraces as error:
                raise self._elsewhere(volume, f"of {volume.name}, {error}") from None
        else:
            self.output.source_nbytes += survey.read(ordered, buffer, gap_nbytes=self.job.reads[volume.name].gap_nbytes)
        return StoredTraces(buffer, file.trace_header_nbytes, file.word_order, file.format_code)

    def _check_keys(self, volume: VolumeDesign, ordered: NDArray[np.int64], words: HeaderWords) -> None:
        """Sees that traces in the order of their files have the numbers that the main variable's have."""
        keys = {name: words[name] for name in self.design.keys}
        if volume.is_main:
            self.main_keys = keys
            return
        for name, values in keys.items():
            differs = values != self.main_keys[name]
            if differs.any():
                row = int(differs.argmax())
                survey = self.job.surveys[volume.name]
                reason = f"trace {int(ordered[row])} has {name} {int(values[row])}, and the survey's has "
                raise does_not_fit(volume.name, survey, f"{reason}{int(self.main_keys[name][row])}")

    def _check_positions(
        self, volume: VolumeDesign, cells: Any, ordered: NDArray[np.int64], words: HeaderWords
    ) -> None:
        """Sees that each trace's header says where the trace is put."""
        if len(cells) == 1:
            return
        where = self.design.chunks.trace_slices(self.shard)
        placed = [
            (axis.word, axis.labels(part.start, part.stop)[index])
            for axis, part, index in zip(self.design.axes, where, cells, strict=True)
            if axis.word is not None
        ]
        names, expected = [name for name, _ in placed], [labels for _, labels in placed]
        differs = np.any([words[name] != labels for name, labels in zip(names, expected, strict=True)], axis=0)
        if not differs.any():
            return
        row = int(differs.argmax())
        found = " and ".join(f"{name} {int(words[name][row])}" for name in names)
        wanted = " and ".join(f"{name} {int(labels[row])}" for name, labels in zip(names, expected, strict=True))
        sentence = f"trace {int(ordered[row])} of {volume.name} holds {found}, where {wanted} was expected"
        raise self._elsewhere(volume, sentence)

    def _elsewhere(self, volume: VolumeDesign, sentence: str) -> Exception:
        """What it means that a trace lies elsewhere than the design says."""
        if isinstance(volume.order, Indexed):
            return InputError(f"{sentence}: its file changed since its headers were indexed.")
        return _Disagreement(sentence)

    def _padded_rows(self, cells: Any) -> NDArray[np.int64]:
        """For each cell of the whole shard, also beyond the array's edge, the row of its trace as read; -1 for none."""
        rows = np.full(self.design.chunks.trace_shard_shape, -1, np.int64)
        rows[cells] = np.arange(len(cells[0]))
        return rows

    def _write_samples(
        self,
        volume: VolumeDesign,
        shown: StoredTraces,
        traces: StoredTraces,
        rows: NDArray[np.int64],
        fates: NDArray[np.uint8],
    ) -> NDArray[np.bool_]:
        """Writes samples and what they cannot carry; takes down what became of traces.

        Args:
            volume: Whose.
            shown: What samples are made of.
            traces: What the residue leads back to: the same, or the first of those that ``shown`` has the means of.
            rows: int64 (trace dimensions): which trace is in each cell.
            fates: uint8, likewise: changed where samples tell more.

        Returns:
            bool, like ``rows``: where there is a trace that is other than zero.
        """
        manifest = self._new_manifest(volume)
        live = np.zeros(rows.shape, np.bool_)
        with (
            self.output.shard_of(volume.name) as samples,
            self.output.shard_of(layout.residue_path(volume.name)) as residue,
        ):
            for index, where, of_column in self._columns(rows):
                column, of_shown = self._judged(volume, shown, of_column, fates, where)
                is_own = shown is traces and of_shown is of_column
                live[where] = column.live.reshape(live[where].shape)
                for name, values in column.statistics.items():
                    manifest[name][index] = values
                manifest[layout.HISTOGRAM][index] = column.histogram
                if self.design.dropped_bits:
                    manifest[layout.ROUNDING_ERROR][index] = column.rounding_error
                for chunk in range(len(column.samples)):
                    block, has_bits, is_exact = self._block(volume, column, chunk, shown, of_shown)
                    if not has_bits:
                        manifest[layout.IS_FILL][*index, chunk] = True
                    else:
                        manifest[layout.CHECKSUM][*index, chunk] = self.output.add(samples, (*index, chunk), block)
                    if not (is_exact and is_own) and not self.design.dropped_bits:
                        self._add_residue(residue, traces, of_column, (*index, chunk), block)
        return live

    def _judged(
        self,
        volume: VolumeDesign,
        traces: StoredTraces,
        of_column: NDArray[np.int64],
        fates: NDArray[np.uint8],
        where: tuple[slice, ...],
    ) -> tuple[Column, NDArray[np.int64]]:
        """A column, decoded, after what becomes of traces with samples that are no numbers.

        Returns:
            The column, and the rows that it has samples of: without traces that were dropped, if any were.
        """
        dropped_bits = self.design.dropped_bits
        column = self._decoded(traces, of_column, dropped_bits=dropped_bits)
        if volume.dtype == DOUBLE:  # of which float32 knows neither the largest nor the smallest
            of_words = np.zeros((of_column.size, traces.sample_count))
            of_words[of_column >= 0] = as_native(
                traces.words(of_column[of_column >= 0], 0, traces.sample_count), traces.code
            )
            column = replace(column, live=(of_words != 0).any(axis=1))
            is_bad = ~np.isfinite(of_words).all(axis=1)
        else:
            is_bad = ~np.isfinite(column.samples).all(axis=(0, 2))
        if not is_bad.any():
            return column, of_column
        if self.design.bad_traces == "fail":
            raise InputError(
                f"shard {self.shard} of {volume.name} has {int(is_bad.sum())} traces with samples that are NaN or "
                "infinite, and --bad-traces is fail: choose salvage or drop, or correct the file."
            )
        is_dropped = self.design.bad_traces == "drop"
        of_traces = fates[where].reshape(-1)
        told = is_bad if is_dropped else is_bad & (of_traces == layout.KEPT)
        of_traces[told] = layout.DROPPED if is_dropped else layout.NONFINITE
        fates[where] = of_traces.reshape(fates[where].shape)
        if not is_dropped:
            return column, of_column
        kept = np.where(is_bad, -1, of_column)
        return replace(self._decoded(traces, kept, dropped_bits=dropped_bits), live=column.live & ~is_bad), kept

    def _write_classes(
        self,
        volume: VolumeDesign,
        label: Label,
        traces: StoredTraces,
        rows: NDArray[np.int64],
        ordered: NDArray[np.int64],
    ) -> None:
        chunks = self.design.chunks
        width = chunks.chunk_shape[-1]
        manifest = self._new_manifest(volume)
        with self.output.shard_of(volume.name) as encoder:
            for index, where, of_column in self._columns(rows):
                column = self._decoded(traces, of_column, dropped_bits=0)
                live = np.ascontiguousarray(self.live[where]).reshape(-1)
                for chunk, block in enumerate(column.samples):
                    start = chunk * width
                    stop = min(start + width, chunks.shape[-1])
                    with self.output.timed("decode"):
                        classes = as_classes(volume.name, label, block, of_column, start, stop, ordered)
                        classes[~live] = label.ignore_value
                        classes[:, stop - start :] = label.ignore_value
                        manifest[layout.CLASS_COUNTS][*index, chunk] = class_counts(classes, live, stop - start)
                    if (classes == label.ignore_value).all():
                        manifest[layout.IS_FILL][*index, chunk] = True
                    else:
                        manifest[layout.CHECKSUM][*index, chunk] = self.output.add(encoder, (*index, chunk), classes)

    def _columns(
        self, rows: NDArray[np.int64]
    ) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], NDArray[np.int64]]]:
        """Columns of chunks of this shard: their index on the trace dimensions, where they lie, and their rows."""
        for index, where in self.design.chunks.columns(self.shard):
            yield index, where, np.ascontiguousarray(rows[where]).reshape(-1)

    def _decoded(self, traces: StoredTraces, rows: NDArray[np.int64], *, dropped_bits: int) -> Column:
        """A column, in memory that the next one uses again."""
        chunks = self.design.chunks
        nbytes = chunks.chunks_per_shard[-1] * prod(chunks.chunk_shape) * SAMPLE_NBYTES
        with self.output.timed("decode"):
            out = self.buffers.take("column", nbytes).view(np.float32)
            return decode_column(traces, rows, width=chunks.chunk_shape[-1], out=out, dropped_bits=dropped_bits)

    def _block(
        self, volume: VolumeDesign, column: Column, chunk: int, traces: StoredTraces, rows: NDArray[np.int64]
    ) -> tuple[NDArray[Any], bool, bool]:
        """A chunk as it is stored; 0 where there is no trace, and beyond the end of one.

        Returns:
            Samples (trace, sample), whether any of them is other than +0, and whether they certainly lead back to the
            words that they were made of.
        """
        if volume.dtype == FLOAT:
            return column.samples[chunk], bool(column.has_bits[chunk]), bool(column.is_exact[chunk])
        shape = column.samples[chunk].shape
        start, stop = chunk * shape[1], min((chunk + 1) * shape[1], traces.sample_count)
        block = np.zeros(shape, native_dtype(traces.code))
        is_there = rows >= 0
        block[is_there, : stop - start] = as_native(traces.words(rows[is_there], start, stop), traces.code)
        return block, bool(block.view(np.uint8).any()), True

    def _add_residue(
        self,
        encoder: ShardEncoder,
        traces: StoredTraces,
        rows: NDArray[np.int64],
        index: tuple[int, ...],
        block: NDArray[Any],
    ) -> None:
        """Adds what the samples of a chunk cannot carry, if there is anything."""
        lost = np.empty(block.shape, word_dtype(traces.code))
        start = index[-1] * block.shape[1]
        stop = min(start + block.shape[1], traces.sample_count)
        with self.output.timed("decode"):
            if block.dtype == np.float32:
                traces.residue(rows, start, stop, block, lost)
            else:
                is_there = rows >= 0
                lost[...] = 0
                lost[is_there, : stop - start] = traces.words(rows[is_there], start, stop)
                lost[is_there] ^= words_of_native(block[is_there], traces.code)
        if lost.any():
            self.output.add(encoder, index, lost)

    def _new_manifest(self, volume: VolumeDesign) -> Arrays:
        """This shard's part of a variable's manifest, still empty; gathered under the variable's name."""
        grid = tuple(part.stop - part.start for part in self.design.chunks.manifest_slices(self.shard))
        arrays: Arrays = {
            name: np.zeros((*grid, *extra), dtype)
            for name, (dtype, extra) in self.design.manifest_arrays(volume).items()
        }
        self.output.manifest |= {f"{volume.name}/{name}": array for name, array in arrays.items()}
        return arrays
