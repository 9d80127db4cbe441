"""Everything that a run needs, judged before any rank waits for another: the same on all ranks, or refused on all."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from data_catalog import Catalog, InputError, Variable
from trainer.checkpoint import RunState
from trainer.components import resolve, settings_of
from trainer.config import AugmentConfig, Config, DatasetConfig
from trainer.data.data_source import DataSource, check_dims, check_guards
from trainer.data.normalise import Normalisation, normalisation_from_manifest
from trainer.data.store import Dataset, StoredVariable
from trainer.feed.batches import Batches, arrange
from trainer.feed.examples import NO_CHANGE, ExampleMaker
from trainer.feed.sources import Source, Sources
from trainer.feed.window_reader import WindowReader, open_readers
from trainer.models.network import make_network
from trainer.plan.grouping import GroupShape
from trainer.plan.windows import WindowPlan
from trainer.ranks import Ranks
from trainer.tasks.task import Batch, Task, TaskData

TASKS = {
    "segmentation": "trainer.tasks.segmentation:Segmentation",
    "reconstruction": "trainer.tasks.reconstruction:Reconstruction",
}


@dataclass(frozen=True)
class Learned:
    """What a trained network brings along to a dataset that may know neither.

    Attributes:
        normalisations: Those it is used to, by dataset.
        label: What the entry said of the label that it learned from.
    """

    normalisations: Mapping[str, Normalisation]
    label: Variable | None

    def normalisation_of(self, dataset: str) -> Normalisation | None:
        """That of a dataset. One that was not trained on takes the only one there is, and of several none: each dataset
        was normalised by its own statistics then, and so will this one be."""
        known = list(self.normalisations.values())
        return self.normalisations.get(dataset, known[0] if len(known) == 1 else None)


@dataclass(frozen=True)
class Experiment:
    """A configuration brought together with its datasets.

    Attributes:
        config: What the run is told.
        data: What it reads, the main dataset first.
        task: What is learned.
        model: The network, with the weights that it starts from.
        state: Of the checkpoint that a run was opened at; None where a run begins.
    """

    config: Config
    data: tuple[DataSource, ...]
    task: Task
    model: nn.Module
    state: RunState | None = None

    @property
    def main(self) -> DataSource:
        """The dataset that predictions are of."""
        return self.data[0]

    @property
    def network_axes(self) -> tuple[int, ...]:
        """Dimensions of the variable that the network sees."""
        dims = self.main.stored.variable.dims
        return tuple(axis for axis, dim in enumerate(dims) if dim in self.config.window)

    def readers(self) -> list[WindowReader]:
        """Those of all datasets; training and scoring share them, and so keep to one budget."""
        return open_readers(self.data, config=self.config.feed)

    def training_batches(
        self, readers: list[WindowReader], *, ranks: Ranks, shape: GroupShape | None = None
    ) -> Batches[Batch]:
        """Examples to learn from, shuffled.

        Args:
            readers: Of all datasets.
            ranks: The processes of the run.
            shape: Of the groups, where an earlier part of the run has chosen it.

        Raises:
            InputError: If no window fits the split, or chunks do not fit the budget.
        """
        config, batch_size = self.config, self.config.batch_size
        plans = self._plans(
            config.splits.train,
            lambda source, split: source.windows_to_learn_from(
                split,
                window=config.window,
                stride=config.stride,
                edges=config.edges,
                select=config.select,
            ),
        )
        windows = sum(plan.epoch_length for plan in plans)
        if batch_size > windows:
            raise InputError(
                f"config.batch_size is {batch_size}, and split {config.splits.train!r} holds {windows} windows: choose "
                "a smaller batch_size, or a smaller stride."
            )
        return self._batches(plans, readers, ranks=ranks, seed=config.seed, augment=config.augment, shape=shape)

    def scoring_batches(self, readers: list[WindowReader], *, split: str, ranks: Ranks) -> Batches[Batch]:
        """The examples of a split side by side, in order.

        Args:
            readers: Of all datasets.
            split: Which one.
            ranks: The processes of the run.

        Raises:
            InputError: If no window fits the split, or chunks do not fit the budget.
        """
        config = self.config
        plans = self._plans(
            split, lambda source, own: source.windows_side_by_side(own, window=config.window, edges=config.edges)
        )
        return self._batches(plans, readers, ranks=ranks)

    def _plans(self, split: str, plan: Callable[[DataSource, str], WindowPlan]) -> list[WindowPlan]:
        """A plan for each dataset of those splits that it has: one without windows where it has none."""
        _check_known(split, self.data)
        dims = self.main.stored.variable.dims
        empty = WindowPlan((), tuple(self.config.window.get(dim, 1) for dim in dims))
        owned = [(source, source.dataset.own_part(split)) for source in self.data]
        return [plan(source, own) if own else empty for source, own in owned]

    def _batches(
        self,
        plans: list[WindowPlan],
        readers: list[WindowReader],
        *,
        ranks: Ranks,
        seed: int | None = None,
        augment: AugmentConfig = NO_CHANGE,
        shape: GroupShape | None = None,
    ) -> Batches[Batch]:
        config = self.config
        maker = ExampleMaker(
            readers,
            self.task,
            dims=self.main.stored.variable.dims,
            window=config.window,
            seed=config.seed,
            device=ranks.device,
            augment=augment,
        )
        return arrange(
            Sources(tuple(map(Source, plans, readers))),
            maker,
            batch_size=config.batch_size,
            seed=seed,
            order=config.order,
            feed=config.feed,
            ranks=ranks,
            shape=shape,
        )


def prepare(config: Config, *, catalog: Catalog, learned: Learned | None = None) -> Experiment:
    """Opens the datasets and judges the configuration against them.

    Args:
        config: What the run is told.
        catalog: Where the datasets are listed.
        learned: What a trained network brings along; by default all comes from the datasets.

    Raises:
        InputError: At the first thing that does not fit, saying what was found, expected, and what to do.
    """
    data = tuple(
        _open_source(config, each, catalog=catalog, learned=learned) for each in (config.dataset, *config.more_datasets)
    )
    for other in data[1:]:
        _check_alike(data[0], other, labels=learned is None)
    if learned is None:
        _check_known(config.splits.train, data)
        for source in data:
            check_guards(source, config=config)
            _check_is_labelled(source, split=config.splits.train)
    task = _make_task(config, data, learned=learned)
    return Experiment(config, data, task, make_network(config, task=task))


def _open_source(config: Config, named: DatasetConfig, *, catalog: Catalog, learned: Learned | None) -> DataSource:
    dataset = Dataset(named.name, catalog=catalog)
    stored = dataset.input_variable(named.variable)
    _check_dims(config, stored=stored)
    label = None
    if named.label is not None and (learned is None or dataset.holds(named.label)):
        label = dataset.variable(named.label)
    normalisation = learned.normalisation_of(named.name) if learned else None
    if normalisation is None:
        dims = stored.variable.dims
        everywhere = (tuple((0, size) for size in stored.variable.shape),)
        own = dataset.own_part(config.splits.train)
        boxes = everywhere if learned or not own else dataset.split(own, dims=dims)
        normalisation = normalisation_from_manifest(dataset, stored, boxes=boxes)
    return DataSource(dataset, stored, label, normalisation, named.weight)


def _make_task(config: Config, data: tuple[DataSource, ...], *, learned: Learned | None) -> Task:
    main = data[0]
    of_main = None if main.label is None else main.label.variable
    about = TaskData(
        name=main.stored.name,
        variable=main.stored.variable,
        network_dims=tuple(dim for dim in main.stored.variable.dims if dim in config.window),
        normalisation=main.normalisation,
        seed=config.seed,
        label_name=config.dataset.label,
        count_classes=lambda: None if learned else _class_counts(config, data),
        label=learned.label if learned else of_main,
    )
    kind = resolve(config.task, own=TASKS, place="task")
    settings = settings_of(config.task, of=kind, given=frozenset({"data"}), place="task")
    task: Task = kind(about, **settings)
    return task


def _class_counts(config: Config, data: tuple[DataSource, ...]) -> dict[str, int] | None:
    found = [source.class_counts(config.splits.train) for source in data]
    counted = [counts for counts in found if counts is not None]
    if not counted or len(counted) < len(data):
        return None
    return {
        name: sum(of[name] * source.weight for of, source in zip(counted, data, strict=True)) for name in counted[0]
    }


def _check_dims(config: Config, *, stored: StoredVariable) -> None:
    check_dims(stored, window=config.window, stride=config.stride)
    dims = stored.variable.dims
    if config.augment.time_shift >= config.window.get(dims[-1], math.inf):
        raise InputError(
            f"config.augment.time_shift is {config.augment.time_shift}, and windows have {config.window[dims[-1]]} "
            f"samples along {dims[-1]}: nothing would be left of some."
        )
    if dims[-1] not in config.window and (config.augment.time_shift or config.augment.drop_traces):
        raise InputError(
            f"config.augment: time_shift and drop_traces need windows along {dims[-1]}, config.window has "
            f"{', '.join(config.window)}."
        )
    if len(config.window) not in (2, 3):
        raise InputError(
            f"config.window names {len(config.window)} dimensions, networks here have 2 or 3: choose from "
            f"{', '.join(dims)}."
        )


def _check_alike(main: DataSource, other: DataSource, *, labels: bool) -> None:
    """Windows of all datasets go into the same batches; a trained network may do without their labels."""
    if labels and main.label and not other.label:
        raise InputError(
            f"config.more_datasets: the main dataset is read with label {main.label.name!r}; name that of "
            f"{other.dataset.entry.name!r} as well."
        )
    facts: list[tuple[str, object, object]] = [
        ("dimensions", main.stored.variable.dims, other.stored.variable.dims),
    ]
    if labels or (main.label and other.label):
        facts.append(("a label's dimensions", _label_dims(main), _label_dims(other)))
        facts.append(("classes", _classes(main), _classes(other)))
    for what, one, another in facts:
        if one != another:
            raise InputError(
                f"config.more_datasets: {other.dataset.entry.name!r} has {what} {another}, the main dataset "
                f"{main.dataset.entry.name!r} has {one}; windows of both cannot go into one batch."
            )


def _check_known(split: str, data: tuple[DataSource, ...]) -> None:
    """Refuses a split, or one of several that are joined, that no dataset has."""
    for each in split.split("+"):
        if not any(source.dataset.own_part(each) for source in data):
            if len(data) == 1:
                data[0].dataset.split_boxes(each)  # says which there are
            known = "; ".join(
                f"{source.dataset.entry.name}: {', '.join(source.dataset.entry.splits) or 'none'}" for source in data
            )
            raise InputError(
                f"split {each!r} is not among the splits of any dataset ({known}): name others in config.splits, or "
                "null to do without."
            )


def _check_is_labelled(source: DataSource, *, split: str) -> None:
    """Refuses a training split without a single sample of any class."""
    counts = source.class_counts(split) if source.dataset.own_part(split) else None
    if counts is not None and source.label and not any(counts.values()):
        raise InputError(
            f"label {source.label.name!r} of dataset {source.dataset.entry.name!r} has no sample of "
            f"{', '.join(counts)} in split {split!r}: all of it is to be ignored. Choose another split or label."
        )


def _label_dims(source: DataSource) -> tuple[str, ...] | None:
    return None if source.label is None else source.label.variable.dims


def _classes(source: DataSource) -> dict[str, int] | None:
    label = None if source.label is None else source.label.variable
    if label is None or label.flag_values is None or label.flag_meanings is None:
        return None
    return dict(zip(label.flag_meanings, label.flag_values, strict=True))
