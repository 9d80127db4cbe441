"""Arrays of a dataset, of which no read takes more than a bounded number of chunks."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog.errors import InputError
from data_catalog.storage import reached

MOST_CHUNKS = 96
"""Of one array that a read decodes."""

MOST_NBYTES = 96 * 2**20
"""Of those chunks together, decoded."""

Array = NDArray[Any]
Index = slice | NDArray[np.int64]
"""What is wanted along one axis: a range, forwards, or places in ascending order."""


class Store:
    """A dataset's store, opened for reading.

    Attributes:
        url: Where it is.
    """

    def __init__(self, url: str) -> None:
        """Opens a store.

        Raises:
            InputError: If there is none.
        """
        self.url = url.rstrip("/")
        with reached(self.url):
            self._group = zarr.open_group(self.url, mode="r", use_consolidated=False)
        self._found: dict[str, zarr.Array[Any] | None] = {}

    def find(self, path: str) -> "zarr.Array[Any] | None":
        """The array at a path; None where there is none."""
        if path not in self._found:
            with reached(f"{self.url}/{path}"):
                found = self._group.get(path)
            self._found[path] = found if isinstance(found, zarr.Array) else None
        return self._found[path]

    def array(self, path: str) -> "zarr.Array[Any]":
        """The array at a path.

        Raises:
            InputError: If there is none.
        """
        found = self.find(path)
        if found is None:
            raise InputError(f"{self.url}/{path} is no array.")
        return found

    def read(self, path: str, where: Sequence[Index]) -> Array:
        """The elements at all combinations of what is wanted along each axis.

        Raises:
            InputError: If it takes more than `MOST_CHUNKS` or `MOST_NBYTES`, or cannot be read.
        """
        array = self.array(path)
        self._check(path, array, where)
        with reached(f"{self.url}/{path}"):
            return np.asarray(array.oindex[tuple(where)])

    def fits(self, path: str, where: Sequence[Index]) -> bool:
        """Whether `read` would read it."""
        array = self.array(path)
        extents = zip(where, array.shape, array.chunks, strict=True)
        chunks = prod(_chunk_count(along, size, extent) for along, size, extent in extents)
        return chunks <= chunk_budget(array.chunks, array.dtype.itemsize)

    def _check(self, path: str, array: "zarr.Array[Any]", where: Sequence[Index]) -> None:
        if not self.fits(path, where):
            chunk_mib = prod(array.chunks) * array.dtype.itemsize / 2**20
            raise InputError(
                f"{path} is not drawn: that would read more than {MOST_CHUNKS} chunks, or {MOST_NBYTES >> 20} MiB of "
                f"chunks of {chunk_mib:.3g} MiB."
            )


def chunk_budget(chunk_shape: Sequence[int], itemsize: int) -> int:
    """How many chunks of an array a read may take; 0 where one of them is too many."""
    return min(MOST_CHUNKS, MOST_NBYTES // max(1, prod(chunk_shape) * itemsize))


def _chunk_count(along: Index, size: int, extent: int) -> int:
    """Chunks that are touched along an axis; of a range without its indices, of which there may be billions."""
    if not isinstance(along, slice):
        return len(np.unique(along // extent))
    wanted = range(*along.indices(size))
    if not wanted or wanted.step >= extent:
        return len(wanted)  # each in a chunk of its own
    return wanted[-1] // extent - wanted[0] // extent + 1
