"""The shards of a store that are still to be written: from wherever the ledger is to where it is complete."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from distributed import Client

from data_catalog import Lease, WorkError
from pipeline.plan.chunking import ChunkPlan
from pipeline.store.ledger import Ledger, Shard
from pipeline.telemetry import Telemetry
from pipeline.work.engine import Outcome, run_windowed
from pipeline.work.progress import CONSOLE, progress_bar

Report = Any
"""What the task of a shard returns."""


@dataclass(frozen=True)
class RunConduct:
    """How shards are gone through, which does not change what comes out.

    Attributes:
        retry_failed: Whether shards in quarantine are tried again.
        allowed_failures: How many shards may go into quarantine before the run stops.
        telemetry: Adds up where the time goes.
    """

    retry_failed: bool = False
    allowed_failures: int = 10
    telemetry: Telemetry = field(default_factory=Telemetry)


class ShardRun:
    """Writes the shards of one store, keeps its ledger, and puts into quarantine what fails."""

    def __init__(self, url: str, *, verb: str, name: str, client: Client, lease: Lease, conduct: RunConduct) -> None:
        """Begins with nothing.

        Args:
            url: The store.
            verb: What is done, for people to read: ``convert``.
            name: Of the dataset.
            client: Where the work is done.
            lease: On the store.
            conduct: How to go about it.
        """
        self.ledger = Ledger(url)
        self._verb = verb
        self._name = name
        self._client = client
        self._lease = lease
        self._conduct = conduct

    def reports(
        self,
        task: Callable[[Any, Shard], Report],
        job: Any,
        chunks: ChunkPlan,
        *,
        nbytes: int,
        may_trust_ledger: bool = True,
    ) -> Generator[Report]:
        """Runs the tasks of all shards that are neither complete nor in quarantine.

        Args:
            task: Writes one shard, and enters it in the ledger; a module-level function.
            job: What all tasks share.
            chunks: How the store is cut into shards.
            nbytes: About what is read or written in all, for the progress bar.
            may_trust_ledger: Whether shards that the ledger knows need not be looked at again.

        Yields:
            What each task returned, as they are done.

        Raises:
            WorkError: If more shards fail than are allowed to, or any is in quarantine at the end.
        """
        done, waiting = self._progress(chunks, may_trust_ledger=may_trust_ledger)
        if done:
            CONSOLE.print(f"going on: {done} of {chunks.shard_count} shards are there", highlight=False)
        with progress_bar(f"{self._verb} {self._name}", total_nbytes=nbytes, total_items=chunks.shard_count) as advance:
            advance(nbytes * done // chunks.shard_count, items=done)
            for outcome in run_windowed(self._client, task, waiting, shared=job):
                self._lease.check()
                if outcome.failure is None:
                    yield outcome.result()
                else:
                    self._give_up(outcome)
                advance(nbytes // chunks.shard_count)
        if failures := list(self.ledger.failures()):
            raise WorkError(
                f"{len(failures)} of {chunks.shard_count} shards could not be written and are in quarantine, the first "
                f"because {failures[0].message}. `python -m pipeline status {self._name}` lists them; "
                "the same command with --retry-failed tries them again."
            )

    def _give_up(self, outcome: Outcome[Shard]) -> None:
        assert outcome.failure is not None
        self.ledger.give_up(outcome.item, outcome.failure)
        failed = sum(1 for _ in self.ledger.failures())
        if failed > self._conduct.allowed_failures:
            raise WorkError(
                f"{failed} shards could not be written, more than --allowed-failures "
                f"{self._conduct.allowed_failures}, the last one because {outcome.failure.message}. What is done is "
                "kept: the same command with --retry-failed goes on."
            )

    def _progress(self, chunks: ChunkPlan, *, may_trust_ledger: bool) -> tuple[int, Iterator[Shard]]:
        """How many shards are complete, and which are to be written now."""
        settled = np.zeros(chunks.shard_grid, np.bool_)
        if may_trust_ledger:
            for shard in self.ledger.completed():
                settled[shard] = True
        done = int(settled.sum())
        for failure in list(self.ledger.failures()):
            if self._conduct.retry_failed:
                self.ledger.try_again(failure.shard)
            else:
                settled[failure.shard] = True
        return done, (shard for shard in chunks.shards() if not settled[shard])
