"""A network run over tiles, its outputs gathered into whole shards."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainer.feed.window_reader import WindowReader, sections
from trainer.plan.windows import Ranges
from trainer.prediction.tiles import Tile, Tiling, intersection, within
from trainer.reads.zarr_array import ZarrArray
from trainer.tasks.task import Task, Window

Samples = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Predictor:
    """Predicts and writes shards of the output variables.

    Attributes:
        model: In evaluation mode, on ``device``.
        task: Makes inputs and names outputs.
        reader: Reads the input variable.
        tiling: How the volume is cut for the network.
        arrays: The output variables, for writing.
        device: Where the network computes.
    """

    model: nn.Module
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
                for tile in self.tiling.tiles(region):
                    self._predict_tile(tile, shard=shard, buffers=sample_buffers | trace_buffers)
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

    def _predict_tile(self, tile: Tile, *, shard: Ranges, buffers: dict[str, Samples]) -> None:
        for window, output in self._run_network(tile):
            core = intersection(window.box, tile.core)
            assert core is not None, "every section of a tile crosses its core"
            for name, values in self.task.predictions(output, window=window).items():
                rank = buffers[name].ndim  # variables without the last dimension leave it out of every box
                there = values.reshape([stop - start for start, stop in window.box[:rank]])
                kept = there[within(core[:rank], outer=window.box[:rank])]
                buffers[name][within(core[:rank], outer=shard[:rank])] = kept

    @torch.no_grad()
    def _run_network(self, tile: Tile) -> Iterator[tuple[Window, npt.NDArray[np.float32]]]:
        windows = list(sections(self.reader.read_box(tile.read), axes=self.tiling.network_axes))
        behind = [(0, 0), (0, 0), *((0, extra) for extra in self.tiling.padding(tile))]
        inputs = np.pad(np.stack([self.task.prediction_input(window) for window in windows]), behind)
        outputs = self.model(torch.from_numpy(inputs).to(self.device)).cpu().numpy()
        for window, output in zip(windows, outputs, strict=True):
            yield window, output[(slice(None), *map(slice, window.amplitude.shape))]
