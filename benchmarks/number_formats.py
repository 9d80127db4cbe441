"""What fewer bits a sample save, and what they lose: float32 rounded to significant bits, float16 and int16.

float16 and int16 hold each chunk's samples over a scale of its own, such that its largest sample is their largest
number. Sizes are those of Blosc over shuffled bits, as `--codec` offers it, against float32 as it is.
"""

from collections.abc import Callable

import numpy as np
from call import CONSOLE, parse_call
from numpy.typing import NDArray
from rich.table import Table
from sample_blocks import Block, cut, real_chunks, synthetic_block

from pipeline.storage.codec import Codec, CodecName
from pipeline.storage.rounding import FLOAT32_BITS, round_in_place

BLOCK, SMALL_BLOCK = (64, 256, 512), (16, 32, 64)
CHUNK, SMALL_CHUNK = (64, 64, 128), (16, 16, 32)
"""2 MiB, and for a quick check."""

CODECS: tuple[CodecName, ...] = ("lz4", "zstd")

Format = Callable[[Block], tuple[NDArray[np.generic], Block]]
"""What is stored of a chunk, and the samples that a reader has then."""


def main() -> None:
    call = parse_call(__doc__)
    block, chunk = (SMALL_BLOCK, SMALL_CHUNK) if call.is_small else (BLOCK, CHUNK)
    synthetic = cut(synthetic_block(block), chunk)
    data = {"synthetic survey": synthetic} | real_chunks()
    table = Table(
        *("data", "format"),
        *(f"{codec}" for codec in CODECS),
        *("worst error / chunk's RMS", "SNR, dB"),
        title="fewer bits a sample: stored size against raw float32, and error",
        caption=None if len(data) > 1 else "no real data: set TRACEMILL_TEST_DATA",
    )
    for name, chunks in data.items():
        for row, (label, stored_as) in enumerate(FORMATS.items()):
            table.add_row("" if row else name, label, *_cells(chunks, stored_as))
        table.add_section()
    CONSOLE.print(table)


def rounded(bits: int) -> Format:
    """float32 with so many significant bits, as `--significant-bits` makes it."""

    def stored_as(chunk: Block) -> tuple[Block, Block]:
        samples = chunk.copy()
        round_in_place(samples.reshape(-1), FLOAT32_BITS - bits)
        return samples, samples

    return stored_as


def as_float32(chunk: Block) -> tuple[Block, Block]:
    return chunk, chunk


def as_float16(chunk: Block) -> tuple[NDArray[np.float16], Block]:
    scale = _scale(chunk, float(np.finfo(np.float16).max))
    stored = (chunk / scale).astype(np.float16)
    return stored, stored.astype(np.float32) * scale


def as_int16(chunk: Block) -> tuple[NDArray[np.int16], Block]:
    scale = _scale(chunk, np.iinfo(np.int16).max)
    stored = np.rint(chunk / scale).astype(np.int16)
    return stored, stored.astype(np.float32) * scale


FORMATS: dict[str, Format] = {
    "float32": as_float32,
    "float32, 16 significant bits": rounded(16),
    "float32, 11 significant bits": rounded(11),
    "float32, 8 significant bits": rounded(8),
    "float16 and a scale a chunk": as_float16,
    "int16 and a scale a chunk": as_int16,
}


def _scale(chunk: Block, largest: float) -> np.float32:
    return np.float32(np.abs(chunk).max() / largest) or np.float32(1)


def _cells(chunks: list[Block], stored_as: Format) -> list[str]:
    nbytes = dict.fromkeys(CODECS, 0)
    worst = signal = noise = 0.0
    for chunk in chunks:
        stored, samples = stored_as(chunk)
        for codec in CODECS:
            nbytes[codec] += len(Codec(codec, stored.itemsize).encode(np.ascontiguousarray(stored)))
        error = samples.astype(np.float64) - chunk
        energy = float(np.square(chunk, dtype=np.float64).sum())
        if energy:
            worst = max(worst, float(np.abs(error).max() / np.sqrt(energy / chunk.size)))
        signal, noise = signal + energy, noise + float(np.square(error).sum())
    raw = sum(chunk.nbytes for chunk in chunks)
    decibels = f"{10 * np.log10(signal / noise):.1f}" if noise else "no noise"
    return [*(f"{nbytes[codec] / raw:.3f}" for codec in CODECS), f"{worst:.1e}" if worst else "0", decibels]


if __name__ == "__main__":
    main()
