"""What inner chunks and shards of different sizes cost: encoding, decoding, and random windows through zarr.

The synthetic survey, written by our shard encoder. Encoding and decoding are CPU seconds on one core, in memory; reads
are zarr's, from files in the page cache, on one thread; medians.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import zarr
from call import CONSOLE, parse_call
from numcodecs import blosc
from rich.table import Table
from sample_blocks import Block, cut, synthetic_block
from timing import median_s

from pipeline.storage.codec import Codec, CodecName, ShardEncoder
from pipeline.storage.new_objects import Part, write_object

GB, MIB = 10**9, 2**20
ITEMSIZE = 4
CODECS: tuple[CodecName, ...] = ("lz4", "zstd")

BLOCK = (512, 256, 512)
"""Of the synthetic survey (inline, crossline, sample): 256 MiB."""

CHUNKS = ((64, 64, 32), (64, 64, 64), (64, 64, 128), (64, 128, 128))
"""0.5, 1, 2 and 4 MiB."""

SHARDS = ((128, 128, 512), (128, 256, 512), (256, 256, 512), (512, 256, 512))
"""32, 64, 128 and 256 MiB."""

DEFAULT_CHUNK, DEFAULT_SHARD = CHUNKS[2], SHARDS[2]
"""What a large survey gets, nearly: there the edges follow its shape."""

WINDOWS = {
    "inline section": (1, 256, 256),
    "crossline section": (256, 1, 256),
    "slice": (256, 256, 1),
    "cube": (64, 64, 64),
}
WINDOW_COUNT = 24
"""Of each kind, in each repetition."""

SMALL_SCALE = 8
"""Everything is so many times shorter along each dimension in a quick check."""

Shape = tuple[int, ...]


def main() -> None:
    call = parse_call(__doc__, repeats=3)
    scale = SMALL_SCALE if call.is_small else 1
    blosc.set_nthreads(1)
    zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})
    block = synthetic_block(_scaled(BLOCK, scale))
    with call.place(room_nbytes=2 * block.nbytes) as place:
        layouts = {
            "inner chunks": [(chunk, DEFAULT_SHARD) for chunk in CHUNKS],
            "shards": [(DEFAULT_CHUNK, shard) for shard in SHARDS],
        }
        for title, shapes in layouts.items():
            table = Table(
                *("codec", "inner chunk", "its KiB", "shard's MiB", "encode, GB/s", "decode, GB/s", "read shard, GB/s"),
                "stored / raw",
                *(f"{name} {_times(_scaled(shape, scale))}, 1/s" for name, shape in WINDOWS.items()),
                title=title,
                caption="read shard: a whole one through zarr; windows a second: at random places, through zarr",
            )
            for codec in CODECS:
                for chunk, shard in shapes:
                    layout = _Layout(codec, _scaled(chunk, scale), _scaled(shard, scale), place.scratch / "array")
                    windows = [_scaled(shape, scale) for shape in WINDOWS.values()]
                    table.add_row(*layout.cells(block, windows, call.repeats))
            CONSOLE.print(table)


class _Layout:
    """The synthetic survey in one way to cut and compress it."""

    def __init__(self, codec: CodecName, chunk: Shape, shard: Shape, folder: Path) -> None:
        self.codec = Codec(codec, ITEMSIZE)
        self.chunk = chunk
        self.shard = shard
        self.folder = folder

    def cells(self, block: Block, windows: Sequence[Shape], repeats: int) -> Iterator[str]:
        """Writes the array, reads it again, and says what that took."""
        array: zarr.Array[Any] = zarr.create_array(
            self.folder,
            shape=block.shape,
            dtype=block.dtype,
            chunks=self.chunk,
            shards=self.shard,
            compressors=self.codec.compressors(),
            fill_value=0.0,
            overwrite=True,
        )
        encode_s = stored = 0.0
        for index, of_shard in zip(_grid(block.shape, self.shard), cut(block, self.shard), strict=True):
            encoded, seconds = self._encode(of_shard)
            encode_s += seconds
            stored += write_object(f"{self.folder}/c/{'/'.join(map(str, index))}", encoded)
        nbytes = prod(self.shard) * ITEMSIZE
        whole_shard = tuple(slice(0, size) for size in self.shard)
        shard_s = median_s(lambda: array[whole_shard], repeats=repeats, clock=perf_counter)
        if not np.array_equal(array[-1], block[-1]):
            raise RuntimeError(f"zarr does not read from {self.folder} what was written")
        rates = (block.nbytes / encode_s, nbytes / self._decode_s(block, repeats), nbytes / shard_s)
        return chain(
            (self.codec.name, _times(self.chunk), f"{prod(self.chunk) * ITEMSIZE / 1024:g}", f"{nbytes / MIB:g}"),
            (f"{rate / GB:.2f}" for rate in rates),
            (f"{stored / block.nbytes:.3f}",),
            (f"{_windows_per_s(array, window, repeats):.0f}" for window in windows),
        )

    def _encode(self, of_shard: Block) -> tuple[list[Part], float]:
        """A shard, and the CPU seconds that it took without the cutting."""
        counts = tuple(size // chunk for size, chunk in zip(self.shard, self.chunk, strict=True))
        chunks = cut(of_shard, self.chunk)
        begun = thread_time()
        parts: list[Part] = []
        encoder = ShardEncoder(counts, parts.append)
        for index, chunk in zip(np.ndindex(*counts), chunks, strict=True):
            encoder.add(index, self.codec.encode(chunk))
        encoder.finish()
        return parts, thread_time() - begun

    def _decode_s(self, block: Block, repeats: int) -> float:
        """CPU seconds for the chunks of the first shard."""
        first_shard = block[tuple(slice(0, size) for size in self.shard)]
        encoded = [self.codec.encode(chunk) for chunk in cut(first_shard, self.chunk)]
        buffer = np.empty(self.chunk, np.float32)
        return median_s(
            lambda: [blosc.decompress(content, buffer) for content in encoded], repeats=repeats, clock=thread_time
        )


def _windows_per_s(array: Any, window: Shape, repeats: int) -> float:
    random = np.random.default_rng(0)
    beyond = [size - length + 1 for size, length in zip(array.shape, window, strict=True)]
    corners = random.integers(0, beyond, (WINDOW_COUNT, len(window)))

    def read() -> None:
        for corner in corners:
            array[tuple(slice(start, start + length) for start, length in zip(corner, window, strict=True))]

    return WINDOW_COUNT / median_s(read, repeats=repeats, clock=perf_counter)


def _grid(shape: Shape, part: Shape) -> Iterator[Shape]:
    return iter(np.ndindex(*(size // length for size, length in zip(shape, part, strict=True))))


def _scaled(shape: Shape, scale: int) -> Shape:
    return tuple(max(1, size // scale) for size in shape)


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))


if __name__ == "__main__":
    main()
