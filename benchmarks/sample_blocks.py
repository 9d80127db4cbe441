"""Samples to compress: a synthetic survey of any shape, and real lines where they are at hand."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import segyio
from numpy.typing import NDArray
from surveys import samples_of

from pipeline.segy.fields import IBM
from pipeline.segy.samples import decode, encode
from pipeline.synthetic.rehearsal import RehearsalSurvey

REAL_DATA = Path(os.environ.get("TRACEMILL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")) / "segy"

REAL_LINES = {
    "F3 (stack; integers as floats)": ("F3_very_small.sgy", "segysak/f3-ebcidctest.sgy"),
    "Volve (stack)": ("segysak/volve10r12-full-twt-arb.sgy", "segysak/volve10r12-full-z-il10117sub.sgy"),
    "31_81_PR (land line)": ("31_81_PR.sgy",),
    "viking (marine shots)": ("viking_small.segy",),
}
"""Files of each kind of data, below the folder of test data."""

CHUNK_NBYTES = 2 * 2**20

Block = NDArray[np.float32]


def synthetic_block(shape: tuple[int, ...]) -> Block:
    """float32 (inline, crossline, sample), after its way through IBM floats, which have up to three bits less."""
    inlines, crosslines, samples = shape
    survey = RehearsalSurvey(inlines=inlines, crosslines=crosslines, samples=samples)
    block = np.empty(shape, np.float32)
    for inline, section in enumerate(block):
        numbers = inline * crosslines + np.arange(crosslines)
        section[...] = decode(encode(samples_of(survey, numbers), IBM), IBM)
    return block


def cut(block: Block, shape: tuple[int, ...]) -> list[Block]:
    """A block in chunks, contiguous; its edges are whole numbers of theirs."""
    counts = [size // chunk for size, chunk in zip(block.shape, shape, strict=True)]
    return [
        np.ascontiguousarray(
            block[tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(index, shape, strict=True))]
        )
        for index in np.ndindex(*counts)
    ]


@cache
def real_chunks() -> dict[str, list[Block]]:
    """Real lines by name, float32 (trace, sample), in chunks of at most 2 MiB; empty where they are missing."""
    found: dict[str, list[Block]] = {}
    for name, files in REAL_LINES.items():
        paths = [REAL_DATA / file for file in files]
        if all(path.exists() for path in paths):
            lines = [_samples(path) for path in paths]
            found[name] = [chunk for line in lines for chunk in np.array_split(line, -(-line.nbytes // CHUNK_NBYTES))]
    return found


def _samples(path: Path) -> Block:
    with segyio.open(path, ignore_geometry=True) as file:
        return np.ascontiguousarray(file.trace.raw[:], np.float32)
