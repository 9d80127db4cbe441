"""Stored headers and coordinates as a table; long arrays are judged by their ends alone."""

from dataclasses import dataclass
from math import prod

import numpy as np

from data_catalog.errors import InputError
from data_catalog.schema import Entry, Role, Variable
from data_catalog.views.page.axes import SINCE_1970, moment, number
from data_catalog.views.page.bounded_store import Array, Store

MOST_NBYTES = 2**20
"""Of an array that is read as a whole; of a longer one the first and the last chunk are."""

DIGITS = {2: 4, 4: 7, 8: 9}
"""By the bytes of a float; nine are enough for map coordinates in centimetres."""

MOST_CHUNKS = 16
MOST_CHUNK_NBYTES = 16 * 2**20


@dataclass(frozen=True)
class Row:
    """One coordinate.

    Attributes:
        name: Of the variable.
        long_name: What it is.
        dims: What it lies on, with sizes.
        dtype: Its data type.
        low: Its least value; empty where that says nothing.
        high: Its greatest value.
        units: CF units.
        is_of_ends: Whether only the first and the last chunk were looked at.
    """

    name: str
    long_name: str
    dims: str
    dtype: str
    low: str
    high: str
    units: str
    is_of_ends: bool


def coordinate_rows(store: Store, entry: Entry) -> list[Row]:
    """Rows of all coordinates, picks and headers of a dataset, those of derived groups included."""
    rows = []
    for path, variable in entry.all_variables().items():
        if variable.role in {Role.COORDINATE, Role.PICK}:
            rows.append(_row(store, path, variable))
    return rows


def _row(store: Store, path: str, variable: Variable) -> Row:
    array = store.array(path)
    nbytes, chunk_nbytes = (prod(shape) * array.dtype.itemsize for shape in (array.shape, array.chunks))
    is_small = nbytes <= MOST_NBYTES and prod(array.cdata_shape) <= MOST_CHUNKS
    low = high = ""
    if chunk_nbytes <= MOST_CHUNK_NBYTES and not _is_of_bytes(variable):
        try:
            low, high = _range(_sample(store, path, variable, is_small=is_small), variable)
        except InputError:
            low = "cannot be read"
    return Row(
        path,
        variable.long_name or str(array.attrs.get("long_name", "")),
        ", ".join(f"{dim} {size}" for dim, size in zip(variable.dims, variable.shape, strict=True)),
        variable.dtype,
        low,
        high,
        "" if (variable.units or "").startswith(SINCE_1970) else variable.units or "",
        is_of_ends=bool(low) and not is_small,
    )


def _is_of_bytes(variable: Variable) -> bool:
    """Whether it is trace headers, of whose bytes the least and the greatest say nothing."""
    return variable.dtype == "uint8" and len(variable.dims) > 1 and variable.dims[-1].endswith("_byte")


def _sample(store: Store, path: str, variable: Variable, *, is_small: bool) -> Array:
    if is_small:
        return store.read(path, [slice(0, size) for size in variable.shape])
    chunks = store.array(path).chunks
    first = [slice(0, min(size, extent)) for size, extent in zip(variable.shape, chunks, strict=True)]
    last = [slice((size - 1) // extent * extent, size) for size, extent in zip(variable.shape, chunks, strict=True)]
    return np.concatenate([store.read(path, where).ravel() for where in (first, last)])


def _range(values: Array, variable: Variable) -> tuple[str, str]:
    if variable.dtype == "bool":
        return f"{values.mean():.1%} true" if values.size else "", ""
    if values.dtype.kind not in "iuf":
        return "", ""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "no value", ""
    if (variable.units or "").startswith(SINCE_1970):
        return moment(float(finite.min())), moment(float(finite.max()))
    digits = DIGITS.get(values.dtype.itemsize, 9)
    return number(finite.min(), digits), number(finite.max(), digits)
