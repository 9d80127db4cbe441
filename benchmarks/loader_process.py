"""One process that reads windows, so that its start and its memory are its own: prints what it found as JSON.

python loader_process.py PART NAME CATALOG
"""

import itertools
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
from call import MIB

from data_catalog import Catalog
from trainer.bench_loader import SimulatedAccelerator, anonymous_nbytes
from trainer.config import FeedConfig
from trainer.feed.dataset import WindowDataset

IN_FLIGHT_NBYTES, RESIDENT_NBYTES = 96 * MIB, 416 * MIB
"""512 MiB together."""

STEPS, SETTLED = 2000, 100
MOST_STEPS, DECODED_BATCHES = 200, 20

HELD_CHUNKS = 80
"""Places that are decoded into in turn: about what a feed holds; a single place would never leave the cache."""


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
    """Windows of 512 x 512, half of it apart; anonymous memory at every step, and every 5 ms."""
    budgets = FeedConfig(in_flight_nbytes=IN_FLIGHT_NBYTES, resident_nbytes=RESIDENT_NBYTES)
    dataset = _open(name, catalog, window=512, stride=256, feed=budgets)
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
    settled = (np.array(at_step[SETTLED:]) - without) / MIB
    return {
        "without_mib": without / MIB,
        "budget_mib": (IN_FLIGHT_NBYTES + RESIDENT_NBYTES) / MIB,
        "peak_mib": (max(peaks[0], *at_step) - without) / MIB,
        "at_step_100_mib": settled[0],
        "least_later_mib": settled.min(),
        "most_later_mib": settled.max(),
        "lanes": dataset.grouping.shape.lanes,
        "steps": len(at_step),
    }


def busy_aligned(name: str, catalog: Path) -> dict[str, float]:
    """A window is a chunk."""
    variable = Catalog(catalog).open(name).variables["amplitude"]
    window = dict(zip(variable.dims, variable.chunk_shape, strict=True))
    return _busy(WindowDataset(name, window=window, stride=window, batch_size=8, catalog=catalog))


def busy_overlapping(name: str, catalog: Path) -> dict[str, float]:
    """Windows of 256 x 256, half of it apart."""
    return _busy(_open(name, catalog, window=256, stride=128, feed=FeedConfig()))


def _busy(dataset: WindowDataset) -> dict[str, float]:
    step_s = _decoding_s(dataset)
    third = min(MOST_STEPS, len(dataset) // 3)
    free_s = _feed(dataset, range(third), step_s=0.0)
    elapsed_s = _feed(dataset, range(third, 3 * third), step_s=step_s)
    return {
        "step_ms": 1000 * step_s,
        "without_steps_ms": 1000 * free_s / (third - 1),
        "busy": step_s * (2 * third - 1) / elapsed_s,
        "steps": 2 * third - 1,
    }


def _open(name: str, catalog: Path, *, window: int, stride: int, feed: FeedConfig) -> WindowDataset:
    extents, strides = ({"trace": extent, "time": extent} for extent in (window, stride))
    return WindowDataset(name, window=extents, stride=strides, batch_size=16, feed=feed, catalog=catalog)


def _feed(dataset: WindowDataset, steps: range, *, step_s: float) -> float:
    """Seconds from the first batch to the end of the last step."""
    accelerator = SimulatedAccelerator(step_s)
    with dataset.feed(steps) as feed:
        next(feed)
        started = time.perf_counter()
        for _ in feed:
            accelerator.submit()
        accelerator.finish()
        return time.perf_counter() - started


def _decoding_s(dataset: WindowDataset) -> float:
    """Seconds that one core takes to decode the chunks under the windows of a batch, each of them once, into memory."""
    array = dataset.reader.boxes.arrays[0]
    places, times = itertools.cycle(np.zeros((HELD_CHUNKS, *array.chunk), array.dtype)), []
    for step in range(DECODED_BATCHES):
        firsts, ends = dataset.plan.ranges(dataset.order.batch(step)[1])
        boxes = zip(firsts.tolist(), ends.tolist(), strict=True)
        encoded = {chunk: array.reader.fetch(chunk) for first, end in boxes for _, chunk in array.chunks_of(first, end)}
        begun = time.thread_time()
        for chunk, content in encoded.items():
            array.reader.decode(chunk, content, out=next(places))
        times.append(time.thread_time() - begun)
    return float(np.median(times))


PARTS = {
    "first_batch": first_batch,
    "memory": memory,
    "busy_aligned": busy_aligned,
    "busy_overlapping": busy_overlapping,
}

if __name__ == "__main__":
    what, name, catalog = sys.argv[1:]
    print(json.dumps(PARTS[what](name, Path(catalog))))
