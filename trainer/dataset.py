"""Windows of a prepared dataset for a training loop of one's own.

    from trainer import WindowDataset

    for batch in WindowDataset("survey", window={"crossline": 128, "time": 128}, batch_size=16, label="salt"):
        ...  # batch["input"], (16, 128, 128) float32; batch["label"], uint8; batch["live"]; batch["window"]

Under torchrun each rank gets its share of every batch. It reads ahead by threads of its own: give it to no DataLoader,
or to one with ``batch_size=None`` and no workers.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from data_catalog import Catalog, InputError
from trainer.config import FeedConfig, OrderConfig, SelectionConfig
from trainer.content import select_windows
from trainer.faulty_windows import FaultPolicy
from trainer.feed import Feed, look_ahead_batches
from trainer.grouping import Grouping, choose_grouping
from trainer.memory import ReusedMemory
from trainer.normalise import normalisation_from_manifest
from trainer.order import Order, check_share
from trainer.ranks import Ranks
from trainer.splits import half, plan_split
from trainer.store import Dataset
from trainer.window_reader import INPUT, LIVE, Request, Samples, WindowReader
from trainer.windows import Edges, Extents

STATE_VERSION = 1

NO_WORKERS = (
    "WindowDataset reads by threads of its own: give it to a DataLoader with num_workers=0 and batch_size=None, or to "
    "none at all."
)

Windows = dict[str, Tensor]


class WindowDataset(IterableDataset[Windows]):
    """Batches of windows; iterating over it is one epoch, and the next iteration the next one.

    A batch is a dictionary of tensors in main memory:

    - ``input``, (N, X) float32 (as stored with ``normalise=False``): normalised by the training split, 0 where no trace
      was recorded, or where samples are NaN or infinite;
    - ``live``, (N, T) bool: which traces were recorded; T is X without the sample axis;
    - ``label``, as stored, where a label was named: on X, or whole along dimensions that the input has not;
    - ``window``, (N,) int64: numbers of windows in the plan; -1 for a place that is empty, all of whose samples are 0.

    Attributes:
        grouping: The groups that were chosen, what they hold and how often they read.
        order: Which windows each step takes.
    """

    def __init__(  # noqa: PLR0913 (all by name)
        self,
        name: str,
        *,
        window: Mapping[str, int],
        batch_size: int,
        split: str = "train",
        variable: str | None = None,
        label: str | None = None,
        stride: Mapping[str, int] | None = None,
        edges: Edges | str = Edges.SHIFT,
        select: SelectionConfig = SelectionConfig(),  # noqa: B008 (frozen, as the next ones are)
        shuffle: bool = True,
        seed: int = 0,
        normalise: bool = True,
        ranks: Ranks | None = None,
        order: OrderConfig = OrderConfig(),  # noqa: B008
        feed: FeedConfig = FeedConfig(),  # noqa: B008
        catalog: Path | str | None = None,
    ) -> None:
        """Opens a dataset and plans its windows; reads no sample.

        Args:
            name: In the catalog.
            window: Samples of a window by dimension; a dimension that is not named is one sample wide, and left out.
            batch_size: Windows of a batch over all ranks.
            split: Which one.
            variable: What to read; the main variable by default.
            label: Variable to read along: ``VARIABLE``, or ``ID/VARIABLE`` of the derived group ID.
            stride: Samples between neighbouring windows by dimension; half a window by default.
            edges: What becomes of the rest, where windows and strides do not come out even: `Edges`.
            select: Which windows are taken, and how often.
            shuffle: Whether to shuffle; else windows come in the order of the plan, as for evaluation.
            seed: Of the order.
            normalise: Whether to normalise the input; else it comes as it is stored.
            ranks: The processes that share batches; those that torchrun started by default.
            order: How windows are mixed.
            feed: How they are read.
            catalog: Its folder; ``$TRACEMILL_CATALOG`` or the default one.

        Raises:
            InputError: If something does not fit, saying what was found, expected, and what to do.
        """
        super().__init__()
        dataset = Dataset(name, catalog=Catalog(catalog))
        stored = dataset.input_variable(variable)
        labels = None if label is None else dataset.variable(label)
        dims = stored.variable.dims
        plan = plan_split(
            dataset, stored, split, window=window, stride=half(window) | dict(stride or {}), edges=Edges(edges)
        )
        plan = select_windows(plan, select, dataset=dataset, stored=stored, label=labels)
        normalisation = normalisation_from_manifest(dataset, stored, boxes=dataset.split(split, dims=dims))
        reader = WindowReader.open(
            dataset,
            stored=stored,
            label=labels,
            normalisation=normalisation,
            budget_nbytes=feed.resident_nbytes,
            cache=feed.cache,
        )
        self.grouping: Grouping = choose_grouping(
            plan,
            reader.grids(len(dims)),
            batch_size=batch_size,
            ranks=order.ranks,
            threads=feed.threads,
            budget_nbytes=feed.resident_nbytes,
            lanes=order.lanes if shuffle else 1,
        )
        self.order = Order(self.grouping.groups, batch_size, self.grouping.lanes, seed if shuffle else None)
        self.reader = reader
        self._ranks = ranks or _ranks_of_torchrun()
        check_share(batch_size, world_size=self._ranks.world_size)
        unseen = tuple(axis for axis, dim in enumerate(dims) if dim not in window)
        self._maker = WindowMaker(reader, window=plan.window, unseen=unseen, normalise=normalise)
        self._seed, self._config = seed, feed
        self._epoch = self._place = 0
        share = -(-batch_size // self._ranks.world_size)
        self._look_ahead = look_ahead_batches(feed, batch_nbytes=share * self._maker.window_nbytes)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self.order.steps_per_epoch

    def __iter__(self) -> Iterator[Windows]:
        """The rest of the epoch."""
        if get_worker_info() is not None:
            raise InputError(NO_WORKERS)
        steps = range(self._epoch * len(self) + self._place, (self._epoch + 1) * len(self))
        with self.feed(steps) as feed:
            for step in steps:
                windows, batch = feed.next_step()
                self._epoch, self._place = divmod(step + 1, len(self))
                yield batch | {"window": torch.from_numpy(windows)}

    def __getstate__(self) -> None:
        """Refuses to be copied to a worker process."""
        raise InputError(NO_WORKERS)

    def feed(self, steps: range) -> Feed[Windows]:
        """Reads some steps, counted over all epochs, whatever the state."""
        faults = FaultPolicy(self._config.faults, seed=self._seed, record=None)
        return Feed(
            self._maker,
            self.order,
            ranks=self._ranks,
            steps=steps,
            threads=self._config.threads,
            look_ahead=self._look_ahead,
            faults=faults,
        )

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of an epoch."""
        self._epoch, self._place = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands: small, and the same on all ranks."""
        return {
            "version": STATE_VERSION,
            "seed": self._seed,
            "epoch": self._epoch,
            "samples_seen": self._place * self.order.batch_size,
            "plan": self.order.digest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where a state was taken, on any number of ranks.

        Raises:
            InputError: If it is of another version, or of other windows or another order.
        """
        if state.get("version") != STATE_VERSION:
            raise InputError(f"a state of version {state.get('version')!r}, expected {STATE_VERSION}.")
        if state["plan"] != self.order.digest:
            raise InputError(
                "the state is of other windows or of another order: dataset, split, window, stride, edges, select, "
                "batch_size, seed, or the memory and lanes that groups were made for have changed. Set them back."
            )
        self._epoch, self._place = int(state["epoch"]), int(state["samples_seen"]) // self.order.batch_size


class WindowMaker:
    """Makes batches of windows as `WindowDataset` describes them, each sample copied once.

    Attributes:
        reader: Reads samples.
    """

    def __init__(self, reader: WindowReader, *, window: Extents, unseen: tuple[int, ...], normalise: bool) -> None:
        """Reads nothing yet.

        Args:
            reader: Reads samples.
            window: Extents on all dimensions of the input.
            unseen: Dimensions that are left out.
            normalise: Whether to normalise the input.
        """
        self.reader = reader
        self._normalise = normalise
        self._extents = {name: part.extents(window) for name, part in reader.parts.items()}
        self._shapes = {
            name: tuple(n for n, axis in zip(self._extents[name], part.axes, strict=True) if axis not in unseen)
            for name, part in reader.parts.items()
        }
        self._dtypes = {name: torch.from_numpy(samples).dtype for name, samples in reader.empty(window).items()}
        self._memory = ReusedMemory()

    @property
    def window_nbytes(self) -> int:
        """Bytes of one window in a batch."""
        return sum(int(np.prod(shape)) * self._dtypes[name].itemsize for name, shape in self._shapes.items())

    def begin(self, windows: int) -> Windows:
        """A batch to be filled."""
        return {
            name: self._memory.tensor((windows, *shape), dtype=self._dtypes[name])
            for name, shape in self._shapes.items()
        }

    def fill(self, batch: Windows, place: int, *, window: int, epoch: int, request: Request, announced: bool) -> None:
        """Reads a window straight into its place."""
        into = {name: tensor[place].numpy().reshape(self._extents[name]) for name, tensor in batch.items()}
        self.reader.read(request, into=into, announced=announced)
        if self._normalise:
            self._normalise_in_place(into, request=request)

    def leave_empty(self, batch: Windows, place: int) -> None:
        """Zeros."""
        for tensor in batch.values():
            tensor[place].zero_()

    def _normalise_in_place(self, samples: Mapping[str, Samples], *, request: Request) -> None:
        inside = tuple(slice(end - first) for first, end in zip(*request[INPUT], strict=True))
        amplitude, normalisation = samples[INPUT][inside], self.reader.normalisation  # what lies beyond stays 0
        amplitude -= np.float32(normalisation.mean)
        amplitude /= np.float32(normalisation.standard_deviation)
        if LIVE in samples and not (live := samples[LIVE][inside[:-1]]).all():
            amplitude[~live] = 0
        if not self.reader.is_finite:
            amplitude[~np.isfinite(amplitude)] = 0


def _ranks_of_torchrun() -> Ranks:
    return Ranks(rank=int(os.environ.get("RANK", "0")), world_size=int(os.environ.get("WORLD_SIZE", "1")))
