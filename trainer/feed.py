"""Batches read ahead by threads: windows in the order's sequence, examples in the task's form, tensors on the device.

Threads, never processes: a forked child inherits locks of codec libraries, and a copy of every cache. Reader threads
copy and decode outside the interpreter lock; no more than `FeedConfig.look_ahead_batches` are ever under way.
"""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from trainer.config import FeedConfig
from trainer.order import PADDING, Order, global_batch, share_of_rank
from trainer.randomness import Purpose, stream
from trainer.ranks import Ranks
from trainer.tasks.task import Batch, Example, Task
from trainer.window_reader import WindowReader, box_at, sections


@dataclass(frozen=True)
class ExampleSource:
    """Makes the example of a window: a function of the window, the epoch and the seed.

    Attributes:
        reader: Reads samples.
        order: Says where windows lie.
        task: Turns them into examples.
        network_axes: Dimensions that the network sees.
        seed: Of the run.
    """

    reader: WindowReader
    order: Order
    task: Task
    network_axes: tuple[int, ...]
    seed: int

    def example(self, window: int, *, epoch: int) -> Example:
        """The example of one window; one that weighs nothing for `PADDING`."""
        plan = self.order.plan
        number = 0 if window == PADDING else window
        box = box_at(plan.origin(number), extents=plan.window)
        samples = next(sections(self.reader.read(box), axes=self.network_axes))
        generator = stream(self.seed, epoch, number, purpose=Purpose.EXAMPLE)
        example = self.task.example(samples, generator=generator)
        return example if window != PADDING else example._replace(weight=np.zeros_like(example.weight))


class Feed:
    """An iterator over the batches of one rank; close it, or use it in a ``with``.

    Attributes:
        wait_s: Seconds that the consumer has waited for batches so far.
    """

    def __init__(
        self, source: ExampleSource, *, config: FeedConfig, batch_size: int, ranks: Ranks, steps: range
    ) -> None:
        """Starts reading.

        Args:
            source: Makes examples.
            config: Threads and look-ahead.
            batch_size: Windows of a step over all ranks.
            ranks: Which part of it is this process's.
            steps: Steps of the run to feed.
        """
        self.wait_s = 0.0
        self._source = source
        self._batch_size = batch_size
        self._ranks = ranks
        self._steps = iter(steps)
        self._executor = ThreadPoolExecutor(config.threads, thread_name_prefix="feed")
        self._under_way: deque[list[Future[Example]]] = deque()
        for _ in range(config.look_ahead_batches):
            self._begin_next()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if not self._under_way:
            raise StopIteration
        started = time.perf_counter()
        examples = [future.result() for future in self._under_way.popleft()]
        self._begin_next()
        batch = _to_device(_collate(examples), device=self._ranks.device)
        self.wait_s += time.perf_counter() - started
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops reading; waits for the windows that are being read."""
        self._under_way.clear()
        self._executor.shutdown(cancel_futures=True)

    def _begin_next(self) -> None:
        step = next(self._steps, None)
        if step is None:
            return
        epoch, windows = global_batch(self._source.order, step=step, batch_size=self._batch_size)
        ours = share_of_rank(windows, rank=self._ranks.rank, world_size=self._ranks.world_size)
        self._under_way.append(
            [self._executor.submit(self._source.example, int(window), epoch=epoch) for window in ours]
        )


def _collate(examples: list[Example]) -> Batch:
    return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*examples, strict=True)))


def _to_device(batch: Batch, *, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    # PyTorch's pinned allocator hands a page out again only when the copies from it are done.
    return Batch(*(part.pin_memory().to(device, non_blocking=True) for part in batch))
