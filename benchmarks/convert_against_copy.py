"""Conversion of a cached IBM survey on two threads, as a multiple of copying the file.

Each conversion is timed right after a `cp` of the same file, which is in the page cache before either; `sync` is
included on both sides. The whole command includes the start of Python and the imports; "in process" does not. The bare
run is the limit of the machine: the same threads read the file, and write as many bytes as the conversion stored, file
by file with fsync and rename, and do nothing else.
"""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from call import CONSOLE, GB, parse_call
from conversion import NAME, Target, run
from distributed import Client
from page_cache import cached_share, read_through, told
from rich.table import Table
from surveys import survey_of, write_survey
from timing import PAIR_COLUMNS, Pairs, interleaved

from data_catalog import Catalog
from pipeline.convert import Conduct, convert
from pipeline.recipe import load_recipe
from pipeline.store.ledger import STAGES
from pipeline.telemetry import Telemetry
from pipeline.work.cluster import THREADS, dask_client
from pipeline.work.progress import CONSOLE as PROGRESS

CODECS = ("lz4", "none")
WORKERS = 2
PART_NBYTES = 128 * 2**20
"""Read at once, and written to one file, by the bare run: a shard of a large survey."""


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(4.0,), repeats=5)
    (nbytes,) = call.sizes
    with call.place(room_nbytes=4 * nbytes) as place:
        source = write_survey(survey_of(nbytes), place.sources)
        with dask_client(scheduler=THREADS, workers=WORKERS, memory="auto") as client:
            bench = _Bench(source, place.scratch, client)
            variants = {f"whole command, {codec}": partial(bench.command, codec) for codec in CODECS}
            variants |= {f"in process, {codec}": partial(bench.in_process, codec) for codec in CODECS}
            variants |= {f"bare, bytes of {codec}": partial(bench.bare, codec) for codec in CODECS}
            pairs = interleaved(variants, reference=bench.copy, before=bench.prepare, repeats=call.repeats)
        _print_ratios(bench, pairs)
        _print_stages(bench, pairs)


class _Bench:
    """What is timed, on one source."""

    def __init__(self, source: Path, scratch: Path, client: Client) -> None:
        self.source = source
        self.client = client
        self.target = Target(scratch / "target")
        self.copied = scratch / "copy.sgy"
        self.bare_folder = scratch / "bare"
        self.stored_share: dict[str, float] = {}
        self.buffers = [bytearray(PART_NBYTES) for _ in range(WORKERS)]
        self.telemetry = {codec: Telemetry() for codec in CODECS}
        self.cached: list[float | None] = []

    def prepare(self) -> None:
        self.target.clear()
        self.copied.unlink(missing_ok=True)
        shutil.rmtree(self.bare_folder, ignore_errors=True)
        self.bare_folder.mkdir()
        os.sync()
        read_through(self.source)
        self.cached.append(cached_share(self.source))

    def copy(self) -> None:
        subprocess.run(["cp", self.source, self.copied], check=True)

    def command(self, codec: str) -> None:
        run(self.target.command(self.source, "--scheduler", THREADS, "--workers", str(WORKERS), "--codec", codec))
        self.stored_share[codec] = self.target.stored_nbytes() / self.source.stat().st_size

    def in_process(self, codec: str) -> None:
        recipe = load_recipe(name=NAME, paths=(str(self.source),), out=str(self.target.store), codec=codec)
        PROGRESS.quiet = True
        conduct = Conduct(telemetry=self.telemetry[codec])
        convert(recipe, client=self.client, catalog=Catalog(self.target.catalog), conduct=conduct)

    def bare(self, codec: str) -> None:
        size = self.source.stat().st_size
        share = self.stored_share[codec]

        def work(thread: int) -> None:
            buffer = memoryview(self.buffers[thread])
            with open(self.source, "rb", buffering=0) as file:
                for number in range(thread, -(-size // PART_NBYTES), WORKERS):
                    file.seek(number * PART_NBYTES)
                    found = file.readinto(buffer)
                    part = self.bare_folder / f"{number}"
                    _write_part(part, buffer[: min(PART_NBYTES, round(found * share))])

        with ThreadPoolExecutor(WORKERS) as threads:
            list(threads.map(work, range(WORKERS)))


def _write_part(path: Path, content: memoryview) -> None:
    partial = path.with_suffix(".partial")
    with open(partial, "wb", buffering=0) as file:
        while content:
            content = content[file.write(content) :]
        os.fsync(file.fileno())
    partial.replace(path)


def _print_ratios(bench: _Bench, pairs: dict[str, Pairs]) -> None:
    size = bench.source.stat().st_size
    table = Table(
        "reference: cp and sync",
        *PAIR_COLUMNS,
        "store / source",
        title=f"{size / GB:.2f} GB IBM survey, {WORKERS} threads",
        caption=f"seconds: medians; of the file in the page cache: {told(bench.cached)}",
    )
    for name, measured in pairs.items():
        table.add_row(name, *measured.cells(), f"{bench.stored_share[name.split()[-1]]:.3f}")
    CONSOLE.print(table)


def _print_stages(bench: _Bench, pairs: dict[str, Pairs]) -> None:
    table = Table(
        "in process",
        *(f"{stage}, s (share)" for stage in (*STAGES, "elsewhere")),
        title="where the threads' time goes, per conversion",
        caption=f"of {WORKERS} threads together; elsewhere: Dask, the template, the ledger, waiting for the last shard",
    )
    for codec in CODECS:
        elapsed = pairs[f"in process, {codec}"].measured_s
        in_threads = WORKERS * sum(elapsed)
        stages = bench.telemetry[codec].seconds
        seconds = [*stages.values(), in_threads - sum(stages.values())]
        table.add_row(codec, *(f"{each / len(elapsed):.2f} ({each / in_threads:.0%})" for each in seconds))
    CONSOLE.print(table)


if __name__ == "__main__":
    main()
