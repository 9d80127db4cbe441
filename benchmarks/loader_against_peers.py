"""Overlapping windows in random order: windows a second of our loader and of others, on the same samples, cached.

Two dimensions: windows of 256 x 256, half of it apart. Three: 128 x 128 x 128. Batches of 16 and 4, two threads against
two workers. `DataLoader` over plain zarr and xbatcher read the same store; MosaicML streaming, webdataset and LitData
are given the first windows of the order, cut out beforehand: each in its own format, uncompressed.

Read: encoded bytes read in an epoch over those of the distinct chunks; planned: the same in decoded bytes where no
chunk is there any more when another group needs it. Mixing: batch means of what drifts along the first dimension; their
variance over that of a full shuffle, and the correlation of neighbouring ones, three epochs.
"""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from call import CONSOLE, MIB, Call, parse_call
from mixing import mixing
from peers import install
from prepared import DIMS, prepare
from rich.table import Table

from trainer import WindowDataset
from trainer.config import FeedConfig

REQUIREMENTS = (
    "zarr==3.1.6",
    "xarray==2026.9.0",
    "xbatcher==0.4.0",
    "mosaicml-streaming==0.13.0",
    "webdataset==1.0.2",
    "litdata==0.2.76",
)
READING_THE_STORE = ("zarr", "xbatcher")
READING_SAMPLES = ("streaming", "webdataset", "litdata")
WINDOWS_CUT = 6000
"""As many as peers are given that read samples one by one."""

WINDOWS, PEER_WINDOWS = {2: 24_000, 3: 600}, {2: 2000, 3: 60}
"""As many as is timed, by the number of dimensions; plain zarr reads a few hundred a second, or a few."""


@dataclass(frozen=True)
class Case:
    """Windows out of chunks.

    Attributes:
        chunk: Inner chunk.
        window: Window.
        batch_size: Windows of a batch.
        resident_nbytes: Budget of decoded chunks.
        share: Of the size that was asked for.
        peers: Whom to compare with.
    """

    chunk: tuple[int, ...]
    window: tuple[int, ...]
    batch_size: int
    resident_nbytes: int
    share: float
    peers: tuple[str, ...]


CASES = (
    Case((512, 512), (256, 256), 16, 1024 * MIB, 1.0, READING_THE_STORE + READING_SAMPLES),
    Case((512, 4096), (256, 256), 16, 8192 * MIB, 1.0, READING_THE_STORE),
    Case((64, 64, 128), (128, 128, 128), 4, 1024 * MIB, 0.5, READING_THE_STORE),
)


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(8.0,), repeats=3)
    with call.place(room_nbytes=2 * call.sizes[0]) as place:
        python = install((call.folder or place.scratch) / "peers" / "loaders", REQUIREMENTS)
        ours = Table(
            "chunk", "window", "budget, MiB", "lanes", "windows/s", "planned", "read", "variance", "correlation"
        )
        theirs = Table("chunk", "window", "peer", "windows/s", "ours / its", "least - greatest")
        for case in CASES:
            _measure(case, call, place.scratch, python, ours, theirs)
    CONSOLE.print(ours)
    CONSOLE.print(theirs)


def _measure(case: Case, call: Call, folder: Path, python: Path | None, ours: Table, theirs: Table) -> None:
    shape = _shape(call.sizes[0] * case.share, case.chunk)
    name, catalog = prepare(folder, shape=shape, chunk=case.chunk, codec="lz4")
    dataset = WindowDataset(
        name,
        window=dict(zip(DIMS[len(shape)], case.window, strict=True)),
        batch_size=case.batch_size,
        normalise=False,
        feed=FeedConfig(resident_nbytes=case.resident_nbytes),
        catalog=catalog.place,
    )
    _rate(dataset, windows=len(dataset.plan))  # checks checksums, and brings the store into the page cache
    counts = dataset.reader.boxes.counts
    read = counts.encoded_nbytes / counts.distinct_nbytes
    firsts, _ = dataset.plan.ranges(np.arange(len(dataset.plan)))
    variance, correlation = mixing(dataset.order, firsts[:, 0].astype(float), epochs=3)
    timed = WINDOWS[len(shape)]
    of_peers: dict[str, list[tuple[float, float]]] = {}
    if python:
        work = folder / f"{name}_peers"
        _give(work, folder / f"{name}.zarr", dataset)
        for peer in case.peers:
            run = _peer(python, peer, work, case)
            run("write")
            of_peers[peer] = [(_rate(dataset, windows=timed), run()) for _ in range(call.repeats)]
    rates = [rate for pairs in of_peers.values() for rate, _ in pairs] or [_rate(dataset, windows=timed)]
    sizes = "x".join(map(str, case.chunk)), "x".join(map(str, case.window))
    budget, lanes = case.resident_nbytes // MIB, dataset.grouping.shape.lanes
    planned = f"{dataset.grouping.amplification:.2f}"
    figures = f"{median(rates):.0f}", planned, f"{read:.2f}", f"{variance:.2f}", f"{correlation:.2f}"
    ours.add_row(*sizes, f"{budget}", f"{lanes}", *figures)
    for peer, pairs in of_peers.items():
        ratios = [rate / its for rate, its in pairs]
        spread = f"{min(ratios):.1f} - {max(ratios):.1f}"
        theirs.add_row(*sizes, peer, f"{median(its for _, its in pairs):.0f}", f"{median(ratios):.1f}", spread)


def _shape(nbytes: float, chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Whole chunks: a line of 16384 samples a trace, or a cube."""
    if len(chunk) == 2:
        return chunk[0] * max(2, round(nbytes / (4 * 16384 * chunk[0]))), 16384
    edge = round((nbytes / 4) ** (1 / 3))
    return tuple(extent * max(4, round(edge / extent)) for extent in chunk)


def _rate(dataset: WindowDataset, *, windows: int) -> float:
    """Windows a second from the beginning of an epoch on, the first batch aside."""
    size = dataset.order.batch_size
    steps = range(min(len(dataset), 1 + windows // size))
    with dataset.feed(steps) as feed:
        next(feed)
        started = time.perf_counter()
        for _ in feed:
            pass
    return (len(steps) - 1) * size / (time.perf_counter() - started)


def _give(work: Path, store: Path, dataset: WindowDataset) -> None:
    """Tells peers where the store is, and which windows."""
    work.mkdir(exist_ok=True)
    link = work / "survey.zarr"
    link.unlink(missing_ok=True)
    link.symlink_to(store)
    steps = range(min(len(dataset), WINDOWS_CUT // dataset.order.batch_size))
    windows = np.concatenate([dataset.order.batch(step)[1] for step in steps])
    firsts, _ = dataset.plan.ranges(windows[windows >= 0])
    np.save(work / "windows.npy", np.vstack([firsts, dataset.plan.window]))


def _peer(python: Path, peer: str, work: Path, case: Case) -> Callable[..., float]:
    script = Path(__file__).with_name("peer_loader.py")

    def run(*what: str) -> float:
        windows = PEER_WINDOWS[len(case.chunk)]
        command = [python, script, peer, work, str(case.batch_size), str(windows), *what]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{peer}: {done.stderr[-2000:]}")
        return 0.0 if what else float(json.loads(done.stdout.splitlines()[-1])["windows_per_s"])

    return run


if __name__ == "__main__":
    main()
