"""Everything that a run needs, judged before any rank waits for another: the same on all ranks, or refused on all."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn

from data_catalog import Catalog, InputError, Variable
from trainer.components import resolve, settings_of
from trainer.config import Config
from trainer.content import select_windows
from trainer.examples import ExampleMaker, Examples
from trainer.grouping import choose_grouping
from trainer.normalise import Normalisation, normalisation_from_manifest
from trainer.order import Order
from trainer.randomness import Purpose, stream
from trainer.ranks import Ranks
from trainer.splits import half, plan_split
from trainer.store import Dataset, StoredVariable
from trainer.tasks.task import Task, TaskData
from trainer.window_reader import WindowReader
from trainer.windows import Extents, WindowPlan, guard_between

MODELS = {"unet": "trainer.unet:UNet"}
TASKS = {
    "segmentation": "trainer.tasks.segmentation:Segmentation",
    "reconstruction": "trainer.tasks.reconstruction:Reconstruction",
}
SMALL = 64
"""Samples along each axis of the input that a model is tried on."""
MODEL_GIVEN = frozenset({"dims", "in_channels", "out_channels"})


@dataclass(frozen=True)
class Learned:
    """What a trained network brings along to a dataset that may know neither.

    Attributes:
        normalisation: That it is used to.
        label: What the entry said of the label that it learned from.
    """

    normalisation: Normalisation
    label: Variable | None


@dataclass(frozen=True)
class Experiment:
    """A configuration brought together with its dataset.

    Attributes:
        config: What the run is told.
        dataset: What it reads.
        stored: The input variable.
        label: The variable to learn from, if any.
        normalisation: Of the input, from the training split.
        task: What is learned.
        model: The network, with the weights that it starts from.
        checkpoint_step: Of the checkpoint that a run was opened at; None where a run begins.
    """

    config: Config
    dataset: Dataset
    stored: StoredVariable
    label: StoredVariable | None
    normalisation: Normalisation
    task: Task
    model: nn.Module
    checkpoint_step: int | None = None

    @property
    def window(self) -> Extents:
        """Window extents on all dimensions of the variable."""
        return tuple(self.config.window.get(dim, 1) for dim in self.stored.variable.dims)

    @property
    def network_axes(self) -> tuple[int, ...]:
        """Dimensions of the variable that the network sees."""
        return tuple(axis for axis, dim in enumerate(self.stored.variable.dims) if dim in self.config.window)

    def training_examples(self, reader: WindowReader, *, ranks: Ranks) -> Examples:
        """Examples to learn from: windows half a window apart unless the configuration says otherwise, shuffled.

        Args:
            reader: Reads them.
            ranks: The processes of the run.

        Raises:
            InputError: If no window fits the split, or chunks do not fit the budget.
        """
        config, batch_size = self.config, self.config.batch_size
        plan = self._plan(config.splits.train, stride=half(config.window) | config.stride)
        plan = select_windows(plan, config.select, dataset=self.dataset, stored=self.stored, label=self.label)
        if batch_size > plan.epoch_length:
            raise InputError(
                f"config.batch_size is {batch_size}, and split {config.splits.train!r} holds {plan.epoch_length} "
                "windows: choose a smaller batch_size, or a smaller stride."
            )
        return self._examples(plan, reader, lanes=config.order.lanes, seed=config.seed, ranks=ranks)

    def scoring_examples(self, reader: WindowReader, *, split: str, ranks: Ranks) -> Examples:
        """Those of a split side by side, in order; the last of a row overlaps where the split does not divide.

        Args:
            reader: Reads them; the same that reads for training, so that both keep to one budget.
            split: Which one.
            ranks: The processes of the run.

        Raises:
            InputError: If no window fits the split, or chunks do not fit the budget.
        """
        return self._examples(self._plan(split, stride=self.config.window), reader, lanes=1, seed=None, ranks=ranks)

    def reader(self, *, with_label: bool = True) -> WindowReader:
        """A reader with a shelf of its own.

        Args:
            with_label: Whether it also reads the label, where there is one.
        """
        return WindowReader.open(
            self.dataset,
            stored=self.stored,
            label=self.label if with_label else None,
            normalisation=self.normalisation,
            budget_nbytes=self.config.feed.resident_nbytes,
            cache=self.config.feed.cache,
        )

    def _examples(
        self, plan: WindowPlan, reader: WindowReader, *, lanes: int | None, seed: int | None, ranks: Ranks
    ) -> Examples:
        config = self.config
        grouping = choose_grouping(
            plan,
            reader.grids(len(self.window)),
            batch_size=config.batch_size,
            ranks=config.order.ranks,
            threads=config.feed.threads,
            budget_nbytes=config.feed.resident_nbytes,
            lanes=lanes,
        )
        maker = ExampleMaker(
            reader, self.task, window=self.window, network_axes=self.network_axes, seed=config.seed, device=ranks.device
        )
        order = Order(grouping.groups, config.batch_size, grouping.lanes, seed)
        return Examples(maker, order, grouping, config.feed, ranks)

    def _plan(self, split: str, *, stride: Mapping[str, int]) -> WindowPlan:
        window, edges = self.config.window, self.config.edges
        return plan_split(self.dataset, self.stored, split, window=window, stride=stride, edges=edges)


def prepare(config: Config, *, catalog: Catalog, learned: Learned | None = None) -> Experiment:
    """Opens the dataset and judges the configuration against it.

    Args:
        config: What the run is told.
        catalog: Where the dataset is listed.
        learned: What a trained network brings along; by default all comes from the dataset.

    Raises:
        InputError: At the first thing that does not fit, saying what was found, expected, and what to do.
    """
    dataset = Dataset(config.dataset.name, catalog=catalog)
    stored = dataset.input_variable(config.dataset.variable)
    label = _find_label(config, dataset=dataset, may_be_absent=learned is not None)
    _check_dims(config, stored=stored, label=label)
    if learned is None:
        normalisation = _learn_normalisation(config, dataset=dataset, stored=stored)
        learned = Learned(normalisation, label=None if label is None else label.variable)
    task = _make_task(config, stored=stored, learned=learned)
    model = _make_model(config, task=task)
    _check_window_sizes(config.window, model=model)
    return Experiment(config, dataset, stored, label, learned.normalisation, task, model)


def _find_label(config: Config, *, dataset: Dataset, may_be_absent: bool) -> StoredVariable | None:
    name = config.dataset.label
    if name is None or (may_be_absent and not dataset.holds(name)):
        return None
    return dataset.variable(name)


def _learn_normalisation(config: Config, *, dataset: Dataset, stored: StoredVariable) -> Normalisation:
    _check_guards(config, dataset=dataset, dims=stored.variable.dims)
    boxes = dataset.split(config.splits.train, dims=stored.variable.dims)
    return normalisation_from_manifest(dataset, stored, boxes=boxes)


def _make_task(config: Config, *, stored: StoredVariable, learned: Learned) -> Task:
    data = TaskData(
        name=stored.name,
        variable=stored.variable,
        network_dims=tuple(dim for dim in stored.variable.dims if dim in config.window),
        normalisation=learned.normalisation,
        seed=config.seed,
        label_name=config.dataset.label,
        label=learned.label,
    )
    kind = resolve(config.task, own=TASKS, place="task")
    settings = settings_of(config.task, of=kind, given=frozenset({"data"}), place="task")
    task: Task = kind(data, **settings)
    return task


def _make_model(config: Config, *, task: Task) -> nn.Module:
    kind = resolve(config.model, own=MODELS, place="model")
    _check_takes(kind, MODEL_GIVEN, name=config.model.name)
    settings = settings_of(config.model, of=kind, given=MODEL_GIVEN, place="model")
    seed = int(stream(config.seed, purpose=Purpose.WEIGHTS).integers(2**63))
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator: lend them one
        torch.manual_seed(seed)
        model = kind(dims=len(config.window), in_channels=task.in_channels, out_channels=task.out_channels, **settings)
    if not isinstance(model, nn.Module):
        raise InputError(f"config.model.name: {config.model.name!r} is no torch.nn.Module.")
    _check_output(model, config=config, task=task)
    return model


def _check_takes(kind: type, names: Iterable[str], *, name: str) -> None:
    parameters = inspect.signature(kind).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    if missing := sorted(set(names) - {parameter.name for parameter in parameters}):
        raise InputError(
            f"config.model.name: {name!r} does not take {', '.join(missing)}; a model is made with dims (2 or 3), "
            "in_channels, out_channels, and its own settings, all by name."
        )


def _check_output(model: nn.Module, *, config: Config, task: Task) -> None:
    """One small input tells a model of the wrong shape from a right one before any rank waits for another."""
    multiple = size_multiple(model)
    near = [-(-min(extent, SMALL) // multiple) * multiple for extent in config.window.values()]
    was_training = model.training
    try:
        with torch.no_grad():
            shape = tuple(model.eval()(torch.zeros(1, task.in_channels, *near)).shape)
    except RuntimeError as error:
        raise InputError(f"config.model.name: {config.model.name!r} fails on an input of {near}: {error}") from None
    finally:
        model.train(was_training)
    if shape != (1, task.out_channels, *near):
        raise InputError(
            f"config.model.name: {config.model.name!r} makes {list(shape)} of [1, {task.in_channels}, "
            f"{', '.join(map(str, near))}]; expected {task.out_channels} channels of the same size."
        )


def _check_dims(config: Config, *, stored: StoredVariable, label: StoredVariable | None) -> None:
    dims = stored.variable.dims
    for place, named in {"window": config.window, "stride": config.stride}.items():
        if unknown := sorted(set(named) - set(dims)):
            raise InputError(
                f"config.{place}: {', '.join(unknown)} is no dimension of {stored.name!r}, which has {', '.join(dims)}."
            )
    if len(config.window) not in (2, 3):
        raise InputError(
            f"config.window names {len(config.window)} dimensions, networks here have 2 or 3: choose from "
            f"{', '.join(dims)}."
        )
    if label is not None and label.variable.dims != dims:
        raise InputError(
            f"config.dataset.label: {label.name!r} is on ({', '.join(label.variable.dims)}), {stored.name!r} on "
            f"({', '.join(dims)}); a label must lie on the same samples."
        )


def _check_guards(config: Config, *, dataset: Dataset, dims: tuple[str, ...]) -> None:
    window = tuple(config.window.get(dim, 1) for dim in dims)
    train = config.splits.train
    for other in filter(None, (config.splits.validation, config.splits.test)):
        pairs = product(dataset.split(train, dims=dims), dataset.split(other, dims=dims))
        for one, another in pairs:
            guard = guard_between(one, another)
            if all(gap < extent for gap, extent in zip(guard, window, strict=True)):
                found = ", ".join(f"{dim} {max(gap, 0)}" for dim, gap in zip(dims, guard, strict=True))
                needed = " or ".join(f"{dim} {extent}" for dim, extent in zip(dims, window, strict=True))
                raise InputError(
                    f"splits {train!r} and {other!r} of dataset {dataset.entry.name!r} are only {found} samples apart: "
                    f"a window of one would touch its neighbour in the other. A guard band of {needed} is needed; "
                    "choose a smaller config.window or wider guards between the splits."
                )


def _check_window_sizes(window: Mapping[str, int], *, model: nn.Module) -> None:
    multiple = size_multiple(model)
    for dim, extent in window.items():
        if extent % multiple:
            near = max(multiple, round(extent / multiple) * multiple)
            raise InputError(
                f"config.window.{dim} is {extent}; this network halves its input until a sample stands for "
                f"{multiple}, so it must be a multiple of {multiple}, e.g. {near}. Or choose fewer config.model.levels."
            )


def size_multiple(model: nn.Module) -> int:
    """What input sizes must be multiples of; 1 where the model does not say."""
    return int(getattr(model, "size_multiple", 1))
