"""A prepared dataset back to SEG-Y: stored headers, samples, and the residue of what float32 could not carry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import Catalog, Entry, InputError, Role, Source, WorkError, layout
from data_catalog.storage import same_place
from data_catalog.zarr_metadata import read_array_metadata
from pipeline.plan.chunking import ChunkPlan
from pipeline.segy.fields import IEEE
from pipeline.segy.samples import encode, to_bytes
from pipeline.storage.codec import checksum
from pipeline.store.stored_shard import DamagedObject, fetch_shard
from pipeline.work.progress import progress_bar

StoredArray = zarr.Array[Any]


def export(
    name: str, *, out: Path, variable: str | None = None, catalog: Catalog, overwrite: bool = False
) -> list[Path]:
    """Writes a variable as SEG-Y with the headers of a source, shard by shard at computed offsets.

    A volume of samples that was made from SEG-Y comes out byte for byte as its own source was, unless it was rounded;
    any other variable on the headers of the main one, as floats in its source's sample format. NaN, which IBM floats
    do not have, becomes 0 there.

    Args:
        name: Dataset in the catalog.
        out: The file; for a survey of several files, the folder for them.
        variable: ``amplitude``, say, or ``derived/ID/NAME``; None takes the main one.
        catalog: Where the entry is.
        overwrite: Whether files that exist are replaced; a source of the dataset never is.

    Returns:
        The files written.

    Raises:
        InputError: If the dataset, the variable or the target cannot be used.
    """
    entry = catalog.open(name)
    path = variable or entry.main_variable
    _check_variable(entry, path)
    main = entry.variables[entry.main_variable]
    plan = ChunkPlan(main.shape, main.chunk_shape, main.shard_shape)
    model = path if _has_headers(entry, path) else entry.main_variable
    sources = [source for source in entry.sources if source.variable == model]
    if not sources:
        raise InputError(f"{name!r} was not made from SEG-Y and has no headers to export with.")
    targets = [out] if len(sources) == 1 else [out / Path(source.url).name for source in sources]
    if len(set(targets)) < len(targets):
        raise InputError(
            f"{name!r} was made from files of the same name in different folders: export needs them apart."
        )
    _check_targets(targets, entry, overwrite=overwrite)
    key = None if model == entry.main_variable else model
    arrays = _open_arrays(entry.url, path, key=key, is_source=path == model)
    spans = _trace_spans(arrays.trace_number, plan)
    with progress_bar(f"export {name}", total_nbytes=sum(source.nbytes for source in sources)) as advance:
        for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
            writer = _SegyWriter(arrays, source, plan=plan)
            last_trace = source.first_trace + source.trace_count - 1
            shards = [shard for shard, (low, high) in spans.items() if low <= last_trace and source.first_trace <= high]
            file_header = np.asarray(_open(entry.url, layout.file_header_path(index, key))[:])
            with _replaced_when_complete(target) as file:
                os.truncate(file, source.nbytes)
                _write_at(file, file_header.data, 0)
                trace_count = 0
                for shard in shards:
                    count, nbytes = writer.write_shard(file, shard, header_nbytes=file_header.size)
                    trace_count += count
                    advance(nbytes)
                if trace_count != source.trace_count:
                    raise WorkError(
                        f"{entry.url} holds {trace_count} of the {source.trace_count} traces of {source.url}: parts of "
                        f"it were lost; `python -m pipeline verify {name}` says which."
                    )
    return targets


def _has_headers(entry: Entry, path: str) -> bool:
    """Whether a variable's own trace headers are kept: those of labels are not."""
    variable = entry.all_variables()[path]
    return variable.role is not Role.CLASS_LABEL and any(source.variable == path for source in entry.sources)


def _check_targets(targets: list[Path], entry: Entry, *, overwrite: bool) -> None:
    sources = {source.url for source in entry.sources}
    for target in targets:
        if target.is_dir():
            raise InputError(f"{target} is a folder: name the file to write.")
        if any(same_place(str(target), source) for source in sources):
            raise InputError(f"{target} is a source of {entry.name!r}, which is never replaced: choose another --out.")
        if target.exists() and not overwrite:
            raise InputError(f"{target} exists: choose another --out, or say --overwrite.")


def _trace_spans(trace_number: StoredArray, plan: ChunkPlan) -> dict[tuple[int, ...], tuple[int, int]]:
    """Least and greatest trace number of each shard that holds any: tells which shards a source file needs."""
    spans = {}
    for shard in plan.shards():
        numbers = np.asarray(trace_number[plan.trace_slices(shard)])
        if (numbers >= 0).any():
            spans[shard] = int(numbers[numbers >= 0].min()), int(numbers.max())
    return spans


def _check_variable(entry: Entry, path: str) -> None:
    dims = entry.variables[entry.main_variable].dims
    fitting = [known for known, variable in entry.all_variables().items() if variable.dims == dims]
    if path not in fitting:
        raise InputError(
            f"{entry.name!r} has no variable {path!r} on the dimensions of its traces; it has {', '.join(fitting)}."
        )


@dataclass(frozen=True, slots=True)
class _Arrays:
    """What an export reads, opened once.

    Attributes:
        samples: The variable.
        residue: What its samples lack of the source words; None where they are not the source's, or were rounded.
        trace_number: int64 on the trace dimensions.
        trace_header: uint8 (trace dimensions, header byte).
        checksums: CRC-32C of each chunk of ``samples``, uint32 on the chunk grid; None where there are none.
    """

    url: str
    path: str
    samples: StoredArray
    residue: StoredArray | None
    trace_number: StoredArray
    trace_header: StoredArray
    checksums: StoredArray | None

    def read_samples(self, shard: tuple[int, ...], plan: ChunkPlan) -> NDArray[np.float32]:
        """The samples of a shard, after the checksums of its chunks were found right.

        Raises:
            WorkError: If they are not those that were written.
        """
        where = plan.trace_slices(shard)
        if self.checksums is None:
            return np.asarray(self.samples[where])
        expected = np.asarray(self.checksums[plan.manifest_slices(shard)])
        try:
            stored = fetch_shard(self.url, self.path, (*shard, 0), chunks_per_shard=plan.chunks_per_shard)
            for chunk in np.ndindex(expected.shape):
                found = checksum(stored.chunk(chunk)) if stored.is_stored[chunk] else 0
                if found != expected[chunk]:
                    raise DamagedObject(f"chunk {chunk} of {stored.path} is not what was written")
            return np.asarray(stored.values((*where, slice(None))))
        except DamagedObject as error:
            raise WorkError(f"{error}; nothing is exported. `python -m pipeline verify` tells all that is.") from None


def _open_arrays(url: str, path: str, *, key: str | None, is_source: bool) -> _Arrays:
    is_rounded = read_array_metadata(f"{url}/{layout.manifest_path(path, layout.ROUNDING_ERROR)}") is not None
    folder, _, name = path.rpartition("/")
    checksums = f"{folder}/{layout.manifest_path(name, layout.CHECKSUM)}".lstrip("/")
    return _Arrays(
        url=url,
        path=path,
        samples=_open(url, path),
        residue=_open(url, layout.residue_path(path)) if is_source and not is_rounded else None,
        trace_number=_open(url, layout.trace_number_path(key)),
        trace_header=_open(url, layout.trace_header_path(key)),
        checksums=_open(url, checksums) if read_array_metadata(f"{url}/{checksums}") is not None else None,
    )


class _SegyWriter:
    """Writes one source file's traces from one variable."""

    def __init__(self, arrays: _Arrays, source: Source, *, plan: ChunkPlan) -> None:
        self.arrays = arrays
        self.source = source
        self.plan = plan

    def write_shard(self, file: int, shard: tuple[int, ...], *, header_nbytes: int) -> tuple[int, int]:
        """Writes a shard's traces, each where it was in the source; returns how many, and their bytes."""
        where = self.plan.trace_slices(shard)
        numbers = np.asarray(self.arrays.trace_number[where]) - self.source.first_trace
        cells = np.nonzero((numbers >= 0) & (numbers < self.source.trace_count))
        order = np.argsort(numbers[cells])
        numbers, cells = numbers[cells][order], tuple(index[order] for index in cells)
        if not numbers.size:
            return 0, 0
        headers = np.asarray(self.arrays.trace_header[where])[cells]
        traces = np.concatenate([headers, self._sample_bytes(shard, cells)], axis=1)
        for run in np.split(np.arange(numbers.size), np.flatnonzero(np.diff(numbers) != 1) + 1):
            content = traces[run[0] : run[-1] + 1].data.cast("B")
            _write_at(file, content, header_nbytes + int(numbers[run[0]]) * traces.shape[1])
        return numbers.size, traces.nbytes

    def _sample_bytes(self, shard: tuple[int, ...], cells: tuple[NDArray[np.intp], ...]) -> NDArray[np.uint8]:
        samples = np.ascontiguousarray(self.arrays.read_samples(shard, self.plan)[cells], np.float32)
        residue = self.arrays.residue
        code = self.source.sample_format
        if code != IEEE and residue is None:
            np.nan_to_num(samples, copy=False, nan=0.0)
        words = encode(samples, code)
        if residue is not None:
            words = words ^ np.asarray(residue[self.plan.trace_slices(shard)])[cells]
        return to_bytes(words, code, self.source.byte_order)


@contextmanager
def _replaced_when_complete(target: Path) -> Iterator[int]:
    """A file descriptor to write by offsets; the file is seen only once all went well."""
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file.fileno()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}): choose another --out.") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _write_at(file: int, content: memoryview, offset: int) -> None:
    while content:
        done = os.pwrite(file, content, offset)
        content, offset = content[done:], offset + done


def _open(url: str, path: str) -> StoredArray:
    # By its own URL, not through the root: derived groups are younger than the root's consolidated metadata.
    return zarr.open_array(f"{url}/{path}", mode="r")
