"""Batches of examples: windows as a task turns them into what a network learns from."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import local

import numpy as np
import torch

from trainer.audit import AuditFile
from trainer.config import FeedConfig
from trainer.faulty_windows import FaultPolicy
from trainer.feed import Feed, look_ahead_batches
from trainer.grouping import Grouping
from trainer.memory import ReusedMemory
from trainer.order import Order
from trainer.randomness import Purpose, stream
from trainer.ranks import Ranks
from trainer.tasks.task import Batch, Example, Task
from trainer.window_reader import Request, Samples, WindowReader
from trainer.windows import Extents


class ExampleMaker:
    """Makes batches of examples; each example is a function of the window, the epoch and the seed.

    Attributes:
        reader: Reads samples.
        task: Turns them into examples.
    """

    def __init__(
        self,
        reader: WindowReader,
        task: Task,
        *,
        window: Extents,
        network_axes: tuple[int, ...],
        seed: int,
        device: torch.device,
    ) -> None:
        """Asks the task what an example looks like.

        Args:
            reader: Reads samples.
            task: Turns them into examples.
            window: Extents on all dimensions of the input.
            network_axes: Dimensions that the network sees.
            seed: Of the run.
            device: Where batches go.
        """
        self.reader, self.task = reader, task
        self._window, self._seed = window, seed
        self._unseen = tuple(axis for axis in range(len(window)) if axis not in network_axes)
        self._memory = ReusedMemory(pinned=device.type == "cuda")
        self._scratch = local()
        nothing = {name: np.zeros_like(samples) for name, samples in reader.empty(window).items()}
        at_origin = reader.requests(np.zeros((1, len(window)), dtype=np.int64), np.array([window]))[0]
        self._like = self._example(nothing, window=0, epoch=0, request=at_origin)

    @property
    def window_nbytes(self) -> int:
        """Bytes of one window in a batch."""
        return sum(part.nbytes for part in self._like)

    def begin(self, windows: int) -> Batch:
        """A batch to be filled, in main memory."""
        like = (torch.from_numpy(np.asarray(part)) for part in self._like)
        return Batch(*(self._memory.tensor((windows, *part.shape), dtype=part.dtype) for part in like))

    def fill(self, batch: Batch, place: int, *, window: int, epoch: int, request: Request, announced: bool) -> None:
        """Reads a window and puts its example in its place.

        Raises:
            ChunkFaultError: If a chunk cannot be used.
        """
        samples = self._own_samples()
        self.reader.read(request, into=samples, announced=announced)
        example = self._example(samples, window=window, epoch=epoch, request=request)
        for tensor, part in zip(batch, example, strict=True):
            np.copyto(tensor[place].numpy(), part)

    def leave_empty(self, batch: Batch, place: int) -> None:
        """Zeros, weights included."""
        for tensor in batch:
            tensor[place].zero_()

    def _own_samples(self) -> dict[str, Samples]:
        """Memory of this thread for a window's samples."""
        if not hasattr(self._scratch, "samples"):
            self._scratch.samples = self.reader.empty(self._window)
        samples: dict[str, Samples] = self._scratch.samples
        return samples

    def _example(self, samples: dict[str, Samples], *, window: int, epoch: int, request: Request) -> Example:
        seen = self.reader.without(self._unseen, window=self.reader.window(samples, request=request))
        return self.task.example(seen, generator=stream(self._seed, epoch, window, purpose=Purpose.EXAMPLE))


@dataclass(frozen=True)
class Examples:
    """The examples of a split, to be fed.

    Attributes:
        maker: Makes them.
        order: Which ones each step takes.
        grouping: What the order's groups hold, and how often they read.
        config: How they are read.
        ranks: Which part of them is this process's.
    """

    maker: ExampleMaker
    order: Order
    grouping: Grouping
    config: FeedConfig
    ranks: Ranks

    def feed(self, steps: range, *, faults: FaultPolicy, audit: AuditFile | None = None) -> Feed[Batch]:
        """Starts reading the batches of some steps, in main memory.

        Args:
            steps: Of the run.
            faults: What to do about chunks that cannot be used.
            audit: Takes down what is fed.

        Raises:
            InputError: If there is no room for a batch.
        """
        windows = math.ceil(self.order.batch_size / self.ranks.world_size)
        look_ahead = look_ahead_batches(self.config, batch_nbytes=windows * self.maker.window_nbytes)
        return Feed(
            self.maker,
            self.order,
            ranks=self.ranks,
            steps=steps,
            threads=self.config.threads,
            look_ahead=look_ahead,
            faults=faults,
            audit=audit,
        )


def on_device(batches: Iterable[Batch], *, device: torch.device) -> Iterator[Batch]:
    """Copies batches to a device; on a GPU each while the one before it is worked on."""
    if device.type == "cpu":
        yield from batches
        return
    stream_of_copies, before = torch.cuda.Stream(device), None  # type: ignore[no-untyped-call]
    for batch in batches:
        with torch.cuda.stream(stream_of_copies):
            # PyTorch's pinned allocator uses memory again only when the copies from it are done.
            copy = Batch(*(part.to(device, non_blocking=True) for part in batch))
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()
        if before is not None:
            yield _arrived(*before)
        before = copy, arrived
    if before is not None:
        yield _arrived(*before)


def _arrived(batch: Batch, event: torch.cuda.Event) -> Batch:
    present = torch.cuda.current_stream()
    present.wait_event(event)
    for part in batch:
        part.record_stream(present)
    return batch
