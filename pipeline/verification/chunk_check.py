"""Stored chunks against what the manifest says of them: which there are, and their checksums."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_catalog import layout
from pipeline.storage.codec import checksum
from pipeline.store.stored_shard import StoredShard
from pipeline.verification.checked_shard import CheckedShard, first_of


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What came of the chunks of a shard.

    Attributes:
        is_sound: bool (its chunks on the array): which are as the manifest says.
        chunk_count: Stored chunks whose checksums were taken.
        stored_nbytes: Their bytes.
    """

    is_sound: NDArray[np.bool_]
    chunk_count: int
    stored_nbytes: int


def compare_checksums(checked: CheckedShard, stored: StoredShard) -> ChunkReport:
    """Sees that the chunks that should be stored are, and no others, each with the checksum in the manifest.

    Args:
        checked: Takes the findings down.
        stored: The shard, as fetched.

    Raises:
        DamagedObject: If the manifest cannot be decoded.
        OSError: If it cannot be read.
    """
    expected = checked.read(checked.variable.manifest_path(layout.CHECKSUM), checked.grid)
    is_fill = checked.read(checked.variable.manifest_path(layout.IS_FILL), checked.grid)
    is_stored = stored.is_stored[tuple(slice(0, size) for size in is_fill.shape)]
    found = np.zeros_like(expected)
    stored_nbytes = 0
    for index in zip(*np.nonzero(is_stored), strict=True):
        content = stored.chunk(index)
        found[index] = checksum(content)
        stored_nbytes += len(content)
    missing, unexpected = ~is_stored & ~is_fill, is_stored & is_fill
    differs = is_stored & ~is_fill & (found != expected)
    if not stored.is_there and missing.any():
        what = f"{stored.path} is missing, and should hold chunks with more than the fill value"
        checked.add("object-missing", what, count=int(missing.sum()))
    else:
        first = first_of(differs)
        values = f"{int(found[first]):#010x} as stored, and {int(expected[first]):#010x} in the manifest"
        _add_chunks(checked, "chunk-missing", missing, "is not stored, and should hold more than the fill value")
        _add_chunks(checked, "chunk-unexpected", unexpected, "is stored, and should hold the fill value alone")
        _add_chunks(checked, "checksum-differs", differs, f"has CRC-32C {values}")
    return ChunkReport(~(missing | unexpected | differs), int(is_stored.sum()), stored_nbytes)


def _add_chunks(checked: CheckedShard, code: str, which: NDArray[np.bool_], what: str) -> None:
    if which.any():
        chunk = tuple(part.start + index for part, index in zip(checked.grid, first_of(which), strict=True))
        checked.add(code, f"chunk {chunk} {what}", count=int(which.sum()))
