"""One library that reads whole chunks in random order, run by the Python that has it: prints MB/s of decoded samples.

python peer_reader.py NAME ARRAY THREADS
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

CHUNKS = 600
"""As many as are timed; a tenth of them are read before."""

Read = Callable[[tuple[int, ...]], object]


def main() -> None:
    name, url, threads = sys.argv[1:]
    grid, extents, read = READERS[name](url)
    generator = np.random.default_rng(0)
    chunks = [tuple(int(generator.integers(count)) for count in grid) for _ in range(CHUNKS)]
    with ThreadPoolExecutor(int(threads)) as executor:
        list(executor.map(read, chunks[: CHUNKS // 10]))
        begun = time.perf_counter()
        list(executor.map(read, chunks))
        elapsed = time.perf_counter() - begun
    print(json.dumps({"mb_per_s": CHUNKS * 4 * int(np.prod(extents)) / elapsed / 1e6}))


def _ours(url: str, kind: str):
    from threading import local

    import zarr

    from trainer.reads.codec import chunk_codec
    from trainer.reads.objects import MappedFiles, PlainFiles
    from trainer.reads.places import ChunkPlaces
    from trainer.reads.readers import DirectReader, Expected

    array = zarr.open_array(url, mode="r")
    objects = MappedFiles() if kind == "mapped" else PlainFiles(keep_cached=True)
    reader = DirectReader(
        array, ChunkPlaces(array, folder=url, objects=objects), objects, chunk_codec(array), Expected()
    )
    own = local()

    def read(chunk: tuple[int, ...]) -> None:
        if not hasattr(own, "out"):
            own.out = np.zeros(array.chunks, array.dtype)
        reader.decode(chunk, reader.fetch(chunk), out=own.out)

    return _grid(array.shape, array.chunks), array.chunks, read


def _through_zarr(url: str, pipeline: str | None):
    import zarr

    if pipeline:
        zarr.config.set({"codec_pipeline.path": pipeline})
    array = zarr.open_array(url, mode="r")
    return _grid(array.shape, array.chunks), array.chunks, lambda chunk: array[_region(chunk, array.chunks)]


def _tensorstore(url: str):
    import tensorstore

    array = tensorstore.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": url}}, open=True, read=True
    ).result()
    extents = array.chunk_layout.read_chunk.shape
    return _grid(array.shape, extents), extents, lambda chunk: array[_region(chunk, extents)].read().result()


def _grid(shape: tuple[int, ...], extents: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size // extent for size, extent in zip(shape, extents, strict=True))


def _region(chunk: tuple[int, ...], extents: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(at * extent, (at + 1) * extent) for at, extent in zip(chunk, extents, strict=True))


READERS = {
    "mapped files": lambda url: _ours(url, "mapped"),
    "byte ranges": lambda url: _ours(url, "ranges"),
    "zarr": lambda url: _through_zarr(url, None),
    "zarrs": lambda url: _through_zarr(url, "zarrs.ZarrsCodecPipeline"),
    "tensorstore": _tensorstore,
}

if __name__ == "__main__":
    main()
