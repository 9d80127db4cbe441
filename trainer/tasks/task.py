"""What a task is: from windows to examples, from outputs to a loss, scores, pictures and predictions.

Axes: N batch, C channel, X the network's two or three axes. A user's own task is any class with these members, named
in the configuration as ``package.module:Class``; its keyword-only arguments are its settings.

A loss over several ranks is exact because a task never divides: it returns *sums* over samples, the loop adds them up
over all ranks, and only then does `Task.loss` make one number of them, soft Dice as well as a mean.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from data_catalog import Role, Variable
from trainer.data.normalise import Normalisation
from trainer.plan.windows import Ranges


@dataclass(frozen=True)
class TaskData:
    """What a task is told of the data when it is made.

    Attributes:
        name: Of the variable that is read.
        variable: What the entry says of it.
        network_dims: Its dimensions that the network sees.
        normalisation: Of its amplitudes.
        seed: Of the run.
        label_name: Of the variable to learn from; None where the configuration names none.
        label: What the entry says of that.
        count_classes: Tells the samples of each class in the training split, by the manifest; None where nothing is
            learned, or from no class label.
    """

    name: str
    variable: Variable
    network_dims: tuple[str, ...]
    normalisation: Normalisation
    seed: int
    label_name: str | None = None
    label: Variable | None = None
    count_classes: Callable[[], dict[str, int] | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Window:
    """Samples as read, on the network's axes X.

    Attributes:
        stored: Amplitudes as stored, in the variable's units.
        amplitude: Normalised, float32; 0 where not live.
        live: Which samples were recorded and are finite, bool.
        label: The label variable's samples; None where there is none.
        box: Where it lies: a range for each of the variable's dimensions.
    """

    stored: npt.NDArray[np.floating]
    amplitude: npt.NDArray[np.float32]
    live: npt.NDArray[np.bool_]
    label: npt.NDArray[np.generic] | None
    box: Ranges


class Example(NamedTuple):
    """What a network learns from one window: input (C, X) float32; target (X), or (part, X) where the task needs more
    than one; weight (X), 0 where not to learn."""

    input: npt.NDArray[np.float32]
    target: npt.NDArray[np.generic]
    weight: npt.NDArray[np.float32]


class Batch(NamedTuple):
    """Examples as tensors: input (N, C, X), target (N, X) or (N, part, X), weight (N, X); the same on any device."""

    input: Tensor
    target: Tensor
    weight: Tensor


@dataclass(frozen=True)
class OutputVariable:
    """A variable of a derived group.

    Attributes:
        dims: The variable's dimensions, or those without its last.
        dtype: As Zarr names it.
        fill_value: Where nothing was predicted.
        role: ``prediction``, or ``coordinate`` for a mask.
        attributes: Beside the role.
    """

    dims: tuple[str, ...]
    dtype: str
    fill_value: float | int | bool
    role: Role = Role.PREDICTION
    attributes: dict[str, Any] = field(default_factory=dict)


class Task(Protocol):
    """One way of learning.

    Attributes:
        in_channels: Channels of an example's input.
        out_channels: Channels that the network returns.
        reach: Samples around a sample that its input depends on; prediction takes that much more context.
        outputs: Variables of a derived group by name.
        is_mean: Whether `loss` is a mean, some sums over others that follow from the targets alone: micro-batches then
            need no forward pass to learn the latter. False if a task does not say.
    """

    in_channels: int
    out_channels: int
    reach: int
    outputs: dict[str, OutputVariable]
    is_mean: bool

    def example(self, window: Window, *, generator: np.random.Generator) -> Example:
        """Turns a window into an example; whatever is random comes from ``generator``."""

    def sums(self, output: Tensor, *, batch: Batch) -> Tensor:
        """Sums over the batch's samples that make a loss, (sum,), differentiable in ``output`` (N, C, X)."""

    def loss(self, sums: Tensor) -> Tensor:
        """The loss, a scalar, from sums over the samples of all ranks."""

    def statistics(self, output: Tensor, *, batch: Batch) -> Tensor:
        """Sums over the batch's samples that make the metrics, (sum,), float64 or int64."""

    def metrics(self, statistics: npt.NDArray[np.generic]) -> dict[str, float]:
        """Metrics by name, from statistics of a whole split; NaN where a metric is not defined."""

    def score(self, metrics: dict[str, float]) -> float:
        """The one number that chooses the best checkpoint: higher is better."""

    def picture(self, output: Tensor, *, batch: Batch) -> dict[str, Tensor]:
        """Views of the batch's first example, (X) each: input, label and prediction, say."""

    def prediction_input(self, window: Window) -> npt.NDArray[np.float32]:
        """The network's input (C, X) for a window whose outcome is not known."""

    def predictions(self, output: npt.NDArray[np.float32], *, window: Window) -> dict[str, npt.NDArray[np.generic]]:
        """Samples of each of ``outputs`` from the network's output (C, X)."""
