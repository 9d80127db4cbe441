"""What there is one of for each trace, put onto the cells of a shard."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.plan.design import StoreDesign
from pipeline.shards.output import ShardOutput
from pipeline.store.ledger import Shard
from pipeline.survey.header_words import HeaderWords


def on_grid(design: StoreDesign, shard: Shard, cells: Any, values: NDArray[Any], *, fill: float) -> NDArray[Any]:
    """Values in the cells of their traces.

    Args:
        design: What the store holds.
        shard: Index on the trace dimensions.
        cells: Index arrays of the traces' cells.
        values: (trace, ...).
        fill: Where there is no trace.
    """
    where = design.chunks.trace_slices(shard)
    grid = np.full((*(part.stop - part.start for part in where), *values.shape[1:]), fill, values.dtype)
    grid[cells] = values
    return grid


def write_coordinates(output: ShardOutput, design: StoreDesign, shard: Shard, cells: Any, words: HeaderWords) -> None:
    """Writes the coordinates of a shard's traces, and its part of an axis that counts them.

    Args:
        output: Takes them.
        design: What the store holds.
        shard: Index on the trace dimensions.
        cells: Index arrays of the traces' cells.
        words: The traces' header words.
    """
    for coordinate in design.coordinates:
        values = coordinate.values(words).astype(coordinate.dtype)
        grid = on_grid(design, shard, cells, values, fill=coordinate.empty)
        output.write_per_trace(coordinate.name, grid, fill=coordinate.empty)
    where = design.chunks.trace_slices(shard)
    if len(where) == 1:
        axis = design.axes[0]
        output.write_per_trace(axis.name, axis.labels(where[0].start, where[0].stop), fill=0)
