"""Aligned windows through the generator, against a memory map that copies the same windows, and against bare decoding.

Everything lies in the page cache. Uncompressed chunks: MB/s over those of a `numpy.memmap` of a plain file that copies
the same windows in the same order, by as many threads, into memory that is used again; once of a file laid out as the
volume is, once of one that holds each window in one piece, the best that a memory map can get. The default codec: MB/s
over those of decoding the same chunks and nothing else, by as many threads.

The first epoch opens the dataset, maps its files and compares checksums; later ones do not. How well batches are mixed
is told of a value that drifts along the first dimension.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np
from call import CONSOLE, parse_call
from mixing import mixing
from prepared import prepare
from rich.table import Table
from timing import PAIR_COLUMNS, interleaved

from data_catalog import Catalog
from trainer import WindowDataset
from trainer.config import FeedConfig

CHUNKS = ((64, 64, 128), (64, 128, 128), (512, 512), (1024, 1024))
"""2 MiB, the pipeline's default, and 4; 1 and 4 MiB in two dimensions."""
BATCH_SIZE = 16
THREADS = os.cpu_count() or 1
MIXED_EPOCHS = 30


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(2.0,), repeats=5)
    (nbytes,) = call.sizes
    mixed = Table("chunk and window", "variance of batch means / a full shuffle's", "correlation of neighbours")
    table = Table("chunk and window", "codec", "against", "epoch", *PAIR_COLUMNS, "GB/s", title=f"{THREADS} threads")
    with call.place(room_nbytes=3 * nbytes) as place:
        for chunk in CHUNKS:
            shape = _shape(nbytes, chunk)
            for codec in ("none", "lz4"):
                name, catalog = prepare(place.scratch, shape=shape, chunk=chunk, codec=codec)
                dataset = _open(name, catalog, chunk)
                epoch = _epoch(dataset)
                if codec == "none":
                    firsts, _ = dataset.plan.ranges(np.arange(len(dataset.plan)))
                    figures = mixing(dataset.order, firsts[:, 0].astype(float), epochs=MIXED_EPOCHS)
                    mixed.add_row("x".join(map(str, chunk)), *(f"{figure:.2f}" for figure in figures))
                references = (
                    _memory_maps(dataset, place.scratch, epoch) if codec == "none" else _decoding(dataset, epoch)
                )
                for against, reference in references.items():
                    variants = {
                        "later": lambda dataset=dataset: _through(dataset),
                        "first": lambda name=name, catalog=catalog, chunk=chunk: _through(_open(name, catalog, chunk)),
                    }
                    _through(dataset)
                    reference()
                    found = interleaved(variants, reference=reference, before=lambda: None, repeats=call.repeats)
                    for epoch_of, pairs in found.items():
                        rate = 4 * prod(shape) / min(pairs.measured_s) / 1e9
                        cells = "x".join(map(str, chunk)), codec, against, epoch_of, *pairs.cells(), f"{rate:.1f}"
                        table.add_row(*cells)
    CONSOLE.print(table, mixed)


def _shape(nbytes: int, chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Whole chunks, about as many along each dimension, at least two batches of them."""
    count = max(2 * BATCH_SIZE, nbytes // (4 * prod(chunk)))
    each = max(2, round(count ** (1 / len(chunk))))
    return (chunk[0] * max(1, count // each ** (len(chunk) - 1)), *(extent * each for extent in chunk[1:]))


def _open(name: str, catalog: Catalog, chunk: tuple[int, ...]) -> WindowDataset:
    window = dict(zip(("inline", "crossline", "time")[-len(chunk) :], chunk, strict=True))
    if len(chunk) == 2:
        window = dict(zip(("trace", "time"), chunk, strict=True))
    return WindowDataset(
        name,
        window=window,
        stride=window,
        batch_size=BATCH_SIZE,
        normalise=False,
        feed=FeedConfig(threads=THREADS),
        catalog=catalog.place,
    )


def _epoch(dataset: WindowDataset) -> list[np.ndarray]:
    """Origins of the windows of each batch."""
    batches = (dataset.order.batch(step)[1] for step in range(len(dataset)))
    return [dataset.plan.ranges(windows[windows >= 0])[0] for windows in batches]


def _through(dataset: WindowDataset) -> None:
    dataset.set_epoch(0)
    for _ in dataset:
        pass


def _memory_maps(dataset: WindowDataset, folder: Path, epoch: list[np.ndarray]) -> dict[str, Callable[[], None]]:
    array = dataset.reader.boxes.arrays[0]
    window, grid = dataset.plan.window, array.grid
    volume = np.memmap(folder / "volume", np.float32, "w+", shape=array.shape)
    pieces = np.memmap(folder / "pieces", np.float32, "w+", shape=(prod(grid), *window))
    out = np.empty(window, np.float32)
    for number, chunk in enumerate(np.ndindex(grid)):
        first = [at * extent for at, extent in zip(chunk, window, strict=True)]
        end = [a + extent for a, extent in zip(first, window, strict=True)]
        dataset.reader.boxes.copy(0, first, end, out=out, announced=False)
        volume[tuple(map(slice, first, end))] = pieces[number] = out
    slots = np.zeros((4 * BATCH_SIZE, *window), np.float32)

    def cut(origin: np.ndarray, slot: np.ndarray) -> None:
        np.copyto(slot, volume[tuple(slice(a, a + extent) for a, extent in zip(origin.tolist(), window, strict=True))])

    def piece(origin: np.ndarray, slot: np.ndarray) -> None:
        np.copyto(slot, pieces[np.ravel_multi_index(tuple(origin // window), grid)])

    return {
        "memory map of the volume": lambda: _all_batches(cut, epoch, slots),
        "memory map, window by window": lambda: _all_batches(piece, epoch, slots),
    }


def _decoding(dataset: WindowDataset, epoch: list[np.ndarray]) -> dict[str, Callable[[], None]]:
    array = dataset.reader.boxes.arrays[0]
    slots = np.zeros((4 * BATCH_SIZE, *array.chunk), np.float32)

    def decode(origin: np.ndarray, slot: np.ndarray) -> None:
        chunk = tuple((origin // array.chunk).tolist())
        array.reader.codec.decode(array.reader.fetch(chunk), out=slot)

    return {"decoding alone": lambda: _all_batches(decode, epoch, slots)}


def _all_batches(
    work: Callable[[np.ndarray, np.ndarray], None], epoch: Iterable[np.ndarray], slots: np.ndarray
) -> None:
    with ThreadPoolExecutor(THREADS) as executor:
        for step, origins in enumerate(epoch):
            first = step % 4 * BATCH_SIZE
            list(executor.map(work, origins, slots[first : first + len(origins)]))


if __name__ == "__main__":
    main()
