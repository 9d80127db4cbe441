"""Checkpoints written by a thread, while the next steps are taken."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from data_catalog import WorkError
from trainer.checkpoint import RunState, prune, write_checkpoint


class CheckpointWriter:
    """Writes checkpoints one after the other; use it in a ``with``, which ends when the last one is written."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        """Writes nothing yet.

        Args:
            folder: ``RUN/checkpoints``.
            keep: How many of the last ones stay, beside the best.
        """
        self._folder, self._keep = folder, keep
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown()
        if error is None:
            self._finish()

    def write(self, state: RunState, tensors: Mapping[str, dict[str, Tensor]]) -> None:
        """Begins to write a checkpoint; waits for the one before.

        Args:
            state: Where the run stands.
            tensors: Which nobody changes any more.

        Raises:
            WorkError: If the one before could not be written.
        """
        self._finish()
        self._pending = self._thread.submit(self._write, state, tensors)

    def _write(self, state: RunState, tensors: Mapping[str, dict[str, Tensor]]) -> None:
        write_checkpoint(self._folder, state=state, tensors=tensors)
        prune(self._folder, state=state, keep=self._keep)

    def _finish(self) -> None:
        pending, self._pending = self._pending, None
        try:
            if pending is not None:
                pending.result()
        except OSError as error:
            raise WorkError(
                f"a checkpoint cannot be written to {self._folder} ({error.strerror}): make room, and go on with "
                "--resume auto from the one before it."
            ) from error
