"""One shard of a dataset that another one begins with: its objects as they are, and what is known of them."""

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError, layout
from pipeline.plan.design import StoreDesign
from pipeline.shards.output import ShardOutput
from pipeline.shards.reuse import Predecessor
from pipeline.shards.trace_values import write_coordinates
from pipeline.store.ledger import Shard
from pipeline.survey.files import Survey
from pipeline.survey.header_words import summarise
from pipeline.survey.order import NO_TRACE


def take_over(
    predecessor: Predecessor,
    shard: Shard,
    numbers: dict[str, NDArray[np.int64]],
    design: StoreDesign,
    surveys: dict[str, Survey],
    output: ShardOutput,
) -> bool:
    """Takes a shard over from an earlier dataset, if it has the same traces there.

    Args:
        predecessor: The earlier dataset.
        shard: Index on the trace dimensions.
        numbers: Trace number of each cell of the shard, by variable.
        design: What the new store holds.
        surveys: Files of each variable.
        output: Takes the objects and what is to be said of them.

    Returns:
        Whether it had them; if not, nothing was done.

    Raises:
        InputError: If objects of the earlier dataset are lost.
    """
    earlier = predecessor.shard_at(shard, design.axes, design.chunks)
    if earlier is None or any(
        not np.array_equal(predecessor.trace_numbers(earlier, volume.key), numbers[volume.name])
        for volume in design.volumes
    ):
        return False

    def hand_over(path: str, *, extra_dims: int) -> int:
        return output.take_over(
            path, predecessor.object_url(path, earlier, extra_dims=extra_dims), extra_dims=extra_dims
        )

    hand_over(layout.LIVE, extra_dims=0)
    for volume in design.volumes:
        hand_over(layout.trace_number_path(volume.key), extra_dims=0)
        hand_over(layout.fate_path(volume.key), extra_dims=0)
        hand_over(layout.residue_path(volume.name), extra_dims=1)
        hand_over(layout.trace_header_path(volume.key), extra_dims=1)
        manifest = predecessor.manifest(earlier, volume.name, design.manifest_arrays(volume))
        is_stored = hand_over(volume.name, extra_dims=1) > 0
        if is_stored == manifest[f"{volume.name}/{layout.IS_FILL}"].all():
            raise InputError(f"{predecessor.url} lost its shard {earlier}: convert all files anew, without --extend.")
        output.manifest |= manifest
        headers = predecessor.trace_headers(earlier, volume.key)
        occupied = numbers[volume.name] != NO_TRACE
        in_file_order = np.argsort(numbers[volume.name][occupied])
        words = surveys[volume.name].header_words(
            numbers[volume.name][occupied][in_file_order], headers[occupied][in_file_order]
        )
        output.headers[volume.name] = summarise(words)
        if volume.is_main:  # its coordinates may come from other header words by now
            cells = tuple(index[in_file_order] for index in np.nonzero(occupied))
            write_coordinates(output, design, shard, cells, words)
    output.fates = predecessor.fates(earlier)
    return True
