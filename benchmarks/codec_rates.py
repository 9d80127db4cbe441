"""What codecs cost and save: Blosc's codecs, levels, shuffles and blocks on chunks of 2 MiB, synthetic and real.

Rates are bytes of float32 samples a CPU second on one core, in memory; medians. What is marked * is what `--codec`
offers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import thread_time

import numpy as np
from call import CONSOLE, parse_call
from numcodecs import blosc
from rich.table import Table
from sample_blocks import Block, cut, real_chunks, synthetic_block
from timing import median_s

from pipeline.storage.codec import Codec

GB, KIB = 10**9, 2**10
LEVELS = {"lz4": (1, 5, 9), "zstd": (1, 3, 5)}
SHUFFLES = {"none": blosc.NOSHUFFLE, "bytes": blosc.SHUFFLE, "bits": blosc.BITSHUFFLE}
ITEMSIZE = 4

BLOCKS_KIB = (8, 16, 32, 64, 128, 256)
"""Asked for; Blosc makes four times as much of it with lz4, which compresses the bytes of a word apart."""

BLOCK_LEVELS = {"lz4": 5, "zstd": 1}
"""Levels for which blocks are looked at."""

BLOCK, CHUNK = (64, 256, 512), (64, 64, 128)
"""Of the synthetic survey (inline, crossline, sample)."""

SMALL_BLOCK, SMALL_CHUNK = (16, 32, 64), (16, 16, 32)

BLOCK_SIZE_BYTES = slice(8, 12)
"""Of what Blosc makes: its block size, little endian (c-blosc, README_CHUNK_FORMAT)."""


@dataclass(frozen=True)
class Setting:
    """One way to compress; the codec ``none`` only copies.

    Attributes:
        codec: Name.
        level: Of Blosc, 0 to 9.
        shuffle: A key of `SHUFFLES`.
        block_nbytes: What Blosc compresses at a time; 0 lets it choose.
    """

    codec: str
    level: int = 0
    shuffle: str = "none"
    block_nbytes: int = blosc.AUTOBLOCKS

    def encode(self, chunk: Block) -> bytes:
        """A chunk as it is stored."""
        content = chunk.reshape(-1).view(np.uint8)
        if self.codec == "none":
            return content.tobytes()
        shuffle = SHUFFLES[self.shuffle]
        encoded: bytes = blosc.compress(content, self.codec.encode(), self.level, shuffle, self.block_nbytes, ITEMSIZE)
        return encoded

    def decode(self, content: bytes, out: Block) -> None:
        """A chunk into memory that is used again."""
        if self.codec == "none":
            out.reshape(-1).view(np.uint8)[...] = np.frombuffer(content, np.uint8)
        else:
            blosc.decompress(content, out)

    def is_ours(self, chunk: Block) -> bool:
        """Whether the conversion makes the same of a chunk."""
        return any(Codec(name, ITEMSIZE).encode(chunk) == self.encode(chunk) for name in ("lz4", "zstd", "none"))


@dataclass(frozen=True)
class Measured:
    """What a setting did with some chunks: GB a second both ways, and the share of their bytes that is left."""

    encode_gbps: float
    decode_gbps: float
    share: float


def main() -> None:
    call = parse_call(__doc__, repeats=5)
    blosc.set_nthreads(1)
    block, chunk = (SMALL_BLOCK, SMALL_CHUNK) if call.is_small else (BLOCK, CHUNK)
    data = {"synthetic": cut(synthetic_block(block), chunk)} | real_chunks()
    print_settings("codecs, levels and shuffles", _by_level(), data, repeats=call.repeats)
    print_settings("blocks of Blosc, shuffled by bits", _by_block(), data, repeats=call.repeats)


def _by_level() -> Iterator[Setting]:
    yield Setting("none")
    for codec, levels in LEVELS.items():
        for shuffle in SHUFFLES:
            for level in levels:
                yield Setting(codec, level, shuffle)


def _by_block() -> Iterator[Setting]:
    for codec, level in BLOCK_LEVELS.items():
        for kib in (0, *BLOCKS_KIB):
            yield Setting(codec, level, "bits", kib * KIB)


def print_settings(title: str, settings: Iterator[Setting], data: dict[str, list[Block]], *, repeats: int) -> None:
    """Prints a table of settings: for each kind of data encode / decode in GB a second, and stored against raw."""
    table = Table(
        *("codec", "level", "shuffle", "block, KiB"),
        *(f"{name}: encode / decode, GB/s: stored" for name in data),
        title=title,
        caption=None if len(data) > 1 else "no real data: set TRACEMILL_TEST_DATA",
    )
    largest = max((chunk for chunks in data.values() for chunk in chunks), key=lambda chunk: chunk.nbytes)
    for setting in settings:
        cells = []
        for chunks in data.values():
            found = _measured(setting, chunks, repeats)
            cells.append(f"{found.encode_gbps:.2f} / {found.decode_gbps:.2f}: {found.share:.3f}")
        mark = " *" if setting.is_ours(largest) else ""
        if setting.codec == "none":
            table.add_row(f"none{mark}", "", "", "", *cells)
        else:
            block_nbytes = int.from_bytes(setting.encode(largest)[BLOCK_SIZE_BYTES], "little")
            block = f"{block_nbytes / KIB:g}{'' if setting.block_nbytes else ' (auto)'}"
            table.add_row(f"{setting.codec}{mark}", f"{setting.level}", setting.shuffle, block, *cells)
    CONSOLE.print(table)


def _measured(setting: Setting, chunks: Sequence[Block], repeats: int) -> Measured:
    encoded = [setting.encode(chunk) for chunk in chunks]
    buffers = [np.empty_like(chunk) for chunk in chunks]
    encode_s = median_s(lambda: [setting.encode(chunk) for chunk in chunks], repeats=repeats, clock=thread_time)

    def decode() -> None:
        for content, buffer in zip(encoded, buffers, strict=True):
            setting.decode(content, buffer)

    decode_s = median_s(decode, repeats=repeats, clock=thread_time)
    for chunk, buffer in zip(chunks, buffers, strict=True):
        if (chunk.view(np.uint32) != buffer.view(np.uint32)).any():
            raise RuntimeError(f"{setting} does not give back what it was given")
    nbytes = sum(chunk.nbytes for chunk in chunks)
    return Measured(nbytes / encode_s / GB, nbytes / decode_s / GB, sum(map(len, encoded)) / nbytes)


if __name__ == "__main__":
    main()
