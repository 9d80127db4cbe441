"""Where things lie in a store: the names that SPEC.md fixes, in one table.

A *group* below is the store's root or one of its derived groups: both have the same inner layout.
"""

import re

MANIFEST_GROUP = "manifest"
"""Statistics of each variable on its inner-chunk grid: ``manifest/VARIABLE/STATISTIC``."""

DERIVED_GROUP = "derived"
"""What was made from the dataset later (labels, predictions): ``derived/ID/VARIABLE``."""

SOURCE_GROUP = "source"
"""File headers of each source file, byte for byte: ``source/file_header_K``, K counting from 0."""

RESIDUE_GROUP = "residue"
"""What float32 cannot carry of the source words: ``residue/VARIABLE``."""

WORK_GROUP = "work"
"""What a writer keeps while it is at work (lease, plan, ledger); readers ignore it, publishing ends it."""

LEASE = f"{WORK_GROUP}/lease.json"
"""Who is writing, relative to the store's root."""

PLAN = f"{WORK_GROUP}/plan.json"
"""What is being made, relative to the store's root."""

LEDGER = f"{WORK_GROUP}/ledger"
"""Which shards are complete, relative to the store's root."""

UNFINISHED_OBJECTS = f"{WORK_GROUP}/unfinished"
"""Objects that are being written, before they are renamed into place, relative to the store's root."""

INDEX = f"{WORK_GROUP}/index"
"""Trace indices, unless they are kept elsewhere, relative to the store's root."""

SCRATCH = f"{WORK_GROUP}/scratch"
"""What is being sorted, relative to the store's root."""

HEAPS = f"{WORK_GROUP}/heaps"
"""Traces of badly ordered files, sorted by shard, relative to the store's root."""

REPEATS = f"{WORK_GROUP}/repeats"
"""Traces whose cell another one has, relative to the store's root."""

FAILURES = f"{WORK_GROUP}/failures"
"""Shards that could not be written, and why, relative to the store's root."""

WORK_NAMES = frozenset(
    name.removeprefix(f"{WORK_GROUP}/")
    for name in (LEASE, PLAN, LEDGER, UNFINISHED_OBJECTS, INDEX, SCRATCH, HEAPS, REPEATS, FAILURES)
)
"""All that a writer makes in `WORK_GROUP`, but for files that begin with a dot."""

LIVE = "live"
TRACE_NUMBER = "trace_number"
TRACE_HEADER = "trace_header"
TRACE_HEADER_BYTE = "trace_header_byte"
FATE = "fate"

FATES = ("absent", "kept", "nonfinite", "truncated", "averaged", "dropped")
"""What became of the trace of a cell, by the values of ``fate``."""

ABSENT, KEPT, NONFINITE, TRUNCATED, AVERAGED, DROPPED = range(len(FATES))

STATISTICS = {
    "count": "int64",
    "nonfinite_count": "int64",
    "mean": "float64",
    "m2": "float64",
    "minimum": "float64",
    "maximum": "float64",
}
"""Manifest arrays of every variable with float samples, and their data types."""

HISTOGRAM = "histogram"
"""Manifest array of float samples: uint32, the chunk grid and a last axis of bins."""

HISTOGRAM_BIN_COUNT = 2048
"""A bin is the upper 11 bits of a float32: sign, exponent and two bits of the fraction, so four bins an octave."""

ROUNDING_ERROR = "rounding_error"
"""Manifest array of a variable that was rounded: float64, largest difference to the source in each chunk."""

CHECKSUM = "crc32c"
"""Manifest array: uint32, CRC-32C of each inner chunk as stored; 0 where it is not stored."""

IS_FILL = "is_fill"
"""Manifest array: bool, whether an inner chunk holds the fill value alone and so is not stored."""

CLASS_COUNTS = "class_counts"
"""Manifest array of a ``class_label``: int64, the chunk grid and a last axis of 256 label values."""

CLASS_VALUE_COUNT = 256


def manifest_arrays(*, is_label: bool, is_rounded: bool = False) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Data type of each manifest array of a variable, and its shape beyond the chunk grid."""
    common: dict[str, tuple[str, tuple[int, ...]]] = {CHECKSUM: ("uint32", ()), IS_FILL: ("bool", ())}
    if is_label:
        return {CLASS_COUNTS: ("int64", (CLASS_VALUE_COUNT,))} | common
    numbers: dict[str, tuple[str, tuple[int, ...]]] = {name: (dtype, ()) for name, dtype in STATISTICS.items()}
    errors: dict[str, tuple[str, tuple[int, ...]]] = {ROUNDING_ERROR: ("float64", ())} if is_rounded else {}
    return numbers | {HISTOGRAM: ("uint32", (HISTOGRAM_BIN_COUNT,))} | errors | common


def manifest_path(variable: str, statistic: str) -> str:
    """Path of one statistic's array, relative to the group that holds the variable."""
    return f"{MANIFEST_GROUP}/{variable}/{statistic}"


def derived_path(derived_id: str) -> str:
    """Path of a derived group, relative to the store's root."""
    return f"{DERIVED_GROUP}/{derived_id}"


def variable_word(path: str) -> str:
    """What a variable is called where all of a dataset's are side by side, derived ones as ``ID_VARIABLE``: a word, so
    that it can be an attribute.

    Args:
        path: Of the variable, relative to the store's root.
    """
    return re.sub(r"\W", "_", path.removeprefix(f"{DERIVED_GROUP}/"))


def file_header_path(source_index: int, volume: str | None = None) -> str:
    """Path of the bytes before the first trace of one source file, relative to the store's root.

    Args:
        source_index: Which file of its variable's sources.
        volume: A variable other than the main one.
    """
    return f"{SOURCE_GROUP}/{f'{volume}_' if volume else ''}file_header_{source_index}"


def residue_path(variable: str) -> str:
    """Path of a variable's residue words, relative to the store's root."""
    return f"{RESIDUE_GROUP}/{variable}"


def fate_path(volume: str | None = None) -> str:
    """Path of what became of the main variable's traces, or of another volume's own, relative to the store's root."""
    return f"{SOURCE_GROUP}/{volume}_{FATE}" if volume else FATE


def repeated_path(variable: str) -> str:
    """Path of the traces of a variable's sources that have no cell, whole, relative to the store's root."""
    return f"{RESIDUE_GROUP}/repeated/{variable}"


def repeated_number_path(variable: str) -> str:
    """Path of their running trace numbers, relative to the store's root."""
    return f"{RESIDUE_GROUP}/repeated_number/{variable}"


def tail_path(variable: str, source_index: int) -> str:
    """Path of the bytes behind the last trace of one of a variable's sources, relative to the store's root."""
    return f"{RESIDUE_GROUP}/tail/{variable}_{source_index}"


def trace_number_path(volume: str | None = None) -> str:
    """Path of the source trace numbers of the main variable, or of another one's own, relative to the store's root."""
    return f"{SOURCE_GROUP}/{volume}_{TRACE_NUMBER}" if volume else TRACE_NUMBER


def trace_header_path(volume: str | None = None) -> str:
    """Path of the trace headers of the main variable, or of another volume's own, relative to the store's root."""
    return f"{SOURCE_GROUP}/{volume}_{TRACE_HEADER}" if volume else TRACE_HEADER
