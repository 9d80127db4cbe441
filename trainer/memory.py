"""Tensors whose memory is used again once nothing refers to them: fresh pages cost as much as reading."""

import math
import weakref
from collections import defaultdict, deque

import numpy as np
import torch
from torch import Tensor


class ReusedMemory:
    """Makes tensors in main memory.

    Whoever keeps a tensor, or any view of it, keeps its memory from being used again: nothing has to be given back, and
    nothing changes under a consumer's hands.
    """

    def __init__(self, *, pinned: bool = False) -> None:
        """Takes no memory yet.

        Args:
            pinned: Page-locked, for copies to a GPU; PyTorch's own allocator then does all this.
        """
        self._pinned = pinned
        self._free: defaultdict[int, deque[np.ndarray]] = defaultdict(deque)

    def tensor(self, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """A tensor of whatever was in its memory before."""
        if self._pinned:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        nbytes = math.prod(shape) * dtype.itemsize
        try:
            block = self._free[nbytes].pop()
        except IndexError:
            block = np.empty(nbytes, dtype=np.uint8)
        lent = block[:]  # an object of its own: the tensor keeps it, and its end is the end of the tensor and its views
        weakref.finalize(lent, self._free[nbytes].append, block).atexit = False
        return torch.from_numpy(lent).view(dtype).reshape(shape)
