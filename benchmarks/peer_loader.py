"""One loader of others at work, run by the Python that has it: prints windows a second, the first batch aside.

    python peer_loader.py NAME FOLDER BATCH_SIZE WINDOWS [write]

FOLDER holds ``survey.zarr``, an array "amplitude" of two or three dimensions, and ``windows.npy``, the first samples of
all windows, (window, dimension), and their extents as its last row. Loaders that read samples one by one are given the
windows cut out beforehand, in their own format; ``write`` makes it.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

WORKERS = 2


def main() -> None:
    name, folder, batch_size, windows, *what = sys.argv[1:]
    peer = PEERS[name]
    if what:
        peer.write(Path(folder))
    else:
        print(json.dumps({"windows_per_s": _rate(peer.loader(Path(folder), int(batch_size)), int(windows))}))


def _rate(loader, windows: int) -> float:
    seen, started = 0, None
    for batch in loader:
        tensor = next(iter(batch.values())) if isinstance(batch, dict) else batch
        tensor = tensor[0] if isinstance(tensor, (list, tuple)) else tensor
        assert isinstance(tensor, torch.Tensor)
        if started is None:
            started = time.perf_counter()
            continue
        seen += len(tensor)
        if seen >= windows:
            break
    return seen / (time.perf_counter() - started)


class Cut(Dataset):
    """Windows of an array, each read for itself."""

    def __init__(self, folder: Path) -> None:
        *self.firsts, self.extents = np.load(folder / "windows.npy").tolist()
        self._path, self._array = str(folder / "survey.zarr"), None

    def __len__(self) -> int:
        return len(self.firsts)

    def __getitem__(self, number: int) -> np.ndarray:
        if self._array is None:
            import zarr

            self._array = zarr.open_group(self._path, mode="r")["amplitude"]
        box = zip(self.firsts[number], self.extents, strict=True)
        return np.asarray(self._array[tuple(slice(first, first + extent) for first, extent in box)])


class PlainZarr:
    """DataLoader over plain zarr, shuffled."""

    def write(self, folder: Path) -> None:
        """Nothing: it reads the survey."""

    def loader(self, folder: Path, batch_size: int):
        return DataLoader(Cut(folder), batch_size, shuffle=True, num_workers=WORKERS)


class Xbatcher:
    """BatchGenerator over xarray, half a window's overlap, through its own map-style dataset."""

    def write(self, folder: Path) -> None:
        """Nothing: it reads the survey."""

    def loader(self, folder: Path, batch_size: int):
        import xarray
        from xbatcher import BatchGenerator
        from xbatcher.loaders.torch import MapDataset

        survey = xarray.open_zarr(folder / "survey.zarr", chunks=None, consolidated=False)["amplitude"]
        extents = dict(zip(survey.dims, np.load(folder / "windows.npy")[-1].tolist(), strict=True))
        overlap = {dim: extent // 2 for dim, extent in extents.items()}
        windows = MapDataset(BatchGenerator(survey, extents, input_overlap=overlap, cache=None))
        return DataLoader(windows, batch_size, shuffle=True, num_workers=WORKERS)


class Streaming:
    """MosaicML streaming, shuffled, from local shards."""

    def write(self, folder: Path) -> None:
        from streaming import MDSWriter

        cut = Cut(folder)
        shape = ",".join(map(str, cut.extents))
        with MDSWriter(out=str(folder / "mds"), columns={"x": f"ndarray:float32:{shape}"}) as writer:
            for number in range(len(cut)):
                writer.write({"x": cut[number]})

    def loader(self, folder: Path, batch_size: int):
        from streaming import StreamingDataset

        dataset = StreamingDataset(local=str(folder / "mds"), shuffle=True, batch_size=batch_size)
        return DataLoader(dataset, batch_size, num_workers=WORKERS)


class WebDataset:
    """webdataset: tar files, a shuffle buffer of 256 windows."""

    def write(self, folder: Path) -> None:
        import webdataset

        cut = Cut(folder)
        (folder / "tar").mkdir()
        with webdataset.ShardWriter(str(folder / "tar/%05d.tar"), maxcount=500, verbose=0) as writer:
            for number in range(len(cut)):
                writer.write({"__key__": f"{number:08d}", "npy": cut[number]})

    def loader(self, folder: Path, batch_size: int):
        import webdataset

        shards = sorted(map(str, (folder / "tar").glob("*.tar")))
        dataset = webdataset.WebDataset(shards, shardshuffle=len(shards)).shuffle(256).decode().to_tuple("npy")
        return DataLoader(dataset, batch_size, num_workers=WORKERS)


class LitData:
    """LitData's StreamingDataset, shuffled, from optimised chunks."""

    def write(self, folder: Path) -> None:
        from litdata import optimize

        optimize(
            fn=Cut(folder).__getitem__,
            inputs=list(range(len(Cut(folder)))),
            output_dir=str(folder / "litdata"),
            chunk_bytes="64MB",
            num_workers=1,
        )

    def loader(self, folder: Path, batch_size: int):
        from litdata import StreamingDataLoader, StreamingDataset

        dataset = StreamingDataset(str(folder / "litdata"), shuffle=True)
        return StreamingDataLoader(dataset, batch_size=batch_size, num_workers=WORKERS)


PEERS = {
    "zarr": PlainZarr(),
    "xbatcher": Xbatcher(),
    "streaming": Streaming(),
    "webdataset": WebDataset(),
    "litdata": LitData(),
}

if __name__ == "__main__":
    os.environ.setdefault("DO_NOT_TRACK", "1")
    main()
