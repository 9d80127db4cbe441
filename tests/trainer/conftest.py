"""Small stores that keep to SPEC.md, written with plain zarr: the trainer's tests begin from the contract."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import crc32c
import numpy as np
import pytest
import torch
import yaml
import zarr

from data_catalog import Catalog, Entry, Kind, Role, Variable, layout
from trainer.reads.opening import open_chunks
from trainer.reads.readers import Expected

torch.set_num_threads(1)

KINDS = {
    ("inline", "crossline", "time"): Kind.STACK3D,
    ("trace", "time"): Kind.STACK2D,
}


class StoreMaker:
    """Makes prepared datasets under one folder and lists them in one catalog."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalog = Catalog(folder / "catalog")
        self.started: list[subprocess.Popen[bytes]] = []

    def make(
        self,
        name: str,
        *,
        amplitude: np.ndarray,
        dims: tuple[str, ...],
        chunk: tuple[int, ...],
        shard: tuple[int, ...] | None = None,
        splits: dict[str, list[dict[str, tuple[int, int]]]] | None = None,
        salt: np.ndarray | None = None,
        live: np.ndarray | None = None,
        dtype: str = "float32",
    ) -> Entry:
        url = str(self.folder / f"{name}.zarr")
        group = zarr.create_group(url)
        shard = shard or chunk
        live = np.ones(amplitude.shape[:-1], bool) if live is None else live
        payload = {"amplitude": np.where(live[..., None], amplitude, 0).astype(dtype)}
        described = {"amplitude": _variable(Role.INPUT, dims, amplitude.shape, dtype, chunk, shard, units="1")}
        if salt is not None:
            payload["salt"] = np.where(live[..., None], salt, 255).astype(np.uint8)
            flags = {"flag_values": (0, 1), "flag_meanings": ("rock", "salt"), "ignore_value": 255}
            described["salt"] = _variable(Role.CLASS_LABEL, dims, amplitude.shape, "uint8", chunk, shard, **flags)
        payload["live"] = live
        described["live"] = _variable(Role.COORDINATE, dims[:-1], live.shape, "bool", chunk[:-1], shard[:-1])
        for dim, size in zip(dims, amplitude.shape, strict=True):
            payload[dim] = np.arange(size, dtype=np.int32)
            described[dim] = _variable(Role.COORDINATE, (dim,), (size,), "int32", (size,), (size,))
        for variable_name, variable in described.items():
            _write(group, variable_name, payload[variable_name], variable)
        _write_statistics(group, payload["amplitude"], live, chunk)
        if salt is not None:
            _write_class_counts(group, payload["salt"], chunk)
        for variable_name in payload.keys() & {"amplitude", "salt"}:
            _write_checksums(group, variable_name, f"{url}/{variable_name}")
        entry = Entry(
            name=name,
            kind=KINDS[dims],
            url=url,
            created=datetime.now(UTC),
            main_variable="amplitude",
            sizes=dict(zip(dims, amplitude.shape, strict=True)),
            variables=described,
            splits=splits or {"train": [{}]},
        )
        self.catalog.publish(entry)
        return entry

    def make_salt(self, name: str, *, shape: tuple[int, ...] = (12, 48, 40), seed: int = 0, **layout_changes) -> Entry:
        """Inlines with a bright column of salt and some dead traces; splits are blocks of inlines with guards."""
        generator = np.random.default_rng(seed)
        axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
        salt = sum(axis**2 for axis in axes[1:]) < 0.4
        arrangement = {
            "chunk": (4, 16, 20),
            "shard": (4, 32, 40),
            "splits": {
                "train": [{"inline": (0, 6)}],
                "validation": [{"inline": (7, 9)}],
                "test": [{"inline": (10, 12)}],
            },
        }
        return self.make(
            name,
            dims=("inline", "crossline", "time"),
            amplitude=generator.standard_normal(shape) * 10 + np.where(salt, 25, 3),
            live=generator.random(shape[:-1]) > 0.05,
            **({"salt": salt} | arrangement | layout_changes),
        )

    def make_line(self, name: str, *, shape: tuple[int, int] = (160, 64), **layout_changes) -> Entry:
        """A line of dipping events; the last traces are validation and test."""
        trace, time = np.meshgrid(*map(np.arange, shape), indexing="ij")
        amplitude = sum(np.sin(time / 4 + trace * dip) for dip in (0.1, 0.5, -0.8))
        last = shape[0]
        arrangement = {
            "chunk": (16, 32),
            "shard": (32, 64),
            "splits": {
                "train": [{"trace": (0, last - 96)}],
                "validation": [{"trace": (last - 80, last - 48)}],
                "test": [{"trace": (last - 32, last)}],
            },
        }
        return self.make(name, dims=("trace", "time"), amplitude=amplitude, **(arrangement | layout_changes))

    def make_examples(self, name: str, *, examples: int = 24) -> Entry:
        """Shot gathers and the velocity models under them: they share the examples and nothing else."""
        generator = np.random.default_rng(0)
        url, group = str(self.folder / f"{name}.zarr"), zarr.create_group(self.folder / f"{name}.zarr")
        described = {}
        for variable_name, role, dims, shape in (
            ("gathers", Role.INPUT, ("example", "shot", "time", "receiver"), (examples, 2, 20, 6)),
            ("velocity", Role.TARGET, ("example", "depth", "x"), (examples, 7, 9)),
        ):
            chunk = (5, *(-(-size // 2) for size in shape[1:]))
            described[variable_name] = _variable(role, dims, shape, "float32", chunk, chunk, units="1")
            samples = generator.standard_normal(shape, dtype=np.float32)
            _write(group, variable_name, samples, described[variable_name])
            _write_statistics(group, samples, np.ones(shape[:-1], bool), chunk, name=variable_name)
            _write_checksums(group, variable_name, f"{url}/{variable_name}")
        sizes = {"example": examples, "shot": 2, "time": 20, "receiver": 6, "depth": 7, "x": 9}
        for dim, size in sizes.items():
            described[dim] = _variable(Role.COORDINATE, (dim,), (size,), "int32", (size,), (size,))
            _write(group, dim, np.arange(size, dtype=np.int32), described[dim])
        entry = Entry(
            name=name,
            kind=Kind.EXAMPLES,
            url=url,
            created=datetime.now(UTC),
            main_variable="gathers",
            sizes=sizes,
            variables=described,
            splits={"train": [{"example": (0, examples - 5)}], "test": [{"example": (examples - 5, examples)}]},
        )
        self.catalog.publish(entry)
        return entry

    def run(
        self, *arguments: str | Path, processes: int | None = None, timeout: float = 240, slow_rank: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs ``trainer`` as a user does, with torchrun where a number of processes is given, one of them slow."""
        command = self._command(arguments, processes=processes, slow=slow_rank is not None)
        environment = self._environment() | {"SLOW_RANK": str(slow_rank)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, check=False)

    def start(
        self,
        *arguments: str | Path,
        processes: int | None = None,
        launcher: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Starts the same, and lets it run; what it says goes to ``said`` in the folder."""
        command = self._command(arguments, processes=processes)
        command[1:1] = launcher
        environment = self._environment() | dict(environment or {})
        with open(self.folder / "said", "ab") as said:
            self.started.append(subprocess.Popen(command, env=environment, stdout=said, stderr=said))
        return self.started[-1]

    def _command(self, arguments: Iterable[str | Path], *, processes: int | None, slow: bool = False) -> list[str]:
        launcher = [sys.executable]
        if processes:
            launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        program = [str(Path(__file__).with_name("slow_reads.py"))] if slow else ["-m", "trainer"]
        return [*launcher, *program, *map(str, arguments)]

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "TRACEMILL_CATALOG": self.catalog.place,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{Path(__file__).parents[2]}{os.pathsep}{self.folder}",
        }


def _variable(role, dims, shape, dtype, chunk, shard, **more) -> Variable:
    return Variable(role=role, dims=dims, shape=shape, dtype=dtype, chunk_shape=chunk, shard_shape=shard, **more)


def _write(group: zarr.Group, name: str, samples: np.ndarray, variable: Variable) -> None:
    attributes = {"role": variable.role.value}
    if variable.units is not None:
        attributes["units"] = variable.units
    if variable.flag_values is not None:
        attributes["flag_values"] = list(variable.flag_values)
        attributes["flag_meanings"] = " ".join(variable.flag_meanings)
        attributes["ignore_value"] = variable.ignore_value
    array = group.create_array(
        name,
        shape=variable.shape,
        dtype=variable.dtype,
        chunks=variable.chunk_shape,
        shards=variable.shard_shape if variable.shard_shape != variable.chunk_shape else None,
        dimension_names=variable.dims,
        attributes=attributes,
    )
    array[...] = samples


def _chunks(shape, chunk):
    for index in product(*(range(-(-size // extent)) for size, extent in zip(shape, chunk, strict=True))):
        yield index, tuple(slice(i * extent, (i + 1) * extent) for i, extent in zip(index, chunk, strict=True))


def _write_statistics(group, amplitude, live, chunk, *, name="amplitude") -> None:
    grid = tuple(-(-size // extent) for size, extent in zip(amplitude.shape, chunk, strict=True))
    arrays = {name: np.zeros(grid, dtype) for name, dtype in layout.STATISTICS.items()}
    arrays["minimum"][:] = arrays["maximum"][:] = np.nan
    for index, cut in _chunks(amplitude.shape, chunk):
        recorded = amplitude[cut][live[cut[:-1]]].astype(np.float64).ravel()
        counted = recorded[np.isfinite(recorded)]
        arrays["count"][index], arrays["nonfinite_count"][index] = len(counted), len(recorded) - len(counted)
        if len(counted):
            arrays["mean"][index], arrays["m2"][index] = counted.mean(), counted.var() * len(counted)
            arrays["minimum"][index], arrays["maximum"][index] = counted.min(), counted.max()
    for statistic, samples in arrays.items():
        group.create_array(layout.manifest_path(name, statistic), data=samples)


def _write_class_counts(group, label, chunk) -> None:
    grid = tuple(-(-size // extent) for size, extent in zip(label.shape, chunk, strict=True))
    counts = np.zeros((*grid, 256), np.int64)
    for index, cut in _chunks(label.shape, chunk):
        counts[index] = np.bincount(label[cut].ravel(), minlength=256)
    group.create_array(layout.manifest_path("salt", layout.CLASS_COUNTS), data=counts)


def _write_checksums(group, name, url) -> None:
    chunked = open_chunks(group[name], url=url, expected=Expected())
    checksums, is_fill = np.zeros(chunked.grid, np.uint32), np.ones(chunked.grid, bool)
    for chunk in np.ndindex(chunked.grid):
        content = chunked.reader.fetch(chunk)
        if content is not None:
            checksums[chunk], is_fill[chunk] = crc32c.crc32c(content), False
    group.create_array(layout.manifest_path(name, layout.CHECKSUM), data=checksums)
    group.create_array(layout.manifest_path(name, layout.IS_FILL), data=is_fill)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[StoreMaker]:
    maker = StoreMaker(tmp_path)
    yield maker
    for process in maker.started:  # whatever a test that failed has left
        process.kill()
        process.wait()


@pytest.fixture
def salt_stack(stores: StoreMaker) -> Entry:
    return stores.make_salt("salt")


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small segmentation recipe; keyword arguments replace its sections."""

    def write(**changes: object) -> Path:
        recipe = {
            "dataset": {"name": "salt", "label": "salt"},
            "window": {"crossline": 16, "time": 16},
            "model": {"name": "unet", "levels": 3, "start_filters": 4},
            "task": {"name": "segmentation"},
            "optimiser": {"learning_rate": 0.01, "warmup_samples": 16},
            "batch_size": 8,
            "steps": 6,
            "validate_every_steps": 3,
            "checkpoint_every_steps": 2,
            "out": str(tmp_path / "run"),
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe | changes))
        return path

    return write


@pytest.fixture
def call(stores: StoreMaker, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs ``python -m trainer`` in this process; returns its exit status."""

    def run_main(*arguments: str | Path) -> int:
        from trainer.__main__ import main

        monkeypatch.setenv("TRACEMILL_CATALOG", stores.catalog.place)
        monkeypatch.setattr(sys, "argv", ["trainer", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return int(exit_.value.code or 0)

    return run_main
