"""Memory that one task after another uses: fresh pages cost as much as reading does."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray


class Buffers:
    """Large pieces of memory by name."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.uint8]] = {}

    def take(self, name: str, nbytes: int) -> NDArray[np.uint8]:
        """The piece of that name, as large as asked for, with whatever was in it.

        Returns:
            uint8 (byte).
        """
        if name not in self._held or self._held[name].size < nbytes:
            self._held[name] = np.empty(nbytes, np.uint8)
        return self._held[name][:nbytes]


_unused: list[Buffers] = []


@contextmanager
def lent_buffers() -> Iterator[Buffers]:
    """Buffers that nobody else uses meanwhile."""
    buffers = _unused.pop() if _unused else Buffers()
    try:
        yield buffers
    finally:
        _unused.append(buffers)
