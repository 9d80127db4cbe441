"""What decoding costs in each sample format: whole columns decoded, cut into chunks and counted, over IEEE floats.

Small whole numbers, as integer files mostly hold, big endian, in memory, on one core. Times of as many samples, each
right after one of IEEE floats.
"""

from collections.abc import Callable
from statistics import median
from time import thread_time

import numpy as np
from call import CONSOLE, parse_call
from numpy.typing import NDArray
from rich.table import Table
from timing import Pairs, median_s, spread

from pipeline.segy.fields import IEEE, SAMPLE_FORMATS, TRACE_HEADER_NBYTES
from pipeline.segy.samples import StoredTraces, encode, to_bytes
from pipeline.shards.column import decode_column

WIDTH = 128
"""Samples of a trace in a chunk."""


def main() -> None:
    call = parse_call(__doc__, repeats=15)
    shape = (200, 300) if call.is_small else (2000, 1500)
    values = np.abs(np.random.default_rng(0).standard_normal(shape, np.float32) * 50).round()
    table = Table("sample format", "ns a sample", "over IEEE float", "least - greatest")
    reference = decoder(values, IEEE)
    for code, sample_format in SAMPLE_FORMATS.items():
        work = decoder(values, code)
        times = [
            [median_s(each, repeats=1, clock=thread_time) for each in (reference, work)] for _ in range(call.repeats)
        ]
        measured = Pairs(*zip(*times, strict=True))
        table.add_row(
            f"{code}, {sample_format.name}",
            f"{1e9 * median(measured.measured_s) / values.size:.2f}",
            f"{median(measured.ratios):.2f}",
            spread(measured.ratios),
        )
    CONSOLE.print(table)


def decoder(values: NDArray[np.float32], code: int) -> Callable[[], object]:
    """Decodes these samples, as a file of a format holds them."""
    headers = np.zeros((len(values), TRACE_HEADER_NBYTES), np.uint8)
    content = np.concatenate([headers, to_bytes(encode(values, code), code, "big")], axis=1)
    traces = StoredTraces(content, TRACE_HEADER_NBYTES, "big", code)
    rows, out = np.arange(len(values)), np.empty(len(values) * (values.shape[1] + WIDTH), np.float32)
    return lambda: decode_column(traces, rows, width=WIDTH, out=out)


if __name__ == "__main__":
    main()
