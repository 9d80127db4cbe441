"""How long the web site of a catalog takes: of a hundred small datasets of all kinds, with labels, and of a huge one.

    python benchmarks/catalog_page.py [--datasets 100] [--folder FOLDER]

Datasets are synthetic; they are written first, and do not count. Of the huge one there is metadata alone.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from data_catalog import Catalog, Kind, Role
from tests.data_catalog.huge_store import write_huge_dataset
from tests.data_catalog.written_store import Made, classes, dipping, write_dataset

SHAPES: dict[Kind, dict[str, int]] = {
    Kind.STACK3D: {"inline": 64, "crossline": 96, "time": 200},
    Kind.STACK2D: {"trace": 600, "time": 500},
    Kind.GATHERS: {"inline": 8, "crossline": 12, "offset": 24, "time": 200},
    Kind.SHOTS: {"shot": 12, "channel": 96, "time": 500},
    Kind.PASSIVE: {"record": 8, "receiver": 48, "time": 500},
    Kind.FLAT: {"trace": 800, "time": 300},
    Kind.EXAMPLES: {"example": 40, "component": 3, "time": 1500},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=os.environ.get("TRACEMILL_BENCH_FOLDER"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        many, huge = (Catalog(Path(folder) / name / "catalog") for name in ("many", "huge"))
        for number in range(arguments.datasets):
            write(many, number)
        site = Path(folder) / "many/site"
        told = measured(many, site)
        sizes = [path.stat().st_size for path in site.rglob("*") if path.is_file()]
        print(f"{arguments.datasets} datasets: {told}, {sum(sizes) / 1e6 / arguments.datasets:.2f} MB a dataset")
        samples_nbytes = np.prod(list(write_huge_dataset(huge).sizes.values()), dtype=np.int64) * 4
        print(f"one of {samples_nbytes / 1e9:.0f} GB: {measured(huge, Path(folder) / 'huge/site')}")


def measured(catalog: Catalog, site: Path) -> str:
    """Runs the command; says what it took, its own start and all its processes included."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "data_catalog", "page", "--out", site, "--catalog", catalog.place]
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return (
        f"{time.perf_counter() - begun:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of processors), "
        f"at most {used.ru_maxrss / 1024:.0f} MiB a process"
    )


def write(catalog: Catalog, number: int) -> None:
    """One dataset, of each kind in turn, with two labels and splits along its slowest dimension."""
    kind = list(SHAPES)[number % len(SHAPES)]
    sizes = SHAPES[kind]
    dims, shape = tuple(sizes), tuple(sizes.values())
    amplitude = dipping(shape, seed=number)
    first, size = dims[0], shape[0]
    write_dataset(
        catalog,
        f"{kind.value}-{number:03d}",
        {
            "amplitude": Made(Role.INPUT, dims, amplitude),
            "salt": classes(dims, amplitude > np.float32(50), "rock", "salt"),
            "live": Made(Role.COORDINATE, dims[:-1], np.ones(shape[:-1], bool)),
        },
        kind=kind,
        chunk=128,
        derived={
            "zones": {"label": classes(dims, np.digitize(amplitude, (-50, 0, 50)), "low", "some", "more", "high")}
        },
        splits={"train": ({first: (0, size // 2)},), "test": ({first: (size // 2 + 1, size)},)},
    )


if __name__ == "__main__":
    main()
