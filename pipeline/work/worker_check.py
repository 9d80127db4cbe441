"""Before hours of work begin: whether all workers see the same files and have the same software."""

import asyncio
import importlib.metadata
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from distributed import Client

from data_catalog import InputError, layout
from data_catalog.storage import is_local, open_storage, reached
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import absolute, read_object

PACKAGES = ("tracemill", "zarr", "numcodecs", "numpy", "numba", "dask", "distributed", "fsspec")
"""Distributions whose versions decide what is written, and whether processes understand each other."""

SIGHT_TIMEOUT_S = 120
"""How long the storage may take to answer a worker."""

FAULTS_NAMED = 3
"""Where much is wrong, it is usually the same everywhere."""


def check_workers(client: Client, *, readable: Sequence[str], writable: str) -> None:
    """Sees that each worker can do the work: versions like the client's, the same sources, the same target.

    A probe is written into the target, which each worker must read, and write one of its own; they are removed again.

    Args:
        client: Whose workers; those that come later are not looked at.
        readable: Source files, paths or fsspec URLs.
        writable: The store to be written.

    Raises:
        InputError: If a worker differs; says which, in what, and what to do.
    """
    _check_versions(client)
    sizes = {}
    for url in map(absolute, readable):
        with reached(url):
            sizes[url] = _size(url)
    with _probe(absolute(writable)) as (url, token):
        faults = _ask_workers(client, _faults_of_sight, sizes, url, token)
    _refuse(
        faults,
        "storage must be reachable from all workers at the same place: see to mounts, permissions, and credentials in "
        "the workers' environment, or leave --scheduler and --cluster out to work on this machine.",
    )


def _check_versions(client: Client) -> None:
    """Asks by way of the standard library alone: where our package or our Python is not, ours could not answer."""
    questions: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {"Python": (platform.python_version, ())}
    questions |= {package: (importlib.metadata.version, (package,)) for package in PACKAGES}
    faults: dict[str, list[str]] = {}
    for name, (function, arguments) in questions.items():
        ours = _version(name, function(*arguments))
        answers = _ask_workers(client, function, *arguments) | {
            "the scheduler": _ask_scheduler(client, function, *arguments)
        }
        for place, answer in answers.items():
            if (theirs := _version(name, answer)) != ours:
                faults.setdefault(place, []).append(f"has {theirs} instead of {ours}")
    _refuse(faults, "install the same versions everywhere, e.g. with constraints.txt, and start it again.")


def _ask_workers(client: Client, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Answers by worker, or the exceptions of those that have none; without those that went away meanwhile."""
    answers: dict[str, Any] = client.run(function, *arguments, on_error="return")
    return {f"worker {address}": answer for address, answer in answers.items() if not isinstance(answer, OSError)}


def _ask_scheduler(client: Client, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return client.run_on_scheduler(function, *arguments)
    except importlib.metadata.PackageNotFoundError as error:
        return error


def _version(name: str, answer: str | Exception) -> str:
    match answer:
        case importlib.metadata.PackageNotFoundError():
            return f"no {name}"
        case Exception():
            raise answer
        case _:
            # Compiled functions travel between Pythons that agree in the first two numbers.
            return f"{name} {'.'.join(answer.split('.')[:2]) if name == 'Python' else answer}"


def _refuse(faults: Mapping[str, Sequence[str]], advice: str) -> None:
    faulty = [f"{place} {' and '.join(found[:FAULTS_NAMED])}" for place, found in faults.items() if found]
    if faulty:
        more = [f"{len(faulty) - FAULTS_NAMED} more differ"] if len(faulty) > FAULTS_NAMED else []
        raise InputError(f"{'; '.join(faulty[:FAULTS_NAMED] + more)}: {advice}")


def _size(url: str) -> int | None:
    filesystem, path = open_storage(url)
    filesystem.invalidate_cache()
    size: int | None = filesystem.size(path)
    return size


@contextmanager
def _probe(store: str) -> Iterator[tuple[str, str]]:
    """An object in the store.

    Yields:
        Its URL and what it holds.
    """
    token = uuid.uuid4().hex
    folder = f"{store}/{layout.WORK_GROUP}"
    url = f"{folder}/probe-{token}"
    with reached(store):
        filesystem, path = open_storage(url)
        parents = list(Path(path).parents) if is_local(filesystem) else []
        made = [parent for parent in parents if not parent.exists()]
        write_object(url, token.encode())
    try:
        yield url, token
    finally:
        with reached(store):
            filesystem.rm_file(path)
        with suppress(OSError):  # somebody else's work has begun there
            for parent in made:
                parent.rmdir()


async def _faults_of_sight(sizes: Mapping[str, int | None], probe_url: str, token: str) -> list[str]:
    """Runs on a worker, beside its event loop: that has to tell the scheduler that the worker lives."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(_look, sizes, probe_url, token), SIGHT_TIMEOUT_S)
    except TimeoutError:
        return [f"had no answer from the storage within {SIGHT_TIMEOUT_S} s"]


def _look(sizes: Mapping[str, int | None], probe_url: str, token: str) -> list[str]:
    faults = [fault for url, size in sizes.items() for fault in _faults_of_source(url, size)]
    return faults + _faults_of_target(probe_url, token)


def _faults_of_source(url: str, size: int | None) -> list[str]:
    try:
        found = _size(url)
    except Exception as error:  # each library for object stores has kinds of its own
        return [f"cannot see {url} ({type(error).__name__})"]
    return [] if found == size else [f"sees {url} with {found} bytes instead of {size}"]


def _faults_of_target(probe_url: str, token: str) -> list[str]:
    store = probe_url.rsplit("/", 2)[0]
    try:
        if read_object(probe_url).decode() != token:
            return [f"reads something else in {store} than was written"]
    except Exception as error:
        return [f"does not see what was written into {store} ({type(error).__name__})"]
    try:
        own_url = f"{probe_url}-{uuid.uuid4().hex}"
        write_object(own_url, token.encode())
        filesystem, path = open_storage(own_url)
        filesystem.rm_file(path)
    except Exception as error:
        return [f"cannot write into {store} ({type(error).__name__})"]
    return []
