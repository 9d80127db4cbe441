"""Segmentation: a class for each sample, learned from a ``class_label``."""

from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from pydantic import Field
from torch import Tensor

from data_catalog import InputError, Role, Variable
from trainer.tasks.task import Batch, Example, OutputVariable, TaskData, Window

ClassWeights = tuple[Annotated[float, Field(ge=0)], ...]


class _Axis(NamedTuple):
    """A dimension: its number among those of the variable and of the network, and its size."""

    of_variable: int
    of_network: int
    size: int


class Segmentation:
    """Cross-entropy, soft Dice where wanted, and metrics from one confusion matrix.

    Axes: N batch, K class, X the network's axes.
    """

    reach = 0

    def __init__(
        self,
        data: TaskData,
        *,
        class_weights: ClassWeights | Literal["balanced"] | None = None,
        dice_weight: Annotated[float, Field(ge=0)] = 0.0,
        tversky: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.5, 0.5),
        positions: tuple[str, ...] = (),
    ) -> None:
        """Makes the task.

        Args:
            data: Its label has role ``class_label``.
            class_weights: Weight of each class in the cross-entropy, in the order of ``flag_values``; ``balanced`` is
                N / (K n) for a class with n of the N samples of all K classes in the training split (by the manifest).
            dice_weight: Weight of soft Dice beside the cross-entropy.
            tversky: What samples that are wrongly said to be of a class, and those of it that are missed, count in
                Dice: alpha and beta of Tversky's index (Salehi et al., 2017). Rare classes want more of the second.
            positions: Dimensions of the window along which the network is told where samples lie, a further channel
                each (Liu et al., 2018): -1 at the first sample of the dataset, 1 at its last. Facies differ with depth,
                which convolutions cannot see. Along a dimension that windows are flipped along it tells nothing.

        Raises:
            InputError: If there is no class label, the weights do not match its classes, or a position is along no
                dimension of the window.
        """
        self._position_axes = _position_axes(positions, data)
        self.in_channels = 1 + len(positions)
        self._label_name, self._label = _class_label(data)
        assert self._label.ignore_value is not None, "the contract demands one"
        self._ignore_value = self._label.ignore_value
        self._class_values = np.asarray(self._label.flag_values, dtype=np.uint8)
        self._class_names = self._label.flag_meanings or ()
        self.out_channels = len(self._class_values)
        if class_weights == "balanced":
            class_weights = _balanced(data.count_classes())
        if class_weights is not None and len(class_weights) != self.out_channels:
            raise InputError(
                f"config.task.class_weights: {len(class_weights)} weights for {self.out_channels} classes "
                f"({', '.join(self._class_names)}); give one for each."
            )
        self._class_weights = torch.tensor(class_weights or (1.0,) * self.out_channels)
        self._dice_weight, self.is_mean = dice_weight, not dice_weight
        self._tversky = tversky
        self._class_of_value = np.full(256, self.out_channels + 1, dtype=np.uint8)  # any other value: none that may be
        self._class_of_value[self._ignore_value] = self.out_channels
        self._class_of_value[self._class_values] = np.arange(self.out_channels)
        self.outputs = self._output_variables(data.variable.dims)

    def example(self, window: Window, *, generator: np.random.Generator) -> Example:
        """Amplitudes, classes, and weight 1 where a live sample has one of the classes."""
        assert window.label is not None, "_class_label demands one"
        classes = self._class_of_value[window.label.astype(np.uint8)]
        if (window.live & (classes > self.out_channels)).any():
            raise InputError(self._of_no_class(window))
        known = window.live & (classes < self.out_channels)
        return Example(self.prediction_input(window), np.where(known, classes, 0), known.astype(np.float32))

    def sums(self, output: Tensor, *, batch: Batch) -> Tensor:
        """Weighted cross-entropy and weights; then overlap, predicted and true samples of each class."""
        target, class_weights = batch.target.long(), self._class_weights.to(output)
        weight = batch.weight.to(output)
        losses = F.cross_entropy(output, target, weight=class_weights, reduction="none") * weight
        parts = [torch.stack([losses.sum(), (class_weights[target] * weight).sum()])]
        if self._dice_weight:
            probability = output.softmax(dim=1) * weight.unsqueeze(1)
            truth = F.one_hot(target, self.out_channels).movedim(-1, 1).to(output) * weight.unsqueeze(1)
            per_sample = [probability * truth, probability, truth]
            parts += [each.transpose(0, 1).flatten(1).sum(dim=1) for each in per_sample]
        return torch.cat(parts)

    def loss(self, sums: Tensor) -> Tensor:
        """Mean cross-entropy, and 1 - soft Dice averaged over the classes that occur (Milletari et al., 2016)."""
        loss: Tensor = sums[0] / _or_one(sums[1])
        if not self._dice_weight:
            return loss
        overlap, predicted, true = sums[2:].reshape(3, self.out_channels)
        occurs = (true > 0).to(sums)
        wrong, missed = self._tversky
        dice = overlap / _or_one(overlap + wrong * (predicted - overlap) + missed * (true - overlap))
        mean_dice: Tensor = (occurs * dice).sum() / occurs.sum().clamp(min=1)
        return loss + self._dice_weight * (1 - mean_dice)

    def statistics(self, output: Tensor, *, batch: Batch) -> Tensor:
        """The confusion matrix (true class, predicted class), flattened, int64."""
        pairs = batch.target.long() * self.out_channels + output.argmax(dim=1)
        return torch.bincount(pairs[batch.weight > 0], minlength=self.out_channels**2)

    def metrics(self, statistics: npt.NDArray[np.generic]) -> dict[str, float]:
        """Accuracy; IoU, Dice (F1), precision and recall of each class and on average.

        What is not defined is NaN, and left out of averages: IoU and Dice of a class that neither occurs nor is said,
        precision of one that is not said, recall of one that does not occur.
        """
        confusion = statistics.astype(np.float64).reshape(self.out_channels, self.out_channels)
        hit, true, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        with np.errstate(invalid="ignore"):
            accuracy = float(hit.sum() / confusion.sum())
            found = {
                "iou": hit / (true + said - hit),
                "dice": 2 * hit / (true + said),
                "precision": hit / said,
                "recall": hit / true,
            }
        means = {f"mean_{kind}": _mean(values) for kind, values in found.items()}
        named = {
            f"{kind}/{name}": float(value)
            for kind, values in found.items()
            for name, value in zip(self._class_names, values, strict=True)
        }
        return {"accuracy": accuracy} | means | named

    def score(self, metrics: dict[str, float]) -> float:
        """Mean IoU."""
        return metrics["mean_iou"]

    def picture(self, output: Tensor, *, batch: Batch) -> dict[str, Tensor]:
        """Amplitude, true classes and predicted ones."""
        return {"input": batch.input[0, 0], "label": batch.target[0], "prediction": output[0].argmax(dim=0)}

    def prediction_input(self, window: Window) -> npt.NDArray[np.float32]:
        """The amplitudes, one channel, and one for each dimension that positions are told along."""
        if not self._position_axes:
            return window.amplitude[None]
        return np.stack([window.amplitude, *(self._positions(window, axis) for axis in self._position_axes)])

    def predictions(self, output: npt.NDArray[np.float32], *, window: Window) -> dict[str, npt.NDArray[np.generic]]:
        """The likeliest class; of two classes also the probability of the second."""
        said = self._class_values[output.argmax(axis=0)]
        found: dict[str, npt.NDArray[np.generic]] = {
            f"{self._label_name}_class": np.where(window.live, said, np.uint8(self._ignore_value))
        }
        if self.out_channels == 2:
            odds = np.exp(np.clip(output[0] - output[1], -80, 80))
            found[f"{self._label_name}_probability"] = np.where(window.live, 1 / (1 + odds), np.nan).astype(np.float32)
        return found

    def _positions(self, window: Window, axis: _Axis) -> npt.NDArray[np.float32]:
        """Where samples lie along an axis, on the network's axes."""
        start, stop = window.box[axis.of_variable]
        along = np.arange(start, stop) * (2 / max(axis.size - 1, 1)) - 1
        shape = [1] * window.amplitude.ndim
        shape[axis.of_network] = -1
        return np.broadcast_to(along.astype(np.float32).reshape(shape), window.amplitude.shape)

    def _of_no_class(self, window: Window) -> str:
        assert window.label is not None
        found = set(np.unique(window.label[window.live]).tolist())
        wrong = sorted(found - {*self._class_values.tolist(), self._ignore_value})
        named = ", ".join(f"{value} {name}" for value, name in zip(self._class_values, self._class_names, strict=True))
        return (
            f"label {self._label_name!r} holds {', '.join(map(str, wrong))} in the window at {window.box}; its classes "
            f"are {named}, and {self._ignore_value} is to be ignored. Convert the label anew, or declare such classes."
        )

    def _output_variables(self, dims: tuple[str, ...]) -> dict[str, OutputVariable]:
        flags = {
            "flag_values": self._class_values.tolist(),
            "flag_meanings": " ".join(self._class_names),
            "ignore_value": self._ignore_value,
        }
        outputs = {f"{self._label_name}_class": OutputVariable(dims, "uint8", self._ignore_value, attributes=flags)}
        if self.out_channels == 2:
            about = {"long_name": f"probability of {self._class_names[1]}"}
            outputs[f"{self._label_name}_probability"] = OutputVariable(dims, "float32", np.nan, attributes=about)
        return outputs


def _class_label(data: TaskData) -> tuple[str, Variable]:
    if data.label is None or data.label_name is None:
        raise InputError("config.dataset.label: segmentation learns from a class_label; name one.")
    if data.label.dims != data.variable.dims:
        raise InputError(
            f"config.dataset.label: {data.label_name!r} is on ({', '.join(data.label.dims)}), {data.name!r} on "
            f"({', '.join(data.variable.dims)}); for segmentation a label must lie on the same samples."
        )
    if data.label.role is not Role.CLASS_LABEL:
        raise InputError(
            f"config.dataset.label: {data.label_name!r} has role {data.label.role}, segmentation learns from a "
            "class_label."
        )
    return data.label_name.rpartition("/")[2], data.label


def _position_axes(positions: tuple[str, ...], data: TaskData) -> tuple[_Axis, ...]:
    if unknown := [dim for dim in positions if dim not in data.network_dims]:
        raise InputError(
            f"config.task.positions: {', '.join(unknown)} is none of the window's dimensions: "
            f"{', '.join(data.network_dims)}."
        )
    dims, shape = data.variable.dims, data.variable.shape
    return tuple(_Axis(dims.index(dim), data.network_dims.index(dim), shape[dims.index(dim)]) for dim in positions)


def _balanced(counts: dict[str, int] | None) -> ClassWeights | None:
    """Of a class that does not occur 1: it has no sample that it could weigh."""
    if counts is None:
        return None  # nothing is learned: a trained network needs none
    total = sum(counts.values())
    return tuple(total / (len(counts) * count) if count else 1.0 for count in counts.values())


def _or_one(sums: Tensor) -> Tensor:
    """To divide by: where nothing was summed the quotient is 0, and so is its gradient, however it is scaled."""
    return torch.where(sums > 0, sums, torch.ones_like(sums))


def _mean(values: npt.NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
