"""A prepared dataset back to SEG-Y: stored headers, samples, and the residue of what float32 could not carry."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_catalog import Catalog, Entry, InputError, Role, Source, WorkError, layout
from data_catalog.storage import same_place
from data_catalog.zarr_metadata import read_array_metadata
from pipeline.export.box import cut_header, cut_trace_headers, parse_box
from pipeline.export.fresh import write_fresh
from pipeline.export.stored_traces import TraceReader, Traces, open_array, open_reader
from pipeline.export.target import OpenTarget, Target, as_target, exists, replaced_when_complete, within
from pipeline.plan.chunking import ChunkPlan
from pipeline.segy.fields import SAMPLE_FORMATS
from pipeline.work.progress import progress_bar

PART_NBYTES = 64 * 2**20
"""Of a file that has to be written in order, put together at a time."""

KEPT_NBYTES = 512 * 2**20
"""Of shards that were read for such a part, and are kept for the next ones."""


def export(
    name: str,
    *,
    out: Path | str,
    variable: str | None = None,
    catalog: Catalog,
    overwrite: bool = False,
    box: str | None = None,
) -> list[Target]:
    """Writes a variable as SEG-Y with the headers of a source, shard by shard at computed offsets.

    A volume of samples that was made from SEG-Y comes out byte for byte as its own source was, unless it was rounded;
    any other variable on the headers of the main one, as floats in its source's sample format. NaN, which IBM floats
    do not have, becomes 0 there. A dataset that was not made from SEG-Y gets headers made for it.

    Args:
        name: Dataset in the catalog.
        out: The file; for a survey of several files, the folder for them. A path, or an fsspec URL, which is written
            from its first byte to its last.
        variable: ``amplitude``, say, or ``derived/ID/NAME``; None takes the main one.
        catalog: Where the entry is.
        overwrite: Whether files that exist are replaced; a source of the dataset never is.
        box: ``DIM:FIRST:LAST`` in labels, both included, several joined by commas; None exports all.

    Returns:
        The files written.

    Raises:
        InputError: If the dataset, the variable, the box or the target cannot be used.
        WorkError: If the store is damaged.
    """
    entry = catalog.open(name)
    path = variable or entry.main_variable
    _check_variable(entry, path)
    main = entry.variables[entry.main_variable]
    plan = ChunkPlan(main.shape, main.chunk_shape, main.shard_shape)
    cut = parse_box(box, entry)
    model = path if _has_headers(entry, path) else entry.main_variable
    sources = [source for source in entry.sources if source.variable == model]
    place = as_target(out)
    if not sources:
        _check_targets([place], entry, overwrite=overwrite)
        write_fresh(entry, path, place, box=cut)
        return [place]
    targets = [place] if len(sources) == 1 else [within(place, Path(source.url).name) for source in sources]
    if len(set(map(str, targets))) < len(targets):
        raise InputError(
            f"{name!r} was made from files of the same name in different folders: export needs them apart."
        )
    _check_targets(targets, entry, overwrite=overwrite)
    key = None if model == entry.main_variable else model
    reader = open_reader(entry.url, path, plan=plan, model=model, key=key, is_source=path == model, box=cut)
    spans = reader.spans()
    written = []
    with progress_bar(f"export {name}", total_nbytes=sum(source.nbytes for source in sources)) as advance:
        for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
            file = _SourceFile(entry, reader, source, index, key, spans)
            if file.trace_count or not cut:
                file.write(target, advance)
                written.append(target)
    if not written:
        raise InputError(f"the box {box} holds no trace of {name!r}.")
    return written


def _has_headers(entry: Entry, path: str) -> bool:
    """Whether a variable's own trace headers are kept: those of labels are not."""
    variable = entry.all_variables()[path]
    return variable.role is not Role.CLASS_LABEL and any(source.variable == path for source in entry.sources)


def _check_targets(targets: list[Target], entry: Entry, *, overwrite: bool) -> None:
    sources = {source.url for source in entry.sources}
    for target in targets:
        if isinstance(target, Path) and target.is_dir():
            raise InputError(f"{target} is a folder: name the file to write.")
        if any(same_place(str(target), source) for source in sources):
            raise InputError(f"{target} is a source of {entry.name!r}, which is never replaced: choose another --out.")
        if not overwrite and exists(target):
            raise InputError(f"{target} exists: choose another --out, or say --overwrite.")


def _check_variable(entry: Entry, path: str) -> None:
    dims = entry.variables[entry.main_variable].dims
    fitting = [known for known, variable in entry.all_variables().items() if variable.dims == dims]
    if path not in fitting:
        raise InputError(
            f"{entry.name!r} has no variable {path!r} on the dimensions of its traces; it has {', '.join(fitting)}."
        )


@dataclass(frozen=True, slots=True)
class _Position:
    """Where traces lie in a file: those of the source as they did, those of a box one after another.

    Attributes:
        first_trace: Running number of the source's first trace.
        chosen: int64, ascending: running numbers of those of a box; None for all.
    """

    first_trace: int
    chosen: NDArray[np.int64] | None

    def of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Place of each trace in the file, int64."""
        return numbers - self.first_trace if self.chosen is None else np.searchsorted(self.chosen, numbers)


class _SourceFile:
    """One file of an export."""

    def __init__(
        self,
        entry: Entry,
        reader: TraceReader,
        source: Source,
        index: int,
        key: str | None,
        spans: dict[tuple[int, ...], tuple[int, int]],
    ) -> None:
        last = source.first_trace + source.trace_count - 1
        self.entry = entry
        self.reader = reader
        self.source = source
        self.spans = {
            shard: (least, greatest)
            for shard, (least, greatest) in spans.items()
            if least <= last and source.first_trace <= greatest
        }
        chosen = reader.chosen(self.spans, source) if reader.box else None
        self.position = _Position(source.first_trace, chosen)
        self.trace_count = source.trace_count if chosen is None else chosen.size
        self.header = np.asarray(open_array(entry.url, layout.file_header_path(index, key))[:])
        if reader.box:
            self.header = cut_header(self.header, reader, source, self.trace_count)
        tail = f"{entry.url}/{layout.tail_path(source.variable, index)}"
        self.tail = None
        if not reader.box and read_array_metadata(tail) is not None:
            self.tail = open_array(entry.url, layout.tail_path(source.variable, index))

    def write(self, target: Target, advance: Callable[..., None]) -> None:
        """Writes it."""
        sample_count = self.reader.sample_range.stop - self.reader.sample_range.start
        trace_nbytes = (
            self.reader.trace_header.shape[-1] + sample_count * SAMPLE_FORMATS[self.source.sample_format].nbytes
        )
        traces_end = self.header.size + self.trace_count * trace_nbytes
        nbytes = traces_end if self.reader.box else self.source.nbytes
        with replaced_when_complete(target, nbytes) as file:
            file.write(self.header.tobytes(), 0)
            parts = self._in_order(trace_nbytes) if file.is_sequential else self._by_shard()
            count = 0
            for traces in parts:
                count += len(traces.numbers)
                self._write_traces(file, traces, trace_nbytes)
                advance(traces.content.nbytes)
            if count != self.trace_count:
                raise WorkError(
                    f"{self.entry.url} holds {count} of the {self.trace_count} traces of {self.source.url}: parts of "
                    f"it were lost; `python -m pipeline verify {self.entry.name}` says which."
                )
            self._write_tail(file, nbytes)

    def _write_tail(self, file: OpenTarget, nbytes: int) -> None:
        if self.tail is not None:
            size = self.tail.shape[0]
            for start in range(0, size, self.tail.chunks[0]):
                piece = np.asarray(self.tail[start : start + self.tail.chunks[0]])
                file.write(piece.tobytes(), nbytes - size + start)

    def _write_traces(self, file: OpenTarget, traces: Traces, trace_nbytes: int) -> None:
        places = self.position.of(traces.numbers)
        for run in np.split(np.arange(places.size), np.flatnonzero(np.diff(places) != 1) + 1):
            if run.size:
                content = traces.content[run[0] : run[-1] + 1].data.cast("B")
                file.write(content, self.header.size + int(places[run[0]]) * trace_nbytes)

    def _by_shard(self) -> Iterator[Traces]:
        """In the order of the store: each shard is read once."""
        for shard in self.spans:
            yield self._read(shard)
        yield from self.reader.read_repeated(self.source)

    def _in_order(self, trace_nbytes: int) -> Iterator[Traces]:
        """In the order of the file, a part at a time: shards are read again where they do not follow the file."""
        kept: OrderedDict[tuple[int, ...], Traces] = OrderedDict()
        per_part = max(1, PART_NBYTES // trace_nbytes)
        for start in range(0, self.trace_count, per_part):
            stop = min(start + per_part, self.trace_count)
            content = np.zeros((stop - start, trace_nbytes), np.uint8)
            numbers = np.full(stop - start, -1, np.int64)
            for traces in self._touching(start, stop, kept):
                places = self.position.of(traces.numbers)
                inside = (places >= start) & (places < stop)
                content[places[inside] - start] = traces.content[inside]
                numbers[places[inside] - start] = traces.numbers[inside]
            if (numbers < 0).any():
                raise WorkError(
                    f"{self.entry.url} lacks {int((numbers < 0).sum())} traces of {self.source.url}: parts of it were "
                    f"lost; `python -m pipeline verify {self.entry.name}` says which."
                )
            yield Traces(numbers, content)

    def _touching(self, start: int, stop: int, kept: OrderedDict[tuple[int, ...], Traces]) -> Iterator[Traces]:
        shards, spans = list(self.spans), np.array(list(self.spans.values()), np.int64).reshape(-1, 2)
        first, last = self.position.of(spans[:, 0]), self.position.of(spans[:, 1])
        for index in np.flatnonzero((first < stop) & (start <= last)).tolist():
            shard = shards[index]
            if shard not in kept:
                kept[shard] = self._read(shard)
            kept.move_to_end(shard)
            while len(kept) > 1 and sum(traces.content.nbytes for traces in kept.values()) > KEPT_NBYTES:
                kept.popitem(last=False)
            yield kept[shard]
        first_trace = self.source.first_trace
        yield from self.reader.read_repeated(self.source, range(first_trace + start, first_trace + stop))

    def _read(self, shard: tuple[int, ...]) -> Traces:
        traces = self.reader.read(shard, self.source)
        if self.reader.box and traces.numbers.size:
            cut_trace_headers(traces.content, self.reader, self.source)
        return traces
