"""The traces of a dataset as its source had them, shard by shard: headers, samples in words, and what has no cell."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import Box, Source, WorkError, layout
from data_catalog.zarr_metadata import read_array_metadata
from pipeline.plan.chunking import ChunkPlan
from pipeline.segy.byte_order import swap_pairs, word_order
from pipeline.segy.fields import IEEE
from pipeline.segy.samples import encode, native_dtype, to_bytes, words_of_native
from pipeline.storage.codec import checksum
from pipeline.store.stored_shard import DamagedObject, fetch_shard

StoredArray = zarr.Array[Any]


@dataclass(frozen=True, slots=True)
class Traces:
    """Some traces as they lie in a file.

    Attributes:
        numbers: int64, ascending: running numbers in the survey.
        content: uint8 (trace, byte): headers and samples.
    """

    numbers: NDArray[np.int64]
    content: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TraceReader:
    """What an export reads, opened once.

    Attributes:
        url: The store.
        path: The variable.
        plan: Its chunks and shards.
        box: What of it is wanted, in index space; empty for all.
        is_own: Whether its samples are those of the traces whose headers are used.
        samples: The variable.
        residue: What its samples lack of the source words; None where they are not the source's, or were rounded.
        fate: What became of each trace, uint8 on the trace dimensions; None where it is not known.
        trace_number: int64 on the trace dimensions.
        trace_header: uint8 (trace dimensions, header byte).
        checksums: CRC-32C of each chunk of ``samples``, uint32 on the chunk grid; None where there are none.
        repeated_number: int64 (trace): running numbers of traces without a cell; None where there are none.
        repeated: uint8 (trace, byte): those traces.
    """

    url: str
    path: str
    plan: ChunkPlan
    box: Box
    is_own: bool
    samples: StoredArray
    residue: StoredArray | None
    fate: StoredArray | None
    trace_number: StoredArray
    trace_header: StoredArray
    checksums: StoredArray | None
    repeated_number: StoredArray | None
    repeated: StoredArray | None

    def spans(self) -> dict[tuple[int, ...], tuple[int, int]]:
        """Least and greatest running number of each shard that holds traces of the box."""
        found = {}
        for shard in self.plan.shards():
            numbers = self._numbers(shard)
            if (numbers >= 0).any():
                found[shard] = int(numbers[numbers >= 0].min()), int(numbers.max())
        return found

    def chosen(self, shards: Iterable[tuple[int, ...]], source: Source) -> NDArray[np.int64]:
        """Running numbers of all traces of the box that are of one source, int64, ascending: 8 bytes each."""
        parts = [np.empty(0, np.int64)]
        for shard in shards:
            numbers = self._numbers(shard)
            parts.append(numbers[_is_of(numbers, source)])
        return np.sort(np.concatenate(parts))

    def read(self, shard: tuple[int, ...], source: Source) -> Traces:
        """Traces of one source in one shard."""
        numbers = self._numbers(shard)
        cells = np.nonzero(_is_of(numbers, source))
        order = np.argsort(numbers[cells])
        ordered, cells = numbers[cells][order], tuple(index[order] for index in cells)
        headers = np.asarray(self.trace_header[self.plan.trace_slices(shard)])[cells]
        if not ordered.size:
            return Traces(ordered, np.empty((0, 0), np.uint8))
        samples = self._sample_bytes(shard, cells, source)
        return Traces(ordered, self._as_in_file(headers, samples, source))

    def read_repeated(self, source: Source, within: range | None = None) -> Iterator[Traces]:
        """Traces of one source that have no cell, some at a time; their samples are zeros where others are exported.

        Args:
            source: Whose traces.
            within: Running numbers of those that are wanted; None for all.
        """
        if self.repeated_number is None or self.repeated is None or self.box:
            return
        per_piece = self.repeated.chunks[0]
        header_nbytes = self.trace_header.shape[-1]
        for start in range(0, self.repeated.shape[0], per_piece):
            numbers = np.asarray(self.repeated_number[start : start + per_piece])
            own = _is_of(numbers, source)
            if within is not None:
                own &= (numbers >= within.start) & (numbers < within.stop)
            if not own.any():
                continue
            order = np.argsort(numbers[own])
            content = np.asarray(self.repeated[start : start + per_piece])[own][order]
            headers, samples = content[:, :header_nbytes], content[:, header_nbytes:]
            if not self.is_own:
                samples = np.zeros_like(samples)
            yield Traces(numbers[own][order], self._as_in_file(headers, samples, source))

    def _as_in_file(self, headers: NDArray[np.uint8], samples: NDArray[np.uint8], source: Source) -> NDArray[np.uint8]:
        content = np.concatenate([headers, samples], axis=1)
        if source.byte_order == "pairwise":
            swap_pairs(content, header_nbytes=headers.shape[1])
        return content

    def _numbers(self, shard: tuple[int, ...]) -> NDArray[np.int64]:
        """Running numbers of the cells of a shard; -1 where there is no trace, or one outside the box."""
        where = self.plan.trace_slices(shard)
        numbers = np.asarray(self.trace_number[where])
        for dim, (name, part) in enumerate(zip(self.dims[:-1], where, strict=True)):
            if name in self.box:
                first, stop = self.box[name]
                index = np.arange(part.start, part.stop)
                outside = (index < first) | (index >= stop)
                numbers = np.where(np.expand_dims(outside, [d for d in range(numbers.ndim) if d != dim]), -1, numbers)
        return numbers

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimension names of the variable."""
        return tuple(str(name) for name in self.samples.metadata.dimension_names or ())  # type: ignore[union-attr]

    @property
    def sample_range(self) -> slice:
        """Which samples are wanted."""
        return slice(*self.box.get(self.dims[-1], (0, self.plan.shape[-1])))

    def _sample_bytes(
        self, shard: tuple[int, ...], cells: tuple[NDArray[np.intp], ...], source: Source
    ) -> NDArray[np.uint8]:
        code = source.sample_format
        samples = self._checked_samples(shard)[cells][:, self.sample_range]
        if self.residue is not None and samples.dtype == native_dtype(code):
            words = words_of_native(samples, code)
        else:
            samples = np.ascontiguousarray(samples, np.float32)
            if code != IEEE and self.residue is None:
                np.nan_to_num(samples, copy=False, nan=0.0)
            words = encode(samples, code)
        if self.residue is not None:
            lost = np.asarray(self.residue[self.plan.trace_slices(shard)])[cells][:, self.sample_range]
            if self.box and self.fate is not None:  # a part is what the store shows, means and all
                lost[np.asarray(self.fate[self.plan.trace_slices(shard)])[cells] >= layout.AVERAGED] = 0
            words = words ^ lost
        return to_bytes(words, code, word_order(source.byte_order))

    def _checked_samples(self, shard: tuple[int, ...]) -> NDArray[Any]:
        """The samples of a shard, after the checksums of its chunks were found right.

        Raises:
            WorkError: If they are not those that were written.
        """
        where = self.plan.trace_slices(shard)
        if self.checksums is None:
            return np.asarray(self.samples[where])
        expected = np.asarray(self.checksums[self.plan.manifest_slices(shard)])
        try:
            stored = fetch_shard(self.url, self.path, (*shard, 0), chunks_per_shard=self.plan.chunks_per_shard)
            for chunk in np.ndindex(expected.shape):
                found = checksum(stored.chunk(chunk)) if stored.is_stored[chunk] else 0
                if found != expected[chunk]:
                    raise DamagedObject(f"chunk {chunk} of {stored.path} is not what was written")
            return np.asarray(stored.values((*where, slice(None))))
        except DamagedObject as error:
            raise WorkError(f"{error}; nothing is exported. `python -m pipeline verify` tells all that is.") from None


def _is_of(numbers: NDArray[np.int64], source: Source) -> NDArray[np.bool_]:
    return (numbers >= source.first_trace) & (numbers < source.first_trace + source.trace_count)


def open_reader(
    url: str, path: str, *, plan: ChunkPlan, model: str, key: str | None, is_source: bool, box: Box
) -> TraceReader:
    """Opens the arrays of an export.

    Args:
        url: The store.
        path: The variable.
        plan: Chunks and shards of the main variable.
        model: The variable whose headers are used.
        key: Its name, if it is not the main one.
        is_source: Whether the samples are those of the headers' own traces.
        box: What is wanted.
    """
    is_rounded = read_array_metadata(f"{url}/{layout.manifest_path(path, layout.ROUNDING_ERROR)}") is not None
    folder, _, name = path.rpartition("/")
    checksums = f"{folder}/{layout.manifest_path(name, layout.CHECKSUM)}".lstrip("/")
    return TraceReader(
        url=url,
        path=path,
        plan=plan,
        box=box,
        is_own=is_source,
        samples=open_array(url, path),
        residue=open_array(url, layout.residue_path(path)) if is_source and not is_rounded else None,
        fate=_find_array(url, layout.fate_path(key)),
        trace_number=open_array(url, layout.trace_number_path(key)),
        trace_header=open_array(url, layout.trace_header_path(key)),
        checksums=_find_array(url, checksums),
        repeated_number=_find_array(url, layout.repeated_number_path(model)),
        repeated=_find_array(url, layout.repeated_path(model)),
    )


def open_array(url: str, path: str) -> StoredArray:
    """Opens an array by its own URL, not through the root: derived groups are younger than the root's metadata."""
    return zarr.open_array(f"{url}/{path}", mode="r")


def _find_array(url: str, path: str) -> StoredArray | None:
    return open_array(url, path) if read_array_metadata(f"{url}/{path}") is not None else None
