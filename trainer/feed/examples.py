"""Batches of examples: windows as a task turns them into what a network learns from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import local

import numpy as np
import torch

from data_catalog import InputError
from trainer.config import AugmentConfig
from trainer.feed.augment import augmented
from trainer.feed.feed import Key
from trainer.feed.memory import ReusedMemory
from trainer.feed.window_reader import Request, Samples, WindowReader
from trainer.randomness import Purpose, stream
from trainer.tasks.task import Batch, Example, Task

NO_CHANGE = AugmentConfig()


class ExampleMaker:
    """Makes batches of examples; each example is a function of the window, its key and the seed.

    Attributes:
        task: Turns windows into examples.
    """

    def __init__(
        self,
        readers: Sequence[WindowReader],
        task: Task,
        *,
        dims: tuple[str, ...],
        window: Mapping[str, int],
        seed: int,
        device: torch.device,
        augment: AugmentConfig = NO_CHANGE,
    ) -> None:
        """Asks the task what an example looks like.

        Args:
            readers: Read the windows that will come, one for each dataset.
            task: Turns them into examples.
            dims: All dimensions of the input.
            window: Extents of a window by dimension; the network does not see those that are not named.
            seed: Of the run.
            device: Where batches go.
            augment: How windows are varied; not at all by default.

        Raises:
            InputError: If examples of different datasets would not go into one batch.
        """
        self.task = task
        self._window, self._seed, self._augment = tuple(window.get(dim, 1) for dim in dims), seed, augment
        self._dims = tuple(dim for dim in dims if dim in window)
        self._unseen = tuple(axis for axis, dim in enumerate(dims) if dim not in window)
        self._memory = ReusedMemory(pinned=device.type == "cuda")
        self._scratch = local()
        self._like, *others = map(self._example_of_nothing, readers)
        for other in others:
            for one, another in zip(self._like, other, strict=True):
                if one.shape != another.shape or one.dtype != another.dtype:
                    raise InputError(
                        f"config.more_datasets: examples of the main dataset have {one.shape} {one.dtype}, those of "
                        f"another one {another.shape} {another.dtype}; they cannot go into one batch."
                    )

    @property
    def window_nbytes(self) -> int:
        """Bytes of one window in a batch."""
        return sum(part.nbytes for part in self._like)

    def begin(self, windows: int) -> tuple[Batch, list[Samples]]:
        """A batch to be filled, in main memory, and the arrays of its parts."""
        parts = [self._memory.tensor((windows, *part.shape), dtype=part.dtype) for part in self._like]
        return Batch(*(tensor for tensor, _ in parts)), [array for _, array in parts]

    def fill(self, into: Sequence[Samples], *, key: Key, request: Request, announced: bool) -> None:
        """Reads a window and puts its example into its place.

        Raises:
            ChunkFaultError: If a chunk cannot be used.
        """
        samples = self._own_samples(request.reader)
        request.read(into=samples, announced=announced)
        example = self._example(samples, key=key, request=request)
        for array, part in zip(into, example, strict=True):
            np.copyto(array, part)

    def leave_empty(self, into: Sequence[Samples]) -> None:
        """Puts an example of weight 0 into a place."""
        for array in into:
            array[...] = 0

    def _example_of_nothing(self, reader: WindowReader) -> Example:
        samples = {name: np.zeros_like(part) for name, part in reader.empty(self._window).items()}
        (at_origin,) = reader.requests(np.zeros((1, len(self._window)), dtype=np.int64), np.array([self._window]))
        return self._example(samples, key=(0, 0), request=at_origin)

    def _own_samples(self, reader: WindowReader) -> dict[str, Samples]:
        """Memory of this thread for a window's samples."""
        if not hasattr(self._scratch, "of"):
            self._scratch.of = {}
        kept: dict[int, dict[str, Samples]] = self._scratch.of  # by dataset: their labels may be of several types
        if id(reader) not in kept:
            kept[id(reader)] = reader.empty(self._window)
        return kept[id(reader)]

    def _example(self, samples: dict[str, Samples], *, key: Key, request: Request) -> Example:
        reader = request.reader
        seen = reader.without(self._unseen, window=reader.window(samples, ranges=request.ranges))
        if self._augment != NO_CHANGE:
            seen = augmented(
                seen,
                config=self._augment,
                dims=self._dims,
                label_axes=reader.label_axes(self._unseen),
                normalisation=reader.normalisation,
                generator=stream(self._seed, *key, purpose=Purpose.AUGMENT),
            )
        return self.task.example(seen, generator=stream(self._seed, *key, purpose=Purpose.EXAMPLE))


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
