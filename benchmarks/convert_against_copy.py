"""Conversion of the demo's survey on two threads, as a multiple of copying the file, in interleaved pairs.

``sync`` is included on both sides.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_catalog import Catalog
from pipeline.convert import convert
from pipeline.engine import THREADS, dask_client
from pipeline.recipe import load_recipe

SURVEY = Path(__file__).parents[1] / "notebooks" / "demo" / "salt_survey.yaml"
PAIRS = 3


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="tracemill-") as name:
        folder = Path(name)
        make = [sys.executable, "-m", "pipeline", "synthesize", str(SURVEY), "--out", name]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        source = folder / "amplitude.segy"
        table = Table("codec", "copy, s", "convert, s", "ratio, median", "store / source", title=f"{PAIRS} pairs")
        with dask_client(scheduler=THREADS, workers=2, memory="auto") as client:
            for codec in ("none", "zstd"):
                pairs = []
                for _ in range(PAIRS):
                    copied = _timed(lambda: shutil.copy(source, folder / "copy"))
                    shutil.rmtree(folder / "store", ignore_errors=True)
                    catalog = Catalog(tempfile.mkdtemp(dir=folder))
                    recipe = load_recipe(name="x", paths=(str(source),), out=str(folder / "store"), codec=codec)
                    pairs.append((copied, _timed(lambda: convert(recipe, client=client, catalog=catalog))))  # noqa: B023
                stored = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
                ratio = statistics.median(converted / copied for copied, converted in pairs)
                medians = (statistics.median(times) for times in zip(*pairs, strict=True))
                table.add_row(
                    codec, *(f"{s:.2f}" for s in medians), f"{ratio:.1f}", f"{stored / source.stat().st_size:.3f}"
                )
        Console().print(table)


def _timed(work: Callable[[], object]) -> float:
    os.sync()
    begun = time.perf_counter()
    work()
    os.sync()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
