"""Says which rank the others wait for, and what it is doing, where a run would hang.

Ranks meet in exchanges; where one does not come, the others wait for it, in silence. Each tells a store that all of
them reach, every few seconds, what it is at. Whoever has waited too long reads what the others have told, says which of
them is late, and ends.
"""

import json
import os
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import torch.distributed as dist
from torch._C._distributed_c10d import Store

from trainer.ranks import Ranks

TELL_S = 2.0
"""Between two words of a rank; one that says nothing for three times as long is not well."""

EXIT_LATE = 1

Word = tuple[str, bool, float, int]
"""What a rank is at, whether it meets others in it, for how many seconds it has been, and the number of the word."""


class Watchdog:
    """Watches for as long as a ``with`` lasts; does nothing for a run of one."""

    def __init__(self, ranks: Ranks, *, store: Store | None, patience_s: float) -> None:
        """Watches nothing yet.

        Args:
            ranks: The processes of the run.
            store: That all of them reach; None for a run of one.
            patience_s: How long a rank may wait for the others.
        """
        self._ranks, self._store, self._patience_s = ranks, store, patience_s
        self._what, self._meets, self._since_s = "begins", False, time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        if self._store is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._store is not None:
            self._thread.join()

    def is_at(self, what: str, *, meets: bool) -> None:
        """Takes note of what this rank begins.

        Args:
            what: As users read it after "rank 3", e.g. ``reads the batch of step 17``.
            meets: Whether it cannot get on without the others.
        """
        self._what, self._meets, self._since_s = what, meets, time.monotonic()

    def _watch(self) -> None:
        assert self._store is not None
        number = 0
        while not self._ended.wait(TELL_S):
            number += 1
            with suppress(dist.DistError):  # the store goes with the first rank that ends: others see that themselves
                self._store.set(f"watchdog/{self._ranks.rank}", json.dumps([*self._word(), number]))
                if self._meets and time.monotonic() - self._since_s > self._patience_s:
                    self._tell_and_end()

    def _word(self) -> tuple[str, bool, float]:
        return self._what, self._meets, time.monotonic() - self._since_s

    def _tell_and_end(self) -> None:
        others = [rank for rank in range(self._ranks.world_size) if rank != self._ranks.rank]
        before = {rank: self._heard(rank) for rank in others}
        if self._ended.wait(3 * TELL_S):
            return
        late = [line for rank in others if (line := self._late(rank, before[rank]))]
        waited_s = time.monotonic() - self._since_s
        if waited_s < self._patience_s or not late:  # it has come meanwhile; or all are at the same long piece of work
            return
        print(
            f"error: rank {self._ranks.rank} {self._what}, and has waited {waited_s:.0f} s for others: "
            f"{'; '.join(late)}. Go on with --resume auto.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_LATE)  # the main thread hangs in an exchange, and no exception would reach it

    def _heard(self, rank: int) -> Word | None:
        name = f"watchdog/{rank}"
        assert self._store is not None
        if not self._store.check([name]):
            return None
        what, meets, seconds, number = json.loads(self._store.get(name))
        return str(what), bool(meets), float(seconds), int(number)

    def _late(self, rank: int, before: Word | None) -> str | None:
        """What is to be said of a rank that the others wait for."""
        word = self._heard(rank)
        if word is None:
            return f"rank {rank} has not said a word"
        what, meets, seconds, number = word
        if before is not None and number == before[3]:
            return f"rank {rank} is silent; at last it {what}"
        if meets and what == self._what:
            return None
        return f"rank {rank} {what}, for {seconds:.0f} s"
