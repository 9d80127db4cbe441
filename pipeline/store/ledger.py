"""What is done: one completion record a shard, written after everything that it speaks of; and what failed."""

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data_catalog import layout
from data_catalog.schema import Model
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import find_object, object_names, remove_object
from pipeline.survey.header_words import HeaderSummary
from pipeline.work.failure import Failure

Shard = tuple[int, ...]
Arrays = dict[str, NDArray[Any]]

_RECORD = "record"
"""Name of the JSON text among the arrays of a record."""

_SUFFIX, _FAILURE_SUFFIX = ".npz", ".json"
"""What is being written has other names until it is complete."""

STAGES = ("read", "decode", "encode", "write")


class ShardRecord(Model):
    """What was done for one shard.

    Attributes:
        shard: Its index on the trace dimensions.
        fingerprint: Digest of all that decides what is in it; a record with another one counts for nothing.
        source_nbytes: Bytes asked for from the files.
        stored_nbytes: Bytes written.
        seconds: Time spent in each stage.
        worker: Host and process.
        headers: Summary of the trace headers of each variable.
        fates: How many traces of the main variable met which fate.
    """

    shard: Shard
    fingerprint: str
    source_nbytes: int
    stored_nbytes: int
    seconds: dict[str, float]
    worker: str
    headers: dict[str, HeaderSummary]
    fates: dict[str, int] = Field(default_factory=dict)


class FailureRecord(Model):
    """Why one shard is in quarantine.

    Attributes:
        shard: Its index.
        kind: What was at fault: source, target or worker.
        message: A sentence.
    """

    shard: Shard
    kind: str
    message: str


class Ledger:
    """The records of one store. Holds nothing itself: every question is answered from the store."""

    def __init__(self, url: str) -> None:
        """Args: url: The store."""
        self._url = url

    def complete(self, record: ShardRecord, arrays: Arrays) -> None:
        """Says that a shard is complete.

        Args:
            record: What was done.
            arrays: Its part of the manifest, by ``VARIABLE/NAME``.
        """
        buffer = io.BytesIO()
        text = np.frombuffer(record.model_dump_json().encode(), np.uint8)
        np.savez_compressed(buffer, **{_RECORD: text}, **arrays)  # type: ignore[arg-type]
        write_object(self._place(_record_path(record.shard)), buffer.getvalue())

    def record(self, shard: Shard) -> ShardRecord | None:
        """A shard's record; None where there is none."""
        found = self.read(shard)
        return None if found is None else found[0]

    def read(self, shard: Shard) -> tuple[ShardRecord, Arrays] | None:
        """A shard's record with its part of the manifest; None where there is none."""
        content = find_object(self._place(_record_path(shard)))
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files if name != _RECORD}
            return ShardRecord.model_validate_json(found[_RECORD].tobytes()), arrays

    def completed(self) -> set[Shard]:
        """Shards that have a record."""
        return {_shard(name) for name in object_names(self._place(layout.LEDGER)) if name.endswith(_SUFFIX)}

    def give_up(self, shard: Shard, failure: Failure) -> None:
        """Puts a shard into quarantine."""
        record = FailureRecord(shard=shard, kind=failure.kind, message=failure.message)
        write_object(self._place(_failure_path(shard)), record.model_dump_json().encode())

    def try_again(self, shard: Shard) -> None:
        """Takes a shard out of quarantine."""
        remove_object(self._place(_failure_path(shard)))

    def failures(self) -> Iterator[FailureRecord]:
        """The shards in quarantine, in order."""
        for name in sorted(object_names(self._place(layout.FAILURES))):
            content = find_object(self._place(f"{layout.FAILURES}/{name}")) if name.endswith(_FAILURE_SUFFIX) else None
            if content is not None:
                yield FailureRecord.model_validate(json.loads(content))

    def _place(self, path: str) -> str:
        return f"{self._url}/{path}"


def _record_path(shard: Shard) -> str:
    return f"{layout.LEDGER}/{'.'.join(map(str, shard))}{_SUFFIX}"


def _failure_path(shard: Shard) -> str:
    return f"{layout.FAILURES}/{'.'.join(map(str, shard))}{_FAILURE_SUFFIX}"


def _shard(name: str) -> Shard:
    return tuple(int(part) for part in name.rpartition(".")[0].split("."))
