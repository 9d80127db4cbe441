"""How the traces of shards lie in their files: what reading a survey shard by shard costs follows from it."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from data_catalog.schema import Model

Count = Annotated[int, Field(ge=0)]


class ReadPattern(Model):
    """Counts over some shards; those of different shards add up.

    Attributes:
        shard_count: Shards that hold a trace.
        trace_count: Traces in them.
        run_count: Runs of successive trace numbers, shard by shard: reads, where nothing between them is read.
        span: Traces from the first to the last one of each shard: what one read for each shard would read.
    """

    shard_count: Count = 0
    trace_count: Count = 0
    run_count: Count = 0
    span: Count = 0

    def merged(self, other: "ReadPattern") -> "ReadPattern":
        """The counts over the shards of both."""
        return ReadPattern(
            shard_count=self.shard_count + other.shard_count,
            trace_count=self.trace_count + other.trace_count,
            run_count=self.run_count + other.run_count,
            span=self.span + other.span,
        )


def read_pattern(trace_numbers: NDArray[np.int64]) -> ReadPattern:
    """Counts over one shard.

    Args:
        trace_numbers: int64 on the trace axes of the shard, each number once; negative where there is no trace.
    """
    numbers = np.sort(trace_numbers[trace_numbers >= 0])
    if not numbers.size:
        return ReadPattern()
    return ReadPattern(
        shard_count=1,
        trace_count=numbers.size,
        run_count=1 + int((np.diff(numbers) > 1).sum()),
        span=int(numbers[-1] - numbers[0]) + 1,
    )
