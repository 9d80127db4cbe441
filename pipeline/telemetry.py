"""Where the time went: seconds in each stage of all shards, for the closing report and as JSON lines."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from data_catalog import InputError
from pipeline.store.ledger import STAGES, ShardRecord

MIB = 2**20


@dataclass
class Telemetry:
    """Adds up what tasks report; nothing grows with their number.

    Attributes:
        lines: Where one JSON line a shard goes; None keeps none.
        seconds: In each stage, over all shards and workers.
    """

    lines: TextIO | None = None
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    source_nbytes: int = 0
    stored_nbytes: int = 0
    shard_count: int = 0
    begun: float = field(default_factory=time.monotonic)

    def add(self, record: ShardRecord) -> None:
        """Takes one finished shard into account."""
        for stage, seconds in record.seconds.items():
            self.seconds[stage] += seconds
        self.source_nbytes += record.source_nbytes
        self.stored_nbytes += record.stored_nbytes
        self.shard_count += 1
        self._write({"event": "shard", **record.model_dump(mode="json", exclude={"headers", "fingerprint"})})

    def close(self) -> None:
        """Writes the closing line."""
        self._write(
            {
                "event": "end",
                "shards": self.shard_count,
                "elapsed_s": round(time.monotonic() - self.begun, 3),
                "seconds": self.seconds,
                "source_nbytes": self.source_nbytes,
                "stored_nbytes": self.stored_nbytes,
            }
        )

    def report(self, console: Console, *, thread_count: int) -> None:
        """Prints the share of each stage: the largest one is what a faster run has to begin with."""
        if not self.shard_count:
            return
        elapsed = time.monotonic() - self.begun
        total = sum(self.seconds.values()) or 1.0
        table = Table("stage", "seconds", "share", "MiB/s of source", box=None, pad_edge=False)
        for stage, seconds in self.seconds.items():
            rate = f"{self.source_nbytes / MIB / seconds:.0f}" if seconds else "-"
            table.add_row(stage, f"{seconds:.1f}", f"{seconds / total:.0%}", rate)
        console.print(table)
        console.print(
            f"{self.shard_count} shards in {elapsed:.1f} s on {thread_count} threads: "
            f"{self.source_nbytes / MIB / elapsed:.0f} MiB/s read, "
            f"{self.stored_nbytes / MIB / elapsed:.0f} MiB/s written"
        )

    def _write(self, event: dict[str, object]) -> None:
        if self.lines is not None:
            self.lines.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
            self.lines.flush()


def open_lines(path: Path) -> TextIO:
    """A file to append JSON lines to.

    Raises:
        InputError: If it cannot be written.
    """
    try:
        return open(path, "a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another --telemetry.") from None
