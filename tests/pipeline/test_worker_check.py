"""Workers that differ from the client, in software or in what they see, are named before any work begins."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import fsspec
import pytest
from distributed import Client

import pipeline
from data_catalog import InputError
from pipeline.work.cluster import PROCESSES, dask_client
from pipeline.work.worker_check import check_workers


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "survey.sgy"
    path.write_bytes(bytes(3600))
    return path


@contextmanager
def client_of(processes, count: int = 1) -> Iterator[Client]:
    with dask_client(scheduler=processes.address, workers=1, memory="auto") as client:
        client.wait_for_workers(count, timeout=60)
        yield client


def with_version_zero(package: str, folder: Path) -> Path:
    """A folder that tells whoever has it on its path of a version that was never installed."""
    metadata = folder / f"{package}-0.0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.1\n")
    return folder


def test_threads_and_processes_of_this_machine_pass(client: Client, source: Path, tmp_path: Path) -> None:
    check_workers(client, readable=[str(source)], writable=str(tmp_path / "threads" / "x.zarr"))
    with dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as processes:
        check_workers(processes, readable=[str(source)], writable=str(tmp_path / "processes" / "x.zarr"))
    assert list(tmp_path.iterdir()) == [source]


def test_foreign_workers_pass_with_relative_paths_and_leave_what_was_there(
    dask_processes, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = tmp_path / "x.zarr" / "work" / "ledger"
    ledger.mkdir(parents=True)
    for _ in range(2):
        dask_processes.add_worker()
    with client_of(dask_processes, 2) as client:
        check_workers(client, readable=["survey.sgy"], writable="x.zarr")
    assert list((tmp_path / "x.zarr").rglob("*")) == [ledger.parent, ledger]


def test_an_object_store_that_the_workers_see(bucket_url: str, start_dask) -> None:
    with fsspec.open(f"{bucket_url}/survey.sgy", "wb") as file:
        file.write(bytes(3600))
    processes = start_dask()
    processes.add_worker()
    with client_of(processes) as client:
        check_workers(client, readable=[f"{bucket_url}/survey.sgy"], writable=f"{bucket_url}/x.zarr")
        # Listings that a worker has in its cache must not hide what was changed since.
        client.run(lambda: fsspec.filesystem("s3").find(bucket_url))
        with fsspec.open(f"{bucket_url}/survey.sgy", "wb") as file:
            file.write(bytes(7200))
        check_workers(client, readable=[f"{bucket_url}/survey.sgy"], writable=f"{bucket_url}/x.zarr")
    filesystem = fsspec.filesystem("s3")
    filesystem.invalidate_cache()
    assert filesystem.find(bucket_url) == [f"{bucket_url.removeprefix('s3://')}/survey.sgy"]


def test_an_object_store_without_credentials_on_a_worker(bucket_url: str, start_dask) -> None:
    with fsspec.open(f"{bucket_url}/survey.sgy", "wb") as file:
        file.write(bytes(3600))
    processes = start_dask(environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    processes.add_worker()
    with (
        client_of(processes) as client,
        pytest.raises(InputError, match=r"worker tcp://127.0.0.1:\d+ cannot see s3://.*credentials in the workers"),
    ):
        check_workers(client, readable=[f"{bucket_url}/survey.sgy"], writable=f"{bucket_url}/x.zarr")


def test_a_target_in_the_memory_of_this_process(source: Path) -> None:
    with (
        dask_client(scheduler=PROCESSES, workers=2, memory="1GiB") as client,
        pytest.raises(
            InputError, match=r"worker tcp://127.0.0.1:\d+ does not see what was written into memory://x.zarr"
        ),
    ):
        check_workers(client, readable=[str(source)], writable="memory://x.zarr")
    assert fsspec.filesystem("memory").find("/x.zarr") == []


def test_a_target_in_memory_suits_threads(client: Client, source: Path) -> None:
    check_workers(client, readable=[str(source)], writable="memory://x.zarr")


def test_a_source_that_is_gone(client: Client, source: Path, tmp_path: Path) -> None:
    source.unlink()
    with pytest.raises(InputError, match=r"survey\.sgy cannot be read or written .FileNotFoundError"):
        check_workers(client, readable=[str(source)], writable=str(tmp_path / "x.zarr"))


def test_sources_that_workers_do_not_see_or_see_otherwise(
    dask_processes, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process reads what is below its own folder: ``/proc/self/cwd`` is another place in each."""
    monkeypatch.chdir(tmp_path)
    elsewhere = "/proc/self/cwd/survey.sgy"
    dask_processes.add_worker()
    with client_of(dask_processes) as client:
        with pytest.raises(
            InputError, match=r"worker tcp://127.0.0.1:\d+ cannot see /proc/self/cwd/survey.sgy .FileNot"
        ):
            check_workers(client, readable=[elsewhere], writable=str(tmp_path / "x.zarr"))
        shutil.copy(source, dask_processes.folder)
        check_workers(client, readable=[elsewhere], writable=str(tmp_path / "x.zarr"))
        (dask_processes.folder / "survey.sgy").write_bytes(bytes(3599))
        with pytest.raises(InputError, match=r"sees /proc/self/cwd/survey.sgy with 3599 bytes instead of 3600"):
            check_workers(client, readable=[elsewhere], writable=str(tmp_path / "x.zarr"))
        with pytest.raises(InputError, match=r"does not see what was written into /proc/self/cwd/x.zarr"):
            check_workers(client, readable=[str(source)], writable="/proc/self/cwd/x.zarr")
    assert not (tmp_path / "x.zarr").exists()


def test_a_target_that_cannot_be_written_at_all(client: Client, source: Path) -> None:
    with pytest.raises(InputError, match="cannot be read or written"):
        check_workers(client, readable=[str(source)], writable="/dev/null/x.zarr")


def test_a_worker_with_another_zarr_is_named(start_dask, source: Path, tmp_path: Path) -> None:
    processes = start_dask()
    processes.add_worker()
    processes.add_worker(environment={"PYTHONPATH": str(with_version_zero("zarr", tmp_path / "other"))})
    with (
        client_of(processes, 2) as client,
        pytest.raises(InputError, match=r"^worker tcp://127.0.0.1:\d+ has zarr 0.0.1 instead of zarr 3[.\d]+: install"),
    ):
        check_workers(client, readable=[str(source)], writable=str(tmp_path / "x.zarr"))


def test_dask_itself_warns_of_no_versions(
    start_dask, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Other versions of what does not matter here are let through, without the table that Dask would print."""
    processes = start_dask(environment={"PYTHONPATH": str(with_version_zero("toolz", tmp_path / "other"))})
    processes.add_worker()
    with client_of(processes) as client:
        assert client.get_versions()["scheduler"]["packages"]["toolz"] == "0.0.1"
        check_workers(client, readable=[str(source)], writable=str(tmp_path / "x.zarr"))
    assert "toolz" not in capfd.readouterr().err


def test_a_worker_without_the_project_is_named(dask_processes, source: Path, tmp_path: Path) -> None:
    """It has Dask, but neither tracemill nor zarr: nothing of ours can run there, and yet it answers."""
    packages, project = Path(dask.__file__).parents[1], Path(pipeline.__file__).parents[1]
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in packages.iterdir():
        if not path.name.startswith(("tracemill", "zarr")) and path.suffix != ".pth":
            (bare / path.name).symlink_to(path)
    (bare / "sitecustomize.py").write_text(
        f"import sys\nsys.path[:] = [path for path in sys.path if path not in ({str(packages)!r}, {str(project)!r})]\n"
    )
    dask_processes.add_worker(environment={"PYTHONPATH": str(bare)})
    with (
        client_of(dask_processes) as client,
        pytest.raises(InputError, match=r"worker tcp.* has no tracemill instead of tracemill [.\d]+ and has no zarr"),
    ):
        check_workers(client, readable=[str(source)], writable=str(tmp_path / "x.zarr"))
