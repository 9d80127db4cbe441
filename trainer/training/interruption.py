"""Requests to end, as schedulers send them before they take a machine away: heard by one rank, heeded by all."""

import os
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Self

import torch
import torch.distributed as dist

from trainer.ranks import Ranks

LAUNCHED = "TORCHELASTIC_RUN_ID"
"""In the environment of processes that torchrun started."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

AGAIN_S = 10.0
"""A signal so soon after the first one is the same request: from the scheduler, and passed on by torchrun."""


class Interruption:
    """Catches `SIGNALS` for as long as a ``with`` lasts; a second request does what it would have done without."""

    def __init__(self, ranks: Ranks) -> None:
        """Catches nothing yet.

        Args:
            ranks: All of them ask at the same steps.
        """
        self._device, self._heard, self._heard_s = ranks.device, False, 0.0
        self._launcher = os.getppid() if LAUNCHED in os.environ else None
        self._asked: tuple[torch.Tensor, dist.Work | None] | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask(self) -> None:
        """Asks all ranks whether one of them was told to end; goes on meanwhile.

        Raises:
            SystemExit: If torchrun has been killed: whoever starts the run again shall find nobody at work.
        """
        if self._launcher is not None and os.getppid() != self._launcher:
            sys.exit("error: torchrun has ended, and so does this rank.")
        answer = torch.tensor([self._heard], dtype=torch.uint8, device=self._device)
        work = dist.all_reduce(answer, op=dist.ReduceOp.MAX, async_op=True) if dist.is_initialized() else None
        self._asked = answer, work

    def agreed(self) -> bool:
        """The answer, the same on all ranks."""
        assert self._asked is not None, "ask first"
        answer, work = self._asked
        if work is not None:
            work.wait()
        return bool(answer)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if not self._heard:
            self._heard, self._heard_s = True, now_s
        elif now_s - self._heard_s > AGAIN_S:
            signal.signal(number, self._before[signal.Signals(number)])
            signal.raise_signal(number)
