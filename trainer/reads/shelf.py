"""Decoded chunks under a hard byte budget, shared by the threads that cut windows from them.

Whoever plans windows announces how many of them will use each chunk. A chunk stays until its last announced use; then
it may go as soon as its memory is wanted. So each is decoded once for all windows that were announced together, and
what is held is what they still need. Memory is taken from the system once and used again: fresh pages cost as much as
reading.

A thread holds one chunk at a time: it copies its part out and lets go before it asks for the next. So whoever waits for
room holds nothing that others wait for, and a budget of one chunk a thread is enough to get on; where announced chunks
leave no room, the one that was used longest ago goes, and is decoded again when its turn comes.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Condition

import numpy as np

from data_catalog import InputError
from trainer.reads.readers import Samples

Key = int


@dataclass(slots=True)
class _Chunk:
    """A chunk on the shelf; without samples while a thread makes them.

    Attributes:
        samples: Decoded.
        memory: The bytes that they lie in; None where that is a mapped file.
        readers: Threads that copy from it right now.
    """

    samples: Samples | None = None
    memory: Samples | None = None
    readers: int = 0


class ChunkShelf:
    """Chunks by key.

    Attributes:
        budget_nbytes: Most bytes of decoded chunks at any time.
        taken_nbytes: Bytes taken from the system.
        peak_nbytes: Most that ever were.
    """

    def __init__(self, *, budget_nbytes: int) -> None:
        self.budget_nbytes = budget_nbytes
        self.taken_nbytes = self.peak_nbytes = 0
        self._uses: dict[Key, int] = {}
        self._needed: OrderedDict[Key, _Chunk] = OrderedDict()  # least recently used first, and so is the next
        self._idle: OrderedDict[Key, _Chunk] = OrderedDict()
        self._free: defaultdict[int, list[Samples]] = defaultdict(list)  # memory by size
        self._changed = Condition()

    def announce(self, uses: Iterable[tuple[Key, int]]) -> None:
        """Adds uses that are to come."""
        with self._changed:
            for key, count in uses:
                self._uses[key] = self._uses.get(key, 0) + count
                if key in self._idle:
                    self._needed[key] = self._idle.pop(key)

    def hold(self, key: Key) -> Samples | None:
        """A chunk's samples, kept until `let_go`; waits for whoever makes them.

        Returns:
            The samples; None where the caller has to make them, and then to `put` or to `withdraw` the chunk.
        """
        with self._changed:
            while True:
                chunk = self._needed.get(key) or self._idle.get(key)
                if chunk is None:
                    self._needed[key] = _Chunk()
                    return None
                if chunk.samples is not None:
                    chunk.readers += 1
                    (self._needed if key in self._needed else self._idle).move_to_end(key)
                    return chunk.samples
                self._changed.wait()

    def hold_if_there(self, key: Key) -> Samples | None:
        """A chunk's samples, kept until `let_go`; None where they are not there, whoever makes them."""
        if key not in self._needed and key not in self._idle:
            return None
        with self._changed:
            chunk = self._needed.get(key) or self._idle.get(key)
            if chunk is None or chunk.samples is None:
                return None
            chunk.readers += 1
            return chunk.samples

    def room(self, nbytes: int) -> Samples:
        """Memory for a chunk, once there is some: uint8, (nbytes,).

        Raises:
            InputError: If there never will be.
        """
        if nbytes > self.budget_nbytes:
            raise InputError(
                f"config.feed.resident_nbytes is {self.budget_nbytes}, and a chunk alone takes {nbytes} bytes: allow "
                "at least that for each thread."
            )
        with self._changed:
            while (memory := self._find_room(nbytes)) is None:
                self._changed.wait()
            return memory

    def put(self, key: Key, samples: Samples, *, memory: Samples | None) -> None:
        """Puts a chunk on the shelf, held by the caller.

        Args:
            key: Of the chunk.
            samples: Decoded.
            memory: From `room`; None where the samples lie in a mapped file.
        """
        with self._changed:
            chunk = self._needed[key]
            chunk.samples, chunk.memory, chunk.readers = samples, memory, 1
            self._changed.notify_all()

    def withdraw(self, key: Key, *, memory: Samples | None = None) -> None:
        """Says that a chunk was not made: whoever waits for it may try."""
        with self._changed:
            del self._needed[key]
            if memory is not None:
                self._free[memory.nbytes].append(memory)
            self._changed.notify_all()

    def let_go(self, key: Key) -> None:
        """Ends what `hold` or `put` began."""
        with self._changed:
            chunk = self._needed.get(key) or self._idle[key]
            chunk.readers -= 1
            if not chunk.readers:
                self._changed.notify_all()  # announced or not, it may go now for whoever waits for room
            self._settle(key)

    def uses(self, key: Key) -> int:
        """How many announced uses are to come."""
        return self._uses.get(key, 0)

    def end_use(self, key: Key, count: int = 1) -> None:
        """Takes some from the announced uses of a chunk."""
        with self._changed:
            left = self._uses.pop(key) - count
            if left:
                self._uses[key] = left
            self._settle(key)

    def _settle(self, key: Key) -> None:
        """Moves a chunk that nothing was announced for to where memory is taken from; forgets it if it has none."""
        chunk = self._needed.get(key)
        if chunk is None or chunk.samples is None or chunk.readers or key in self._uses:
            return
        del self._needed[key]
        if chunk.memory is not None:
            self._idle[key] = chunk
        self._changed.notify_all()

    def _find_room(self, nbytes: int) -> Samples | None:
        while True:
            if self._free[nbytes]:
                return self._free[nbytes].pop()
            if self.taken_nbytes + nbytes <= self.budget_nbytes:
                self.taken_nbytes += nbytes
                self.peak_nbytes = max(self.peak_nbytes, self.taken_nbytes)
                return np.empty(nbytes, dtype=np.uint8)
            if not (self._give_back() or self._evict(self._idle) or self._evict(self._needed)):
                return None

    def _give_back(self) -> bool:
        """Gives free memory of another size back to the system."""
        for memories in self._free.values():
            if memories:
                self.taken_nbytes -= memories.pop().nbytes
                return True
        return False

    def _evict(self, chunks: OrderedDict[Key, _Chunk]) -> bool:
        """Frees the memory of the chunk that was used longest ago, of those that nobody copies from."""
        for key, chunk in chunks.items():
            if chunk.memory is not None and not chunk.readers:
                self._free[chunk.memory.nbytes].append(chunk.memory)
                del chunks[key]
                return True
        return False
