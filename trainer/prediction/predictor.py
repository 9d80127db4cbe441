"""A network run over tiles, its outputs gathered into whole shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainer.feed.window_reader import WindowReader
from trainer.models.arithmetic import Arithmetic
from trainer.plan.windows import Ranges
from trainer.prediction.tiles import Tile, Tiling, intersection, within
from trainer.reads.zarr_array import ZarrArray
from trainer.tasks.task import Task, Window

Samples = npt.NDArray[np.generic]

EVERY_CHANNEL = (slice(None), slice(None))
"""Of every section."""


@dataclass(frozen=True)
class Predictor:
    """Predicts and writes shards of the output variables.

    Attributes:
        model: In evaluation mode, on ``device``, in the precision of ``arithmetic``.
        arithmetic: How it is run.
        task: Makes inputs and names outputs.
        reader: Reads the input variable.
        tiling: How the volume is cut for the network.
        arrays: The output variables, for writing.
        device: Where the network computes.
    """

    model: nn.Module
    arithmetic: Arithmetic
    task: Task
    reader: WindowReader
    tiling: Tiling
    arrays: dict[str, ZarrArray]
    device: torch.device

    def write_column(self, shards: tuple[Ranges, ...], *, boxes: tuple[Ranges, ...]) -> None:
        """Predicts where the boxes reach into a column of shards; writes each shard once, whole."""
        trace_buffers = self._buffers(shards[0][:-1])
        for shard in shards:
            sample_buffers = self._buffers(shard)
            for region in filter(None, (intersection(shard, box) for box in boxes)):
                for slab in self.tiling.slabs(region):
                    self._predict_slab(slab, shard=shard, buffers=sample_buffers | trace_buffers)
            self._write(sample_buffers, place=shard)
        self._write(trace_buffers, place=shards[0][:-1])

    def _buffers(self, place: Ranges) -> dict[str, Samples]:
        return {
            name: np.full([stop - start for start, stop in place], array.fill_value, dtype=array.dtype)
            for name, array in self.arrays.items()
            if array.ndim == len(place)
        }

    def _write(self, buffers: dict[str, Samples], *, place: Ranges) -> None:
        for name, samples in buffers.items():
            self.arrays[name][tuple(slice(*bounds) for bounds in place)] = samples

    def _predict_slab(self, slab: Ranges, *, shard: Ranges, buffers: dict[str, Samples]) -> None:
        """Reads a slab with its halo once; tiles are parts of that."""
        shown = self.reader.read_box(self.tiling.shown(slab))
        windows = list(sections(shown, axes=self.tiling.network_axes))
        for window, output in zip(windows, self._outputs(slab, shown=shown.box, windows=windows), strict=True):
            core = intersection(window.box, slab)
            assert core is not None, "every section of what is shown crosses its slab"
            for name, values in self.task.predictions(output, window=window).items():
                rank = buffers[name].ndim  # variables without the last dimension leave it out of every box
                there = values.reshape([stop - start for start, stop in window.box[:rank]])
                kept = there[within(core[:rank], outer=window.box[:rank])]
                buffers[name][within(core[:rank], outer=shard[:rank])] = kept

    def _outputs(self, slab: Ranges, *, shown: Ranges, windows: Sequence[Window]) -> npt.NDArray[np.float32]:
        """What the network says of a slab, its tiles blended, in all that is shown of it, (section, C, X); 0 around."""
        outputs = np.zeros((len(windows), self.task.out_channels, *windows[0].amplitude.shape), dtype=np.float32)
        for tile in self.tiling.tiles(slab):
            place = self._seen(within(tile.read, outer=shown))
            said = self._run_network([self._cut(window, place, box=tile.read) for window in windows], tile=tile)
            kept = said[*EVERY_CHANNEL, *self._seen(within(tile.kept, outer=tile.read))]
            weights = reduce(np.multiply.outer, tile.weights)
            outputs[*EVERY_CHANNEL, *self._seen(within(tile.kept, outer=shown))] += weights * kept
        return outputs

    @torch.no_grad()
    def _run_network(self, windows: Sequence[Window], *, tile: Tile) -> npt.NDArray[np.float32]:
        """(section, C, X) of (section, X)."""
        inputs = np.stack([self.task.prediction_input(window) for window in windows])
        behind = [(0, 0), (0, 0), *((0, extra) for extra in self.tiling.padding(tile))]
        outputs = self.arithmetic.run(self.model, torch.from_numpy(np.pad(inputs, behind)).to(self.device))
        return np.asarray(outputs.float().cpu()[*EVERY_CHANNEL, *map(slice, inputs.shape[2:])])

    def _cut(self, section: Window, place: tuple[slice, ...], *, box: Ranges) -> Window:
        """A part of a section; ``box`` says where it lies along the network's axes."""
        axes = self.tiling.network_axes
        return replace(
            section,
            stored=section.stored[place],
            amplitude=section.amplitude[place],
            live=section.live[place],
            box=tuple(box[axis] if axis in axes else bounds for axis, bounds in enumerate(section.box)),
        )

    def _seen(self, place: tuple[slice, ...]) -> tuple[slice, ...]:
        """Of a place in the volume that along the network's axes."""
        return tuple(place[axis] for axis in self.tiling.network_axes)


def sections(window: Window, *, axes: tuple[int, ...]) -> Iterator[Window]:
    """Cuts a window into sections along the axes that the network sees, the last of the others fastest.

    Args:
        window: On all dimensions of the variable, without label.
        axes: Dimensions that the network sees, ascending.
    """
    others = [range(*bounds) if axis not in axes else [None] for axis, bounds in enumerate(window.box)]
    for place in product(*others):
        cut = tuple(slice(None) if at is None else at - start for at, (start, _) in zip(place, window.box, strict=True))
        box = tuple(bounds if at is None else (at, at + 1) for at, bounds in zip(place, window.box, strict=True))
        yield replace(
            window, stored=window.stored[cut], amplitude=window.amplitude[cut], live=window.live[cut], box=box
        )
