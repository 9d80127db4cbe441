"""SEG-Y files made with segyio, and Dask on this process's threads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import segyio
from distributed import Client
from numpy.typing import NDArray

from pipeline.engine import THREADS, dask_client


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with dask_client(scheduler=THREADS, workers=2, memory="auto") as opened:
        yield opened


@dataclass(frozen=True)
class MadeFile:
    """A SEG-Y file and what was put into it: float32 (inline, crossline, time)."""

    path: Path
    inlines: NDArray[np.int64]
    crosslines: NDArray[np.int64]
    volume: NDArray[np.float32]


MakeFile = Callable[..., MadeFile]


@pytest.fixture
def make_segy(tmp_path: Path) -> MakeFile:
    """A function that writes a post-stack volume; ``keep`` says which (inline, crossline) cells are written."""

    def make(
        name: str = "survey.sgy",
        *,
        volume: NDArray[np.float32] | None = None,
        first_inline: int = 100,
        endian: str = "big",
        sample_format: int = 1,
        keep: Callable[[int, int], bool] = lambda inline, crossline: True,
        scalar: int = -100,
    ) -> MadeFile:
        if volume is None:
            volume = np.random.default_rng(7).normal(size=(12, 9, 50)).astype(np.float32)
        inlines = first_inline + 2 * np.arange(volume.shape[0])
        crosslines = 300 + np.arange(volume.shape[1])
        cells = [(i, x) for i in range(len(inlines)) for x in range(len(crosslines)) if keep(inlines[i], crosslines[x])]
        spec = segyio.spec()
        spec.format, spec.endian = sample_format, endian
        spec.samples = np.arange(volume.shape[2]) * 4.0
        spec.tracecount = len(cells)
        path = tmp_path / name
        with segyio.create(str(path), spec) as file:
            file.text[0] = segyio.tools.create_text_header({1: "made by a test"})
            file.bin.update(hdt=4000, hns=volume.shape[2], format=sample_format)
            for number, (i, x) in enumerate(cells):
                file.header[number] = {
                    segyio.su.iline: int(inlines[i]),
                    segyio.su.xline: int(crosslines[x]),
                    segyio.su.cdpx: 1000 * i + 7 * x,
                    segyio.su.cdpy: 900 * x - 3 * i,
                    segyio.su.scalco: scalar,
                    segyio.su.delrt: 20,
                    segyio.su.ns: volume.shape[2],
                    segyio.su.dt: 4000,
                }
                file.trace[number] = volume[i, x]
        with segyio.open(str(path), ignore_geometry=True, endian=endian) as file:
            stored = file.trace.raw[:]
        kept = np.zeros_like(volume)
        for trace, (i, x) in zip(stored, cells, strict=True):
            kept[i, x] = trace
        return MadeFile(path, inlines, crosslines, kept)

    return make
