"""What becomes of windows whose chunks cannot be used: steps stay equal on all ranks, and nothing is passed over in
silence."""

import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from data_catalog import InputError
from trainer.config import FaultConfig
from trainer.json_lines import JsonLines
from trainer.plan.windows import Indices
from trainer.randomness import Purpose, stream
from trainer.reads.faults import ChunkFaultError

log = logging.getLogger(__name__)

MOST_SUBSTITUTES = 8
"""Windows that are tried in place of one; beyond, its place stays empty."""


class FaultPolicy:
    """Stops, or leaves windows out and writes them down.

    Attributes:
        count: Windows that could not be read so far.
    """

    def __init__(self, config: FaultConfig, *, seed: int, record: Path | None, split: str | None = None) -> None:
        """Writes nothing yet.

        Args:
            config: What to do, and how often at most.
            seed: Of the run.
            record: JSON lines, one for each window; None keeps none.
            split: That is scored; None where windows are learned from.
        """
        self.count = 0
        self._config, self._seed, self._split = config, seed, split
        self._lines = None if record is None else JsonLines(record)
        self._warned: set[str] = set()
        self._lock = Lock()

    def record(self, fault: ChunkFaultError, *, step: int, window: int) -> None:
        """Takes note of a window that cannot be read.

        Raises:
            ChunkFaultError: The same, where the run is to stop.
            InputError: If there are more than allowed.
        """
        if self._config.policy == "stop":
            raise fault
        with self._lock:
            self.count += 1
            if self.count > self._config.limit:
                raise InputError(
                    f"more than {self._config.limit} windows could not be read (config.feed.faults.limit), the "
                    f"last one since {fault}"
                ) from fault
            if fault.place not in self._warned:  # once for each chunk: many windows share one
                self._warned.add(fault.place)
                log.warning("windows are left out, the first one at step %d: %s", step, fault)
            if self._lines:
                self._lines.write(
                    {
                        "step": step,
                        "window": window,
                        "split": self._split,
                        "fault": fault.fault,
                        "chunk": fault.place,
                        "policy": self._config.policy,
                    }
                )

    def substitutes(self, window: int, *, epoch: int, of: Indices) -> Iterator[int]:
        """Windows to try in place of one; the same ones whatever the rank."""
        if self._config.policy == "substitute":
            generator = stream(self._seed, epoch, window, purpose=Purpose.SUBSTITUTES)
            yield from generator.choice(of, size=MOST_SUBSTITUTES).tolist()
