"""A store of more than 10 GiB: memory over 2,000 steps, the first of ten million windows, how long a network waits.

Memory is anonymous memory, less that of the same process before it reads, for a budget of 512 MiB (416 of decoded
chunks, 96 of batches). The first batch is timed from the call that opens the dataset, in a process that has imported
all. Busy is the share of the time that simulated steps take, each as long as one core takes to decode the chunks under
the windows of a batch.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from call import CONSOLE, parse_call
from prepared import prepare
from rich.table import Table

TRACE, CHUNK = 16384, 512
CUBE = (64, 64, 128)
"""The pipeline's default chunk, 2 MiB; windows are chunks."""

SLICE_NBYTES, MOST_CUBES_NBYTES = 4 * 64 * 1024 * 1024, 4 * 10**9


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(15.0,), repeats=3)
    (nbytes,) = call.sizes
    table = Table("what", "figure", "each run")
    with call.place(room_nbytes=2 * nbytes) as place:
        traces = CHUNK * max(4, round(nbytes / (4 * TRACE * CHUNK)))
        name, catalog = prepare(place.scratch, shape=(traces, TRACE), chunk=(CHUNK, CHUNK), codec="lz4")
        table.add_row("store", "gib", f"{_nbytes(place.scratch / f'{name}.zarr') / 2**30:.1f}")
        cube = (CUBE[0] * max(2, round(min(nbytes, MOST_CUBES_NBYTES) / SLICE_NBYTES)), 16 * CUBE[1], 8 * CUBE[2])
        aligned, _ = prepare(place.scratch, shape=cube, chunk=CUBE, codec="lz4")
        names = {"first_batch": name, "memory": name, "busy_overlapping": name, "busy_aligned": aligned}
        os.sync()
        for part, of in names.items():
            script = Path(__file__).with_name("loader_process.py")
            command = [sys.executable, script, part, of, catalog.place]
            runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(call.repeats)]
            found = [json.loads(run.stdout) for run in runs]
            for figure in found[0]:
                table.add_row(part, figure, ", ".join(f"{each[figure]:.4g}" for each in found))
    CONSOLE.print(table)


def _nbytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
