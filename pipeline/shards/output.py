"""What one task writes: an object for each array, of chunks or of what there is one of for each trace, and its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.plan.chunking import ChunkPlan
from pipeline.shards.reuse import hand_over
from pipeline.storage.codec import Codec, CodecName, ShardEncoder, checksum
from pipeline.storage.new_objects import NewObject, NewObjects, Part
from pipeline.storage.objects import remove_object
from pipeline.store.ledger import STAGES, Arrays, Shard
from pipeline.store.template import object_url
from pipeline.survey.header_words import HeaderSummary


class ShardOutput:
    """The objects of one shard, which get their names all together, and what is to be said of it.

    Attributes:
        manifest: This shard's part of the manifest, by ``VARIABLE/NAME``.
        headers: What the trace headers of each variable are like.
        fates: How many traces of the main variable met which fate.
        source_nbytes: Asked for of source files.
        seconds: Spent so far, by stage.
        stored_nbytes: Written so far.
    """

    def __init__(
        self, objects: NewObjects, url: str, shard: Shard, *, chunks: ChunkPlan, codec: CodecName, replaces: bool
    ) -> None:
        """Begins with nothing.

        Args:
            objects: What they are made with.
            url: The store.
            shard: Index on the dimensions of the tasks.
            chunks: Of the arrays that tasks are made for; others agree along those dimensions.
            codec: How chunks are compressed.
            replaces: Whether objects of an earlier attempt may have their names.
        """
        self.manifest: Arrays = {}
        self.headers: dict[str, HeaderSummary] = {}
        self.fates: dict[str, int] = {}
        self.source_nbytes = 0
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.stored_nbytes = 0
        self._url = url
        self._shard = shard
        self._chunks = chunks
        self._codec = codec
        self._replaces = replaces
        self._objects = objects

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Counts time as that of a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - begun

    @contextmanager
    def shard_of(self, path: str, chunks: ChunkPlan | None = None) -> Iterator[ShardEncoder]:
        """This shard of an array that is cut up into inner chunks, its own or those of the tasks' arrays."""
        chunks = chunks or self._chunks
        with self._object(path, (*chunks.shard_of_task(self._shard), 0)) as new:
            encoder = ShardEncoder(chunks.chunks_per_shard, lambda part: self._append(new, part))
            yield encoder
            encoder.finish()

    def add(self, encoder: ShardEncoder, index: tuple[int, ...], block: NDArray[Any]) -> int:
        """Encodes a chunk and writes it; returns its checksum."""
        with self.timed("encode"):
            content = Codec(self._codec, block.dtype.itemsize).encode(block)
            found = checksum(content)
        encoder.add(index, content)
        return found

    def write_per_trace(self, path: str, values: NDArray[Any], *, fill: float) -> None:
        """Writes what there is one of for each trace: one chunk, padded beyond the array's edge."""
        shape = (*self._chunks.trace_shard_shape[: len(self._shard)], *values.shape[len(self._shard) :])
        if any(found > whole for found, whole in zip(values.shape, shape, strict=True)):
            raise RuntimeError(f"{path}: a block of {values.shape} is more than one chunk of {shape}")
        whole = values
        if values.shape != shape:
            whole = np.full(shape, fill, values.dtype)
            whole[tuple(slice(0, size) for size in values.shape)] = values
        is_fill = bool(np.isnan(values).all() if fill != fill else (values == fill).all())
        extra = (0,) * (len(shape) - len(self._shard))
        with self._object(path, (*self._shard, *extra)) as new:
            if not is_fill:
                with self.timed("encode"):
                    content = Codec(self._codec, values.dtype.itemsize).encode(np.ascontiguousarray(whole))
                self._append(new, content)

    def take_over(self, path: str, source: str, *, extra_dims: int) -> int:
        """Makes an object of another store that of this shard of an array; returns its bytes, 0 where there is none."""
        with self.timed("write"):
            nbytes = hand_over(source, object_url(self._url, path, (*self._shard, *(0,) * extra_dims)), self._objects)
        self.stored_nbytes += nbytes
        return nbytes

    def publish(self) -> None:
        """Gives everything that was written its name."""
        with self.timed("write"):
            self._objects.publish()

    @contextmanager
    def _object(self, path: str, index: tuple[int, ...]) -> Iterator[NewObject]:
        """One object of an array; where all is fill value there is none, nor may an earlier one stay."""
        target = object_url(self._url, path, index)
        new = self._objects.create(target)
        yield new
        with self.timed("write"):
            new.complete()
            if not new.nbytes and self._replaces:
                remove_object(target)
        self.stored_nbytes += new.nbytes

    def _append(self, new: NewObject, part: Part) -> None:
        with self.timed("write"):
            new.append(part)
