"""One process that reads windows, so that its start and its memory are its own: prints what it found as JSON.

python loader_process.py first_batch|memory|busy NAME CATALOG
"""

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from trainer.bench_loader import anonymous_nbytes
from trainer.config import FeedConfig
from trainer.dataset import WindowDataset

MIB = 2**20
IN_FLIGHT_NBYTES, RESIDENT_NBYTES = 96 * MIB, 416 * MIB
"""512 MiB together."""

STEPS, SETTLED = 2000, 100
BUSY_STEPS = 300


def first_batch(name: str, catalog: Path) -> dict[str, float]:
    """Ten million windows of 64 x 64, a quarter of it apart."""
    begun = time.perf_counter()
    dataset = WindowDataset(
        name,
        window={"trace": 64, "time": 64},
        stride={"trace": 16, "time": 16},
        batch_size=16,
        catalog=catalog,
    )
    opened_s = time.perf_counter() - begun
    next(iter(dataset))
    return {"windows": len(dataset.plan), "opened_s": opened_s, "first_batch_s": time.perf_counter() - begun}


def memory(name: str, catalog: Path) -> dict[str, float]:
    """Windows of 256 x 256, half of it apart; anonymous memory at every step, and every 5 ms."""
    dataset = _overlapping(
        name, catalog, FeedConfig(in_flight_nbytes=IN_FLIGHT_NBYTES, resident_nbytes=RESIDENT_NBYTES)
    )
    without = anonymous_nbytes()
    at_step, peaks, ended = [], [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            peaks[0] = max(peaks[0], anonymous_nbytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with dataset.feed(range(STEPS)) as feed:
        for _ in feed:
            at_step.append(anonymous_nbytes())
    ended.set()
    watcher.join()
    later = np.array(at_step[SETTLED:]) - without
    return {
        "without_mib": without / MIB,
        "peak_mib": (max(peaks[0], *at_step) - without) / MIB,
        "budget_mib": (IN_FLIGHT_NBYTES + RESIDENT_NBYTES) / MIB,
        "at_step_100_mib": (at_step[SETTLED] - without) / MIB,
        "last_hundred_mib": float(later[-SETTLED:].mean()) / MIB,
        "most_later_mib": float(later.max()) / MIB,
        "lanes": dataset.grouping.shape.lanes,
        "steps": len(at_step),
    }


def busy(name: str, catalog: Path) -> dict[str, float]:
    """The same windows, and steps as long as one core takes to decode what an average step reads."""
    dataset = _overlapping(name, catalog, FeedConfig())
    _feed(dataset, range(BUSY_STEPS), step_s=0.0)  # checks checksums, and brings the chunks into the page cache
    before = dataset.reader.boxes.counts.chunks
    steps = range(BUSY_STEPS)
    free_s = _feed(dataset, steps, step_s=0.0)
    chunks = dataset.reader.boxes.counts.chunks - before
    step_s = chunks * _decoding_s(dataset) / BUSY_STEPS
    elapsed_s = _feed(dataset, steps, step_s=step_s)
    return {"step_s": step_s, "free_step_s": free_s / (BUSY_STEPS - 1), "busy": step_s * (BUSY_STEPS - 1) / elapsed_s}


def _overlapping(name: str, catalog: Path, feed: FeedConfig) -> WindowDataset:
    return WindowDataset(name, window={"trace": 256, "time": 256}, batch_size=16, feed=feed, catalog=catalog)


def _feed(dataset: WindowDataset, steps: range, *, step_s: float) -> float:
    """Seconds from the first batch to the end."""
    started = None
    with dataset.feed(steps) as feed:
        for _ in feed:
            if started is None:
                started = time.perf_counter()
            else:
                time.sleep(step_s)
    return time.perf_counter() - started


def _decoding_s(dataset: WindowDataset) -> float:
    """Seconds that one core takes for a chunk."""
    array = dataset.reader.boxes.arrays[0]
    out, times = np.zeros(array.chunk, array.dtype), []
    for chunk in list(np.ndindex(array.grid))[:400]:
        encoded = array.reader.fetch(chunk)
        begun = time.thread_time()
        array.reader.decode(chunk, encoded, out=out)
        times.append(time.thread_time() - begun)
    return float(np.median(times))


if __name__ == "__main__":
    what, name, catalog = sys.argv[1:]
    print(json.dumps({"first_batch": first_batch, "memory": memory, "busy": busy}[what](name, Path(catalog))))
