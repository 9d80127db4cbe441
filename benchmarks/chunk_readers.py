"""Whole chunks in random order, cached, by each reader there is and by libraries that could have been one.

MB/s of decoded samples, by one thread and by as many as there are cores. Ours decode into memory that is used again.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from call import CONSOLE, parse_call
from peers import install
from prepared import prepare
from rich.table import Table

REQUIREMENTS = ("zarr==3.1.6", "zarrs==0.2.3", "tensorstore==0.1.86")
OURS, THEIRS = ("mapped files", "byte ranges", "zarr"), ("zarrs", "tensorstore")
CHUNKS = ((512, 512),)
THREADS = (1, os.cpu_count() or 1)


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(1.0,), repeats=3)
    table = Table("codec", "chunk", "reader", *(f"MB/s, {count} threads" for count in THREADS))
    with call.place(room_nbytes=3 * call.sizes[0]) as place:
        peers = install((call.folder or place.scratch) / "peers" / "readers", REQUIREMENTS)
        pythons = dict.fromkeys(OURS, Path(sys.executable)) | (dict.fromkeys(THEIRS, peers) if peers else {})
        for codec in ("none", "lz4"):
            for chunk in CHUNKS:
                rows = max(2, round(call.sizes[0] / (4 * 16384 * chunk[0])))
                name, _ = prepare(place.scratch, shape=(rows * chunk[0], 16384), chunk=chunk, codec=codec)
                url = place.scratch / f"{name}.zarr" / "amplitude"
                rates = {
                    name: [_rates(python, name, url) for _ in range(call.repeats)] for name, python in pythons.items()
                }
                for reader, found in rates.items():
                    cells = (f"{median(each):.0f}" for each in zip(*found, strict=True))
                    table.add_row(codec, "x".join(map(str, chunk)), reader, *cells)
    CONSOLE.print(table)


def _rates(python: Path, name: str, url: Path) -> list[float]:
    script = Path(__file__).with_name("peer_reader.py")
    commands = ([python, script, name, url, str(count)] for count in THREADS)
    told = (subprocess.run(each, capture_output=True, text=True, check=True).stdout for each in commands)
    return [float(json.loads(line)["mb_per_s"]) for line in told]


if __name__ == "__main__":
    main()
