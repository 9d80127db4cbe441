"""Runs benchmarks and prints their tables: those that together take about ten minutes, or the ones named.

    python benchmarks/run.py
    python benchmarks/run.py convert_against_copy one_pass --folder /data/bench
    python benchmarks/run.py rehearsal --size 750
    python benchmarks/run.py --small

What follows the names is passed on (--folder, --size, --repeats, --small; NAME --help says which). Each works in a
temporary folder, or below --folder, or below $TRACEMILL_BENCH_FOLDER, on the disk that is to be measured.
"""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

import psutil

FOLDER = Path(__file__).parent

BENCHMARKS: dict[str, tuple[str, ...] | None] = {
    "salt_thresholds": (),
    "number_formats": (),
    "sample_formats": (),
    "hostile_headers": ("--repeats", "20000"),
    "codec_rates": (),
    "chunk_layouts": (),
    "convert_against_copy": ("--size", "1", "--repeats", "3"),
    "scan_rate": ("--size", "1"),
    "one_pass": ("--size", "1"),
    "catalog_page": (),
    "loader_against_memmap": None,
    "loader_against_peers": None,
    "loader_at_size": None,
    "chunk_readers": None,
    "two_ranks": None,
    "unet_4096": None,
    "scaling": None,
    "against_mdio": None,
    "memory": None,
    "label_memory": None,
    "rehearsal": None,
}
"""With which arguments each is run where none is named; None: only by name, since it takes long or installs a peer.

Sizes for which figures are claimed are those that a benchmark has by itself, when it is named."""

OPTION = "-"
LIBRARIES = ("numpy", "numba", "numcodecs", "zarr", "dask")


def main() -> None:
    names = list(takewhile(lambda argument: not argument.startswith(OPTION), sys.argv[1:]))
    options = sys.argv[1 + len(names) :]
    if {"-h", "--help"} & set(options) and not names:
        print(f"{__doc__}\nBenchmarks: {', '.join(BENCHMARKS)}.")
        return
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"no benchmark named {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    by_default = {name: given for name, given in BENCHMARKS.items() if given is not None}
    wanted = dict.fromkeys(names, ()) if names else by_default
    print(_machine())
    for name, given in wanted.items():
        print(f"\n== {' '.join([name, *given, *options])}", flush=True)
        subprocess.run([sys.executable, FOLDER / f"{name}.py", *given, *options], check=True)


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


if __name__ == "__main__":
    main()
