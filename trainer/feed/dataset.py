"""Windows of a prepared dataset for a training loop of one's own.

    from trainer import WindowDataset

    for batch in WindowDataset("survey", window={"crossline": 128, "time": 128}, batch_size=16, label="salt"):
        ...  # batch["input"], (16, 128, 128) float32; batch["label"], uint8; batch["live"]; batch["window"]

Under torchrun each rank gets its share of every batch. It reads ahead by threads of its own: give it to no DataLoader,
or to one with ``batch_size=None`` and no workers.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from data_catalog import Catalog, InputError
from data_catalog.model_file import validated
from trainer.config import Count, FeedConfig, OrderConfig, Section, SelectionConfig, Whole
from trainer.data.data_source import DataSource, check_dims
from trainer.data.normalise import normalisation_from_manifest
from trainer.data.store import Dataset
from trainer.feed.batches import arrange
from trainer.feed.faulty_windows import FaultPolicy
from trainer.feed.feed import Feed, Key
from trainer.feed.memory import ReusedMemory
from trainer.feed.sources import Source, Sources
from trainer.feed.window_reader import INPUT, LIVE, Request, Samples, WindowReader, open_readers
from trainer.plan.windows import Edges, Extents
from trainer.ranks import Ranks, ranks_of_environment

TRAIN = "train"

STATE_VERSION: Final = 1

NO_WORKERS = (
    "WindowDataset reads by threads of its own: give it to a DataLoader with num_workers=0 and batch_size=None, or to "
    "none at all."
)

Windows = dict[str, Tensor]


class _Wanted(Section):
    """What a caller asks for, judged."""

    window: dict[str, Count]
    batch_size: Count
    stride: dict[str, Count]
    edges: Edges
    select: SelectionConfig
    seed: Whole
    order: OrderConfig
    feed: FeedConfig


class _State(BaseModel):
    """Where an iteration stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1]
    seed: int
    epoch: Whole
    samples_seen: Whole
    plan: str


class WindowDataset(IterableDataset[Windows]):
    """Batches of windows; iterating over it is one epoch, and the next iteration the next one.

    A batch is a dictionary of tensors in main memory:

    - ``input``, (N, X) as stored, or normalised by the split ``train`` (where there is none, by the one that is read),
      and 0 where no trace was recorded, or where samples are NaN or infinite;
    - ``live``, (N, T) bool: which traces were recorded; T is X without the sample axis;
    - ``label``, as stored, where a label was named: on X, or whole along dimensions that the input has not; its ignore
      value, or 0 where it has none, where nothing was recorded;
    - ``window``, (N,) int64: numbers of windows in the plan; -1 for a place that is empty, as at the end of an epoch
      that the batch size does not divide. Of several ranks one may then have empty places only: a mean over what counts
      has to allow for that.

    Attributes:
        plan: The windows, by number.
        reader: Reads them.
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
        select: SelectionConfig | Mapping[str, Any] = SelectionConfig(),  # noqa: B008 (frozen, as the next ones are)
        shuffle: bool = True,
        seed: int = 0,
        normalise: bool = True,
        ranks: Ranks | None = None,
        order: OrderConfig | Mapping[str, Any] = OrderConfig(),  # noqa: B008
        feed: FeedConfig | Mapping[str, Any] = FeedConfig(),  # noqa: B008
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
            select: Which windows are taken, and how often; as in a configuration, and so are ``order`` and ``feed``.
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
        asked = {"window": window, "batch_size": batch_size, "stride": stride or {}, "edges": edges, "seed": seed}
        asked |= {"select": select, "order": order, "feed": feed}
        wanted = validated(_Wanted, asked, subject="the call", root="WindowDataset")
        dataset = Dataset(name, catalog=Catalog(catalog))
        stored = dataset.input_variable(variable)
        check_dims(stored, window=wanted.window, stride=wanted.stride)
        dims = stored.variable.dims
        learned_from = TRAIN if TRAIN in dataset.entry.splits else split
        source = DataSource(
            dataset,
            stored,
            label=None if label is None else dataset.variable(label),
            normalisation=normalisation_from_manifest(dataset, stored, boxes=dataset.split(learned_from, dims=dims)),
        )
        plan = source.windows_to_learn_from(
            split, window=wanted.window, stride=wanted.stride, edges=wanted.edges, select=wanted.select
        )
        (self.reader,) = open_readers([source], config=wanted.feed)
        unseen = tuple(axis for axis, dim in enumerate(dims) if dim not in window)
        self._batches = arrange(
            Sources((Source(plan, self.reader),)),
            WindowMaker(self.reader, window=plan.window, unseen=unseen, normalise=normalise),
            batch_size=wanted.batch_size,
            seed=wanted.seed if shuffle else None,
            order=wanted.order,
            feed=wanted.feed,
            ranks=ranks or ranks_of_environment(),
        )
        self.plan, self.grouping, self.order = plan, self._batches.grouping, self._batches.order
        self._seed = wanted.seed
        self._faults = FaultPolicy(wanted.feed.faults, seed=seed, record=None)
        self._epoch = self._place = 0

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
        return self._batches.feed(steps, faults=self._faults)

    def set_epoch(self, epoch: int) -> None:
        """Goes to the beginning of an epoch.

        Raises:
            InputError: If its number is negative.
        """
        if epoch < 0:
            raise InputError(f"epochs count from 0, found {epoch}.")
        self._epoch, self._place = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands: small, and the same on all ranks."""
        state = _State(
            version=STATE_VERSION,
            seed=self._seed,
            epoch=self._epoch,
            samples_seen=self._place * self.order.batch_size,
            plan=self.order.digest,
        )
        return state.model_dump()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from where a state was taken, on any number of ranks.

        Raises:
            InputError: If it is of another version, or of other windows or another order.
        """
        found = validated(_State, dict(state), subject="what was given", root="state")
        if found.plan != self.order.digest:
            raise InputError(
                "the state is of other windows or of another order: split, window, stride, edges, select, batch_size, "
                "seed, or the memory and lanes that groups were made for have changed. Set them back."
            )
        place = found.samples_seen // self.order.batch_size
        if place > len(self):
            raise InputError(f"the state has seen {found.samples_seen} windows of an epoch of {len(self)} batches.")
        self._epoch, self._place = divmod(found.epoch * len(self) + place, len(self))


class WindowMaker:
    """Makes batches of windows as `WindowDataset` describes them, each sample copied once."""

    def __init__(self, reader: WindowReader, *, window: Extents, unseen: tuple[int, ...], normalise: bool) -> None:
        """Reads nothing yet.

        Args:
            reader: Reads samples.
            window: Extents on all dimensions of the input.
            unseen: Dimensions that are left out.
            normalise: Whether to normalise the input.
        """
        self._reader, self._normalise = reader, normalise
        self._extents = {name: part.extents(window) for name, part in reader.parts.items()} | {LIVE: window[:-1]}
        axes = {name: part.axes for name, part in reader.parts.items()} | {LIVE: tuple(range(len(window) - 1))}
        self._shapes = {
            name: tuple(n for n, axis in zip(extents, axes[name], strict=True) if axis not in unseen)
            for name, extents in self._extents.items()
        }
        like = reader.empty(window) | {LIVE: np.empty(0, dtype=np.bool_)}
        # Inputs may be integers, which nothing can be taken off in place: a network wants float32 of all of them.
        self._dtypes = {name: samples.dtype for name, samples in like.items()} | {INPUT: np.dtype(np.float32)}
        self._memory = ReusedMemory()

    @property
    def window_nbytes(self) -> int:
        """Bytes of one window in a batch."""
        return sum(int(np.prod(shape)) * self._dtypes[name].itemsize for name, shape in self._shapes.items())

    def begin(self, windows: int) -> tuple[Windows, list[Samples]]:
        """A batch to be filled, and its arrays with the dimensions that are left out."""
        batch, arrays = {}, []
        for name, shape in self._shapes.items():
            batch[name], array = self._memory.tensor((windows, *shape), dtype=self._dtypes[name])
            arrays.append(array.reshape(windows, *self._extents[name]))
        return batch, arrays

    def fill(self, into: Sequence[Samples], *, key: Key, request: Request, announced: bool) -> None:
        """Reads a window straight into its place."""
        samples = dict(zip(self._extents, into, strict=True))
        request.read(into=samples, announced=announced)
        inside = tuple(slice(end - first) for first, end in zip(*request.ranges[INPUT], strict=True))
        if LIVE not in request.ranges:  # all were recorded
            samples[LIVE].fill(False)
            samples[LIVE][inside[:-1]].fill(True)
        if self._normalise:
            self._normalise_in_place(samples[INPUT][inside], live=samples[LIVE][inside[:-1]])

    def leave_empty(self, into: Sequence[Samples]) -> None:
        """Puts no window into a place: no trace was recorded there."""
        for name, array in zip(self._extents, into, strict=True):
            array[...] = self._reader.parts[name].absent if name in self._reader.parts else 0

    def _normalise_in_place(self, amplitude: Samples, *, live: Samples) -> None:
        amplitude -= np.float32(self._reader.normalisation.mean)
        amplitude /= np.float32(self._reader.normalisation.standard_deviation)
        if not live.all():
            amplitude[~live] = 0
        if not self._reader.is_finite:
            amplitude[~np.isfinite(amplitude)] = 0
