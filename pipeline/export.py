"""A prepared dataset back to SEG-Y: stored headers, samples, and the residue of what float32 could not carry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import Catalog, Entry, InputError, Source, layout
from pipeline.chunking import ChunkPlan
from pipeline.engine import progress_bar
from pipeline.segy.fields import SAMPLE_FORMATS
from pipeline.segy.samples import encode


def export(name: str, *, out: Path, variable: str | None, catalog: Catalog) -> list[Path]:
    """Writes a variable as SEG-Y with the headers of the source, shard by shard at computed offsets.

    The main variable comes out byte for byte as its source was; any other one on the same headers, as floats in the
    source's sample format. NaN, which IBM floats do not have, becomes 0 there.

    Args:
        name: Dataset in the catalog.
        out: The file; for a survey of several files, the folder for them.
        variable: ``amplitude``, ``derived/ID/NAME`` or a derived variable's bare name; None takes the main one.
        catalog: Where the entry is.

    Returns:
        The files written.

    Raises:
        InputError: If the dataset, the variable or the target cannot be used.
    """
    entry = catalog.open(name)
    path = _find_variable(entry, variable or entry.main_variable)
    main = entry.variables[entry.main_variable]
    plan = ChunkPlan(main.shape, main.chunk_shape, main.shard_shape)
    sources = [source for source in entry.sources if source.variable == entry.main_variable]
    if not sources:
        raise InputError(f"{name!r} was not made from SEG-Y and has no headers to export with.")
    targets = [out] if len(sources) == 1 else [out / Path(source.url).name for source in sources]
    if len(set(targets)) < len(targets):
        raise InputError(
            f"{name!r} was made from files of the same name in different folders: export needs them apart."
        )
    with progress_bar(f"export {name}", total_nbytes=sum(source.nbytes for source in sources)) as advance:
        for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
            writer = _SegyWriter(entry.url, path, source, plan=plan, is_main=path == entry.main_variable)
            writer.write(target, file_header=_values(entry.url, layout.file_header_path(index)))
            advance(source.nbytes)
    return targets


def _find_variable(entry: Entry, wanted: str) -> str:
    known = {name: (name, variable) for name, variable in entry.variables.items() if variable.role != "coordinate"}
    for derived_id, derived in entry.derived.items():
        for name, variable in derived.variables.items():
            path = f"{layout.derived_path(derived_id)}/{name}"
            known.setdefault(name, (path, variable))
            known[path] = (path, variable)
    main = entry.variables[entry.main_variable]
    if wanted not in known or known[wanted][1].dims != main.dims:
        fitting = [name for name, (_, variable) in known.items() if variable.dims == main.dims]
        raise InputError(
            f"{entry.name!r} has no variable {wanted!r} on the dimensions of its traces; it has {', '.join(fitting)}."
        )
    return known[wanted][0]


class _SegyWriter:
    """Writes one source file's traces from one variable."""

    def __init__(self, url: str, path: str, source: Source, *, plan: ChunkPlan, is_main: bool) -> None:
        self.url = url
        self.path = path
        self.source = source
        self.is_main = is_main
        self.format = SAMPLE_FORMATS[source.sample_format]
        self.plan = plan

    def write(self, target: Path, *, file_header: NDArray[np.uint8]) -> None:
        with _replaced_when_complete(target) as file:
            os.truncate(file, self.source.nbytes)
            os.pwrite(file, file_header.tobytes(), 0)
            for shard in self.plan.shards():
                self._write_shard(file, shard, header_nbytes=file_header.size)

    def _write_shard(self, file: int, shard: tuple[int, ...], *, header_nbytes: int) -> None:
        where = self.plan.trace_slices(shard)
        numbers = _values(self.url, layout.TRACE_NUMBER, where) - self.source.first_trace
        cells = np.nonzero((numbers >= 0) & (numbers < self.source.trace_count))
        order = np.argsort(numbers[cells])
        numbers, cells = numbers[cells][order], tuple(index[order] for index in cells)
        if not numbers.size:
            return
        headers = _values(self.url, layout.TRACE_HEADER, where)[cells]
        traces = np.concatenate([headers, self._sample_bytes(where, cells)], axis=1)
        for run in np.split(np.arange(numbers.size), np.flatnonzero(np.diff(numbers) != 1) + 1):
            os.pwrite(file, traces[run[0] : run[-1] + 1].data, header_nbytes + int(numbers[run[0]]) * traces.shape[1])

    def _sample_bytes(self, where: tuple[slice, ...], cells: tuple[NDArray[np.intp], ...]) -> NDArray[np.uint8]:
        samples = np.ascontiguousarray(_values(self.url, self.path, where)[cells], np.float32)
        if self.format.is_ibm and not self.is_main:
            np.nan_to_num(samples, copy=False, nan=0.0)
        words = encode(samples, is_ibm=self.format.is_ibm)
        if self.is_main:
            words = words ^ _values(self.url, layout.residue_path(self.path), where)[cells]
        return words.astype(">u4" if self.source.byte_order == "big" else "<u4").view(np.uint8)


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


def _values(url: str, path: str, where: tuple[slice, ...] | None = None) -> NDArray[Any]:
    # By its own URL, not through the root: derived groups are younger than the root's consolidated metadata.
    array = zarr.open_array(f"{url}/{path}", mode="r")
    return np.asarray(array[where] if where is not None else array[:])
