"""Reconstruction: traces are hidden and restored; the data are their own labels."""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from data_catalog import InputError, Role
from trainer.tasks.hidden_traces import hidden_on_grid, hide_some, interpolate_linearly
from trainer.tasks.local_gain import REACH, local_gain
from trainer.tasks.task import Batch, Example, OutputVariable, TaskData, Window


class Reconstruction:
    """The network predicts what linear interpolation along the traces got wrong.

    Input channels are the amplitudes, hidden traces filled by interpolation, and a mask, 1 where a trace is visible.
    Amplitudes are divided by a local gain, taken from the interpolated section so that nothing hidden shows in it: loss
    and network see loud and quiet parts alike. Scores are of the amplitudes without it.

    Axes: N batch, X the network's axes, the last one samples along a trace, the one before it traces along a line.
    """

    in_channels = 2
    out_channels = 1
    is_mean = True
    reach = REACH

    def __init__(
        self,
        data: TaskData,
        *,
        hide_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        error: Literal["l1", "l2"] = "l2",
        flip_polarity: bool = True,
    ) -> None:
        """Makes the task.

        Args:
            data: The network sees its last dimension, and the one before it.
            hide_fraction: Part of the live traces of a window that is hidden.
            error: What the loss sums over hidden samples: absolute or squared differences.
            flip_polarity: Whether every other example, at random, is turned upside down.

        Raises:
            InputError: If the windows hold no whole stretch of neighbouring traces.
        """
        if data.network_dims[-2:] != data.variable.dims[-2:]:
            raise InputError(
                f"config.window: reconstruction needs windows along {' and '.join(data.variable.dims[-2:])}, "
                f"found {', '.join(data.network_dims)}."
            )
        self._data = data
        self._fraction = hide_fraction
        self._error = error
        self._flip_polarity = flip_polarity
        units = {} if data.variable.units is None else {"units": data.variable.units}
        hidden_about = {"long_name": "trace hidden from the network"}
        self._restored_name = f"{data.name.rpartition('/')[2]}_restored"
        self.outputs = {
            self._restored_name: OutputVariable(data.variable.dims, "float32", np.nan, attributes=units),
            "hidden": OutputVariable(data.variable.dims[:-1], "bool", False, Role.COORDINATE, hidden_about),
        }

    def example(self, window: Window, *, generator: np.random.Generator) -> Example:
        """Hides a part of the live traces; weight 1 on their live samples. Targets: amplitude over gain, and gain."""
        hidden = hide_some(_live_traces(window), fraction=self._fraction, generator=generator)
        weight = (hidden[..., None] & window.live).astype(np.float32)
        inputs, gain = _network_input(window, hidden=hidden)
        target = np.stack([window.amplitude / gain, gain])
        if self._flip_polarity and generator.random() < 0.5:
            inputs[0], target[0] = -inputs[0], -target[0]
        return Example(inputs, target, weight)

    def sums(self, output: Tensor, *, batch: Batch) -> Tensor:
        """Errors on hidden samples, and their number."""
        difference = (_restored(output, batch=batch) - batch.target[:, 0]) * batch.weight
        errors = difference.abs() if self._error == "l1" else difference.square()
        return torch.stack([errors.sum(), batch.weight.sum().to(errors)])

    def loss(self, sums: Tensor) -> Tensor:
        """Mean error on hidden samples."""
        return sums[0] / sums[1].clamp(min=1)

    def statistics(self, output: Tensor, *, batch: Batch) -> Tensor:
        """Energy of hidden samples, of the network's errors on them, and of the interpolation's errors, float64."""
        (target, gain), weight = batch.target.double().unbind(1), batch.weight.double()
        parts = [target, _restored(output, batch=batch) - target, batch.input[:, 0] - target]
        return torch.stack([(weight * (part * gain).square()).sum() for part in parts])

    def metrics(self, statistics: npt.NDArray[np.generic]) -> dict[str, float]:
        """Signal-to-noise ratios in dB, 10 log10(sum x^2 / sum (x - y)^2), over hidden live samples of the split."""
        energy, errors, interpolation_errors = statistics.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            snr_db = 10 * np.log10(energy / errors)
            interpolation_snr_db = 10 * np.log10(energy / interpolation_errors)
        return {"snr_db": float(snr_db), "interpolation_snr_db": float(interpolation_snr_db)}

    def score(self, metrics: dict[str, float]) -> float:
        """Signal-to-noise ratio in dB."""
        return metrics["snr_db"]

    def picture(self, output: Tensor, *, batch: Batch) -> dict[str, Tensor]:
        """What the network saw, what was there, and what it restored."""
        visible = batch.input[0, 0] * batch.input[0, 1]
        return {"input": visible, "label": batch.target[0, 0], "prediction": _restored(output, batch=batch)[0]}

    def prediction_input(self, window: Window) -> npt.NDArray[np.float32]:
        """The input with the traces hidden that `hidden_on_grid` chooses."""
        return _network_input(window, hidden=self._hidden(window))[0]

    def predictions(self, output: npt.NDArray[np.float32], *, window: Window) -> dict[str, npt.NDArray[np.generic]]:
        """Amplitudes in the variable's units: visible traces as stored, hidden ones restored, NaN where not live."""
        hidden = self._hidden(window)
        inputs, gain = _network_input(window, hidden=hidden)
        restored = self._data.normalisation.undo((inputs[0] + output[0]) * gain)
        amplitude = np.where(hidden[..., None], restored, window.stored).astype(np.float32)
        traces_live = _live_traces(window)[..., None]
        return {self._restored_name: np.where(traces_live, amplitude, np.float32(np.nan)), "hidden": hidden}

    def _hidden(self, window: Window) -> npt.NDArray[np.bool_]:
        grid = self._data.variable.shape[:-1]
        chosen = hidden_on_grid(window.box[:-1], grid=grid, fraction=self._fraction, seed=self._data.seed)
        traces_live = _live_traces(window)
        return chosen.reshape(traces_live.shape) & traces_live


def _network_input(
    window: Window, *, hidden: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Both channels, and the gain that the first was divided by."""
    visible = _live_traces(window) & ~hidden
    interpolated = interpolate_linearly(window.amplitude, visible=visible)
    gain = local_gain(interpolated)
    mask = np.broadcast_to(visible[..., None], window.amplitude.shape)
    return np.stack([interpolated / gain, mask.astype(np.float32)]), gain


def _restored(output: Tensor, *, batch: Batch) -> Tensor:
    return batch.input[:, 0] + output[:, 0]


def _live_traces(window: Window) -> npt.NDArray[np.bool_]:
    return np.asarray(window.live.any(axis=-1))
