"""SEG-Y files made with segyio; Dask on this process's threads, and in processes that can be killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import segyio
import yaml
from distributed import Client
from numpy.typing import NDArray

from data_catalog import Catalog, layout
from pipeline.survey.header_words import STANDARD, summarise
from pipeline.survey.inference import word_at
from pipeline.survey.trace_index import FIELDS, IndexedFile, TraceIndex
from pipeline.work.cluster import THREADS, dask_client


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


WriteHeaders = Callable[..., Path]


@pytest.fixture
def write_headers(tmp_path: Path) -> WriteHeaders:
    """A function that writes a file of short traces with given header words, by name or by bytes such as ``29-30``."""

    def write(
        name: str = "headers.sgy",
        *,
        samples: NDArray[np.float32] | None = None,
        interval_us: int = 4000,
        **words: Any,
    ) -> Path:
        by_place = {key.replace("_to_", "-").removeprefix("bytes_"): values for key, values in words.items()}
        trace_count = max(len(np.atleast_1d(values)) for values in by_place.values())
        if samples is None:
            samples = np.arange(1, 2 * trace_count + 1, dtype=np.float32).reshape(trace_count, 2)
        traces = np.zeros((trace_count, 240 + 4 * samples.shape[1]), np.uint8)
        traces[:, 240:] = samples.astype(">f4").view(np.uint8)
        for place, values in {"sample_count": samples.shape[1], **by_place}.items():
            field = STANDARD[place] if place in STANDARD else word_at(place)
            column = np.broadcast_to(np.asarray(values), (trace_count,)).astype(f">{field.dtype}")
            first = field.first_byte - 1
            traces[:, first : first + field.nbytes] = column.view(np.uint8).reshape(trace_count, -1)
        binary = np.zeros(400, np.uint8)
        for first, value in ((17, interval_us), (21, samples.shape[1]), (25, 5)):
            binary[first - 1 : first + 1] = np.frombuffer(np.array([value], ">u2").tobytes(), np.uint8)
        path = tmp_path / name
        path.write_bytes("C 1 made by a test".ljust(3200).encode("cp037") + binary.tobytes() + traces.tobytes())
        return path

    return write


class DaskProcesses:
    """A scheduler and workers in processes of their own, as on a cluster, that can be killed as machines die."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None, protocol: str = "tcp") -> None:
        self.folder = folder
        self.environment = os.environ | {"DASK_TEMPORARY_DIRECTORY": str(folder / "scratch")} | dict(environment or {})
        self.protocol = protocol
        self.workers: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.restart_scheduler()

    @property
    def address(self) -> str:
        """What ``--scheduler`` takes."""
        return f"{self.protocol}://127.0.0.1:{self.port}"

    def restart_scheduler(self) -> None:
        """Starts the scheduler, at the same address as before, and waits until it listens."""
        place = ["--host", f"{self.protocol}://127.0.0.1", "--port", str(self.port)]
        self.scheduler = self._start("scheduler", "scheduler", *place, "--dashboard-address", "127.0.0.1:0")
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.scheduler.poll() is None, self.log("scheduler")
            time.sleep(0.1)

    def add_worker(
        self,
        *,
        nthreads: int = 1,
        memory: str = "1GiB",
        nanny: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Starts a worker and returns its number; it joins some seconds later (``Client.wait_for_workers``)."""
        number = len(self.workers)
        options = ["--nthreads", str(nthreads), "--memory-limit", memory, "--host", f"{self.protocol}://127.0.0.1"]
        options += ["--no-dashboard", "--death-timeout", "60", "--nanny" if nanny else "--no-nanny"]
        process = self._start(f"worker-{number}", "worker", self.address, *options, environment=environment)
        self.workers.append(process)
        return number

    def wait_for_workers(self, count: int) -> None:
        """Returns when as many workers have joined."""
        with Client(self.address) as client:
            client.wait_for_workers(count, timeout=120)

    def wait_for_end_of_workers(self) -> None:
        """Returns when all worker processes have ended: by themselves, as they do without a scheduler."""
        for process in self.workers:
            process.wait(timeout=120)

    def kill_worker(self, number: int) -> None:
        """SIGKILL for a worker and for its nanny, as if its machine had lost power."""
        _kill(self.workers[number])

    def kill_scheduler(self) -> None:
        """SIGKILL for the scheduler; workers without one end by themselves."""
        _kill(self.scheduler)

    def log(self, name: str) -> str:
        """What ``scheduler`` or ``worker-NUMBER`` printed."""
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            _kill(process)

    def _start(
        self, name: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        # Sessions of their own: a signal that a test sends to its own group does not reach them.
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                env=self.environment | dict(environment or {}),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def start_dask(tmp_path: Path) -> Iterator[Callable[..., DaskProcesses]]:
    """A function that starts a scheduler of its own; all its processes end with the test."""
    started: list[DaskProcesses] = []

    def start(**options: Any) -> DaskProcesses:
        started.append(DaskProcesses(tmp_path / f"dask-{len(started)}", **options))
        return started[-1]

    yield start
    for processes in started:
        processes.close()


@pytest.fixture
def dask_processes(start_dask: Callable[..., DaskProcesses]) -> DaskProcesses:
    """A scheduler without workers yet."""
    return start_dask()


MakeIndex = Callable[..., TraceIndex]


@pytest.fixture
def make_index(tmp_path: Path) -> MakeIndex:
    """A function that keeps header words as a trace index; words that are not given are 0, samples are every 3rd."""

    def make(part_traces: int = 5, **words: Any) -> TraceIndex:
        trace_count = len(next(iter(words.values())))
        zeros = np.zeros(trace_count, np.int64)
        of_all = {name: np.asarray(words.get(name, zeros), np.int64) for name in FIELDS}
        file = IndexedFile(
            url=str(tmp_path / f"{uuid.uuid4().hex}.zarr"), trace_count=trace_count, part_traces=part_traces
        )
        file.create()
        for start, stop in file.parts():
            file.write(start, {name: values[start:stop] for name, values in of_all.items()})
        first = {name: int(values[0]) for name, values in of_all.items()}
        return TraceIndex((file,), summarise(of_all), first, {name: values[::3] for name, values in of_all.items()})

    return make


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, what it printed, and what it said on stderr."""

    status: int
    printed: str
    said: str


class Conversion:
    """One dataset, made by ``python -m pipeline convert RECIPE`` in processes of their own, which can be killed."""

    def __init__(
        self,
        folder: Path,
        recipe: Mapping[str, Any],
        *,
        options: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.recipe = {"name": "made", "out": str(folder / "made.zarr"), **recipe}
        self.name, self.url = self.recipe["name"], self.recipe["out"]
        self.options = options
        self.environment = os.environ | {"TRACEMILL_CATALOG": str(folder / "catalog")} | dict(environment or {})
        self.catalog = Catalog(folder / "catalog")
        self.telemetry = folder / "telemetry.jsonl"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str, **changes: Any) -> subprocess.Popen[bytes]:
        """Starts a call, in a group of its own.

        Args:
            options: Of this call, after those of all calls.
            changes: Of the recipe, for this call.
        """
        recipe = self.folder / f"recipe-{len(self._processes)}.yaml"
        recipe.write_text(yaml.safe_dump(self.recipe | changes))
        options = (*self.options, *options, "--telemetry", str(self.telemetry))
        return self._start("pipeline", "convert", str(recipe), *options)

    def call(self, *options: str, **changes: Any) -> Ended:
        """A call from beginning to end."""
        return self.ended(self.start(*options, **changes))

    def command(self, module: str, *arguments: str) -> Ended:
        """Another command on the same catalog, e.g. ``pipeline status made``."""
        return self.ended(self._start(module, *arguments))

    def status(self) -> dict[str, Any]:
        """What ``pipeline status --json`` says."""
        ended = self.command("pipeline", "status", self.name, "--json")
        assert ended.status == 0, ended
        found: dict[str, Any] = json.loads(ended.printed)
        return found

    def ended(self, process: subprocess.Popen[bytes]) -> Ended:
        """Waits for a command; none may ever end with a traceback."""
        number = self._processes.index(process)
        ended = Ended(process.wait(), *((self.folder / f"{number}.{kind}").read_text() for kind in ("out", "err")))
        assert "Traceback" not in ended.said, ended.said
        return ended

    def records(self) -> set[tuple[int, ...]]:
        """Shards that the ledger says are complete."""
        found = self._names(layout.LEDGER)
        return {tuple(map(int, name.split(".")[:-1])) for name in found if name.endswith(".npz")}

    def exists(self, path: str) -> bool:
        """Whether an object or folder of the store is there."""
        return path.rpartition("/")[2] in self._names(path.rpartition("/")[0])

    def written(self) -> list[tuple[int, ...]]:
        """Shards that were written by calls that heard of it, in order; more than once, if so."""
        lines = self.telemetry.read_text().splitlines() if self.telemetry.exists() else []
        return [tuple(line["shard"]) for line in map(json.loads, lines) if line["event"] == "shard"]

    def objects(self) -> dict[str, bytes]:
        """Everything in the store, by path."""
        filesystem, root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        return {path.removeprefix(f"{root}/"): filesystem.cat_file(path) for path in filesystem.find(root)}

    def check_complete(self, expected: Mapping[str, bytes]) -> None:
        """Sees that the dataset is published, that its store is what it should be, and that nothing else is left."""
        entry = self.catalog.open(self.name)  # judges the store as well
        assert entry.revision == 1
        found = self.objects()
        assert found.keys() == expected.keys()
        assert [path for path in sorted(found) if found[path] != expected[path]] == []
        assert not self.exists(layout.WORK_GROUP)
        assert self.catalog.unfinished_names() == []
        found = {path.name for path in Path(self.catalog.place).rglob("*")}
        assert found == {f"{self.name}.json", ".lock", "unfinished"}

    def close(self) -> None:
        for process in self._processes:
            _kill(process)

    def _names(self, path: str) -> list[str]:
        if "://" not in self.url:
            with suppress(FileNotFoundError):  # what is looked for may be deleted at this moment
                return [child.name for child in Path(self.url, path).iterdir()]
            return []
        filesystem, root = fsspec.url_to_fs(f"{self.url}/{path}", use_listings_cache=False)
        with suppress(FileNotFoundError):
            return [name.rstrip("/").rpartition("/")[2] for name in filesystem.ls(root, detail=False)]
        return []

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        number = len(self._processes)
        with (self.folder / f"{number}.out").open("wb") as out, (self.folder / f"{number}.err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._processes.append(process)
        return process


@pytest.fixture
def make_conversion(tmp_path: Path) -> Iterator[Callable[..., Conversion]]:
    """A function that takes a recipe's values; all processes end with the test."""
    made: list[Conversion] = []

    def make(recipe: Mapping[str, Any], **options: Any) -> Conversion:
        made.append(Conversion(tmp_path / f"conversion-{len(made)}", recipe, **options))
        return made[-1]

    yield make
    for conversion in made:
        conversion.close()


@pytest.fixture
def failing_files(tmp_path: Path) -> dict[str, str]:
    """Environment in which all processes know the file system of ``failing_files.py``, by its entry point."""
    described = tmp_path / "packages" / "failing_files-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: failing-files\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[fsspec.specs]\nfailing = failing_files:FailingFileSystem\n")
    folders = [str(Path(__file__).parent), str(described.parent), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, folders))}
