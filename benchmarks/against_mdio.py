"""Conversion against multidimio, as whole commands with two workers each; `sync` included on both sides.

multidimio is installed into an environment of its own, in the benchmark's folder. It writes chunks as files of their
own; we put all chunks below one another into one shard, which is also what one task of either works on.

Rows
    its own settings    its codec (Blosc zstd 5, byte shuffle) and its chunks (128 x 128 x 128) on both sides; ours by
                        way of `convert_with_blosc`, on threads, since its codec is no option of ours
    our zstd            Blosc zstd 1, bit shuffle, on both sides, in its chunks; its by way of a template of its own
    our lz4             our default codec (Blosc lz4 5, bit shuffle) on both sides, in its chunks
    defaults            each side's own, as its documentation begins

What still differs in the first rows: it keeps the words of the standard that it knows of each trace header, we keep all
240 bytes; it gathers count, minimum, maximum and sums of the volume, we gather them and a histogram and a CRC-32C for
each chunk, and check each header and each sample word for whether it can be given back; it runs two processes, we run
two threads in one; we flush each object to the disk before it gets its name.
"""

import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import zarr
from call import CONSOLE, GB, Place, parse_call
from conversion import Target, run
from page_cache import read_through
from peers import install
from rich.table import Table
from surveys import write_survey
from timing import PAIR_COLUMNS, interleaved

from pipeline.plan.chunking import SAMPLE_NBYTES
from pipeline.segy.fields import TRACE_HEADER_NBYTES
from pipeline.synthetic.rehearsal import RehearsalSurvey
from pipeline.work.cluster import THREADS

REQUIREMENT = "multidimio==1.1.3"
CHUNK, SMALL_CHUNK = 128, 32
"""Samples along each dimension: multidimio's default, and for a quick check."""

CHUNKS_PER_TRACE = 12
"""Traces are whole chunks: neither side has padding."""

COMPARED_INLINES = 5
WORKERS = 2
BENCHMARKS = Path(__file__).parent


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(0.5,), repeats=3)
    (nbytes,) = call.sizes
    with call.place(room_nbytes=4 * nbytes) as place:
        python = install((call.folder or place.scratch) / "peers" / "mdio", [REQUIREMENT])
        if python is None:
            return
        chunk = SMALL_CHUNK if call.is_small else CHUNK
        source = write_survey(_survey(nbytes, chunk), place.sources)
        _compare(source, place, python, chunk, repeats=call.repeats)


def _survey(nbytes: int, chunk: int) -> RehearsalSurvey:
    """Whole chunks along all dimensions."""
    samples, crosslines = CHUNKS_PER_TRACE * chunk, 2 * chunk
    inlines_nbytes = chunk * crosslines * (TRACE_HEADER_NBYTES + SAMPLE_NBYTES * samples)
    inlines = max(1, round(nbytes / inlines_nbytes)) * chunk
    return RehearsalSurvey(inlines=inlines, crosslines=crosslines, samples=samples)


def _compare(source: Path, place: Place, python: Path, chunk: int, *, repeats: int) -> None:
    ours, theirs = Target(place.scratch / "ours"), Target(place.scratch / "theirs")
    chunk_nbytes = SAMPLE_NBYTES * chunk**3
    sizes = ("--chunk-size", f"{chunk_nbytes}", "--shard-size", f"{CHUNKS_PER_TRACE * chunk_nbytes}")
    in_its_chunks = ("--scheduler", THREADS, "--workers", str(WORKERS), *sizes)

    def with_blosc(codec: str, level: int, shuffle: str) -> list[str]:
        arguments = ours.arguments(source, *in_its_chunks, "--codec", codec)
        return [sys.executable, str(BENCHMARKS / "convert_with_blosc.py"), str(level), shuffle, *arguments]

    def its(*settings: str) -> list[str]:
        return [str(python), str(BENCHMARKS / "mdio_ingest.py"), str(source), str(theirs.store), *settings]

    rows = {
        "its own settings": (with_blosc("zstd", 5, "shuffle"), its(f"{chunk}", "zstd", "5", "shuffle")),
        "our zstd": (
            ours.command(source, *in_its_chunks, "--codec", "zstd"),
            its(f"{chunk}", "zstd", "1", "bitshuffle"),
        ),
        "our lz4": (ours.command(source, *in_its_chunks, "--codec", "lz4"), its(f"{chunk}", "lz4", "5", "bitshuffle")),
        "defaults": (ours.command(source, "--workers", str(WORKERS)), its()),
    }
    table = Table(
        "reference: multidimio",
        *PAIR_COLUMNS,
        "our store / source",
        "its store / source",
        "our chunk",
        "its chunk",
        title=f"{source.stat().st_size / GB:.2f} GB survey, cached; ours against {REQUIREMENT}",
        caption="whole commands, seconds: medians; a ratio below 1: ours is faster. What differs: see --help",
    )

    def prepare() -> None:
        ours.clear()
        theirs.clear()
        read_through(source)

    two_processes = os.environ | {"MDIO__IMPORT__CPU_COUNT": str(WORKERS)}
    for name, (our_command, its_command) in rows.items():
        # The reference's result is removed before ours is timed: what is compared is made once more, untimed.
        pairs = interleaved(
            {name: partial(run, our_command)},
            reference=partial(run, its_command, env=two_processes),
            before=prepare,
            repeats=repeats,
        )[name]
        run(its_command, env=two_processes)
        chunks = _compare_samples(ours.store, theirs.store)
        shares = (target.stored_nbytes() / source.stat().st_size for target in (ours, theirs))
        table.add_row(name, *pairs.cells(), *(f"{share:.3f}" for share in shares), *chunks)
    CONSOLE.print(table)


def _compare_samples(ours: Path, theirs: Path) -> list[str]:
    """Sees that some inlines hold the same samples in both stores, bit for bit; returns both chunk shapes."""
    arrays = [zarr.open_array(store / "amplitude", mode="r") for store in (ours, theirs)]
    for inline in np.linspace(0, arrays[0].shape[0] - 1, COMPARED_INLINES).astype(int):
        expected, found = (np.asarray(array[inline]) for array in arrays)
        if not np.array_equal(expected.view(np.uint32), found.view(np.uint32)):
            sys.exit(f"the stores differ on inline {inline}: what they take is not to be compared.")
    return [" x ".join(map(str, array.chunks)) for array in arrays]


if __name__ == "__main__":
    main()
