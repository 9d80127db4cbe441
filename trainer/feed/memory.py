"""Arrays whose memory is used again once nothing refers to them: fresh pages cost as much as reading."""

import math
import weakref
from collections import defaultdict, deque
from typing import Any

import numpy as np
import torch
from torch import Tensor


class ReusedMemory:
    """Makes tensors in main memory, and arrays that lie in the same place.

    Whoever keeps a tensor, an array, or any view of them, keeps the memory from being used again: nothing has to be
    given back, and nothing changes under a consumer's hands.
    """

    def __init__(self, *, pinned: bool = False) -> None:
        """Takes no memory yet.

        Args:
            pinned: Page-locked, for copies to a GPU; PyTorch's own allocator then does all this.
        """
        self._pinned = pinned
        self._free: defaultdict[int, deque[np.ndarray]] = defaultdict(deque)

    def tensor(self, shape: tuple[int, ...], *, dtype: "np.dtype[Any]") -> tuple[Tensor, "np.ndarray[Any, Any]"]:
        """A tensor of whatever was in its memory before, and the array that it lies in."""
        if self._pinned:
            like = torch.from_numpy(np.empty(0, dtype=dtype))
            tensor = torch.empty(shape, dtype=like.dtype, pin_memory=True)
            return tensor, tensor.numpy()
        nbytes = math.prod(shape) * dtype.itemsize
        try:
            block = self._free[nbytes].pop()
        except IndexError:
            block = np.empty(nbytes, dtype=np.uint8)
        # Views of an array refer to the first one in their line: behind a memoryview this is it, and its end theirs.
        lent = np.frombuffer(block.data, dtype=dtype)
        weakref.finalize(lent, self._free[nbytes].append, block).atexit = False
        array = lent.reshape(shape)
        return torch.from_numpy(array), array
