"""Where things lie in a store: the names that SPEC.md fixes, in one table.

A *group* below is the store's root or one of its derived groups: both have the same inner layout.
"""

MANIFEST_GROUP = "manifest"
"""Statistics of each variable on its inner-chunk grid: ``manifest/VARIABLE/STATISTIC``."""

DERIVED_GROUP = "derived"
"""What was made from the dataset later (labels, predictions): ``derived/ID/VARIABLE``."""

SOURCE_GROUP = "source"
"""File headers of each source file, byte for byte: ``source/file_header_K``, K counting from 0."""

RESIDUE_GROUP = "residue"
"""What float32 cannot carry of the source words: ``residue/VARIABLE``."""

LIVE = "live"
TRACE_NUMBER = "trace_number"
TRACE_HEADER = "trace_header"
TRACE_HEADER_BYTE = "trace_header_byte"

STATISTICS = {
    "count": "int64",
    "nonfinite_count": "int64",
    "mean": "float64",
    "m2": "float64",
    "minimum": "float64",
    "maximum": "float64",
}
"""Manifest arrays of every variable with float samples, and their data types."""

CLASS_COUNTS = "class_counts"
"""Manifest array of a ``class_label``: int64, the chunk grid and a last axis of 256 label values."""

CLASS_VALUE_COUNT = 256


def manifest_path(variable: str, statistic: str) -> str:
    """Path of one statistic's array, relative to the group that holds the variable."""
    return f"{MANIFEST_GROUP}/{variable}/{statistic}"


def derived_path(derived_id: str) -> str:
    """Path of a derived group, relative to the store's root."""
    return f"{DERIVED_GROUP}/{derived_id}"


def file_header_path(source_index: int) -> str:
    """Path of the bytes before the first trace of one source file, relative to the store's root."""
    return f"{SOURCE_GROUP}/file_header_{source_index}"


def residue_path(variable: str) -> str:
    """Path of a variable's residue words, relative to the store's root."""
    return f"{RESIDUE_GROUP}/{variable}"


def label_traces_path(variable: str) -> str:
    """Path of a label's own trace numbers, on the dimensions of ``live``, relative to the store's root."""
    return f"{SOURCE_GROUP}/{variable}_trace_number"
