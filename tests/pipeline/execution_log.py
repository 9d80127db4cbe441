"""A Dask worker that tells which shards it begins: `DASK_DISTRIBUTED__WORKER__PRELOAD` names this file.

One line for each task that starts to run goes into the file that `EXECUTION_LOG` names, so that tests can count how
often the work was done, whatever became of those who did it.
"""

import os
from typing import Any

from distributed import Worker, WorkerPlugin

from pipeline.shards.write import write_shard


class ExecutionLog(WorkerPlugin):
    """Appends a line when a shard's task begins."""

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        if finish == "executing" and str(key).startswith(write_shard.__name__):
            with open(os.environ["EXECUTION_LOG"], "a") as log:
                log.write(f"{key}\n")


async def dask_setup(worker: Worker) -> None:
    await worker.plugin_add(ExecutionLog())
