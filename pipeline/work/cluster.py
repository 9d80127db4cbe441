"""Where the work runs: on threads, on processes, on a scheduler's workers, or on a cluster that a file describes."""

import importlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Annotated, Any, Self

import dask
from dask.utils import parse_bytes
from distributed import Client, LocalCluster, Security
from distributed.system import MEMORY_LIMIT
from distributed.versions import VersionMismatchWarning
from pydantic import Field, model_validator

from data_catalog import InputError, WorkError
from data_catalog.model_file import read_mapping, validated
from data_catalog.schema import Model
from pipeline.work.memory import WorkerMemory
from pipeline.work.progress import CONSOLE

THREADS, PROCESSES = "threads", "processes"
LOOPBACK = "127.0.0.1"
TLS = "tls://"
CONNECT_TIMEOUT_S = 10
CLIENT_LOGGERS = ("distributed.client", "distributed.batched")
WORKER_LOGGER = "distributed.worker"
LEAST_MEMORY_NBYTES = 256 * 2**20
FIRST_WORKER_TIMEOUT_S = 600
"""What a batch system's queue may take, unless the file says otherwise."""


class Adapt(Model):
    """Between how many workers a cluster may grow and shrink by itself; the first one is waited for."""

    minimum: Annotated[int, Field(ge=1)] = 1
    maximum: Annotated[int, Field(ge=1)]


class ClusterFile(Model):
    """A cluster to start for one command, as ``--cluster FILE`` describes it.

    Attributes:
        class_name: ``class`` in the file: a Dask cluster class by its dotted path.
        arguments: What the class is called with.
        scale: Workers to start; or else
        adapt: the bounds between which their number follows the work.
        timeout_s: How long to wait for the first worker.
    """

    class_name: Annotated[str, Field(alias="class", pattern=r"^\w+(\.\w+)+$")]
    arguments: dict[str, Any] = Field(default_factory=dict)
    scale: Annotated[int, Field(ge=1)] | None = None
    adapt: Adapt | None = None
    timeout_s: Annotated[float, Field(gt=0)] = FIRST_WORKER_TIMEOUT_S

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.scale is None) == (self.adapt is None):
            raise ValueError("say how many workers: either `scale: 10` or `adapt: {minimum: 1, maximum: 20}`")
        return self


@contextmanager
def dask_client(
    *, scheduler: str | None, workers: int, memory: str, cluster: str | Path | None = None
) -> Iterator[Client]:
    """A client, and the cluster behind it where there is none yet.

    Args:
        scheduler: An address such as ``tcp://host:8786``, or ``tls://host:8786`` with certificates in Dask's own
            configuration; ``processes`` for a LocalCluster; ``threads`` or None for threads of this process.
        workers: Number of threads, or of worker processes with one thread each.
        memory: What this process may use, or each worker process, e.g. ``2GiB``.
        cluster: A YAML file that describes a cluster to start (`ClusterFile`).

    Raises:
        InputError: If no scheduler with workers answers at the address, the memory limit is no size, or the file
            describes no cluster that can be started.
        WorkError: If the cluster started, but none of its workers came.
    """
    _check_memory(memory)
    if cluster is not None and scheduler is not None:
        raise InputError("--scheduler and --cluster both say where the work runs: leave one of them out.")
    if cluster is not None:
        opened = _described(Path(cluster))
    elif scheduler in (None, THREADS, PROCESSES):
        opened = _local(workers=workers, memory=memory, in_processes=scheduler == PROCESSES)
    else:
        if memory != "auto":
            raise InputError(
                f"--memory {memory}: the workers at {scheduler} have the memory that they were started with."
            )
        opened = _connected(scheduler)
    with opened as client:
        yield client


def _check_memory(memory: str) -> None:
    if memory == "auto":
        return
    try:
        nbytes = parse_bytes(memory)
    except ValueError:
        raise InputError(f"--memory {memory} is no size: write e.g. 2GiB, or auto.") from None
    if nbytes < LEAST_MEMORY_NBYTES:
        raise InputError(
            f"--memory {memory} is {nbytes} bytes, and a worker takes {LEAST_MEMORY_NBYTES // 2**20}MiB before it does "
            "anything: write e.g. 2GiB, or auto."
        )


def thread_count(client: Client) -> int:
    """Threads of all workers that are there now."""
    return sum(client.nthreads().values())


@contextmanager
def _local(*, workers: int, memory: str, in_processes: bool) -> Iterator[Client]:
    # Servers of ours are reachable from this machine only; worker processes never outlive a crashed parent.
    settings = {
        "distributed.dashboard.link": f"http://{LOOPBACK}:{{port}}/status",
        "distributed.worker.daemon": True,
        "distributed.worker.profile.enabled": False,  # an hour of its samples takes some hundred MiB of each process
        "distributed.comm.timeouts.connect": f"{CONNECT_TIMEOUT_S}s",
    }
    with dask.config.set(settings), ExitStack() as around, ExitStack() as stack:
        with _interrupts_kept_back():
            cluster = LocalCluster(
                n_workers=workers if in_processes else 1,
                threads_per_worker=1 if in_processes else workers,
                processes=in_processes,
                memory_limit=memory if in_processes or memory != "auto" else None,
                host=LOOPBACK if in_processes else None,
                dashboard_address=f"{LOOPBACK}:0",
            )
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        try:
            yield client
        finally:  # a heartbeat that is under way when the cluster closes is told as an error
            around.enter_context(_without_log(WORKER_LOGGER))


@contextmanager
def _interrupts_kept_back() -> Iterator[None]:
    """Holds a first Ctrl-C until the block is done: Dask's servers, half started, cannot be stopped in good order.

    Threads that are started meanwhile never hear one, nor do the processes that they start, now or later: a terminal
    sends it to all of them, and in a worker it would break off what the client waits for.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not _in_main_thread():
        yield
        return
    came: list[int] = []

    def keep_back(number: int, frame: object) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever presses it twice means it

    resource_tracker.ensure_running()  # when it is started, it lets its thread hear signals again
    signal.signal(signal.SIGINT, keep_back)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    if address.startswith(TLS):
        _check_certificates(address)
    try:
        client = _client(address)
    except (OSError, ValueError, RuntimeError) as error:
        other = "tcp://" if address.startswith(TLS) else TLS
        raise InputError(
            f"no Dask scheduler answers at {address} ({type(error).__name__}): start one with `dask scheduler`, "
            f"write {other} if that is what it speaks, or leave --scheduler out to work on this machine."
        ) from None
    with _without_log(*CLIENT_LOGGERS), client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise InputError(
                f"the Dask scheduler at {address} has no workers: start some with `dask worker {address}`."
            ) from None
        yield client


def _check_certificates(address: str) -> None:
    """Sees that Dask's configuration names certificates that can be loaded."""
    variables = [f"DASK_DISTRIBUTED__COMM__TLS__{name}" for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")]
    named = ", ".join(variables[:-1]) + f" and {variables[-1]}"
    try:
        context = Security().get_connection_args("client")["ssl_context"]
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: the certificates cannot be used ({error}): check {named}.") from None
    if context is None:
        raise InputError(f"{address} needs certificates: let {named} name PEM files.")


@contextmanager
def _described(path: Path) -> Iterator[Client]:
    wanted = validated(ClusterFile, read_mapping(path), subject=str(path), root="cluster")
    cluster_class = _cluster_class(path, wanted.class_name)
    with _faults_as_sentences(path, wanted):
        cluster = cluster_class(**wanted.arguments)
    with cluster:
        with _faults_as_sentences(path, wanted):
            if wanted.scale is not None:
                cluster.scale(wanted.scale)
            if wanted.adapt is not None:
                cluster.adapt(**wanted.adapt.model_dump())
        with _without_log(*CLIENT_LOGGERS), _client(cluster) as client:
            _wait_for_first_worker(client, path, wanted)
            yield client


@contextmanager
def _faults_as_sentences(path: Path, wanted: ClusterFile) -> Iterator[None]:
    """The class and its arguments are the user's: anything may go wrong in them."""
    try:
        yield
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise InputError(
            f"{path}: {wanted.class_name} does not start with these arguments ({type(cause).__name__}: {cause})."
        ) from None


def _wait_for_first_worker(client: Client, path: Path, wanted: ClusterFile) -> None:
    CONSOLE.print(f"waiting for the first worker of {wanted.class_name}", highlight=False, soft_wrap=True)
    try:
        client.wait_for_workers(1, timeout=wanted.timeout_s)
    except TimeoutError:
        raise WorkError(
            f"no worker of {wanted.class_name} came within {wanted.timeout_s:g} s: look at the batch system's queue "
            f"and at the logs of its jobs, or let `timeout_s` in {path} give it more time."
        ) from None


def _cluster_class(path: Path, dotted: str) -> Any:
    module_name, _, class_name = dotted.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{path}: {dotted} cannot be imported ({error}): install it where this command runs, or correct `class`."
        ) from None
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and callable(getattr(found, "scale", None))):
        raise InputError(f"{path}: {dotted} is no Dask cluster: name a class such as dask_jobqueue.SLURMCluster.")
    return found


def _client(where: Any) -> Client:
    """A client, without Dask's warning of other versions elsewhere: `check_workers` refuses them with a sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)
        return Client(where, timeout=CONNECT_TIMEOUT_S)


@contextmanager
def _without_log(*names: str) -> Iterator[None]:
    """Where what happens ends the run with a sentence, or is no fault, and Dask would add tracebacks."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def worker_memory(client: Client) -> WorkerMemory:
    """What the smallest worker has for each of its tasks; workers without a limit have their machine's memory."""
    # Not client.scheduler_info(): what it returns is shared with a periodic update that leaves workers out.
    assert client.scheduler is not None, "a client that is open has one"
    workers = client.sync(client.scheduler.identity, n_workers=-1)["workers"].values()
    found = [(worker["memory_limit"] or MEMORY_LIMIT, worker["nthreads"]) for worker in workers]
    nbytes, threads = min(found, key=lambda limit: limit[0] / limit[1])
    return WorkerMemory(nbytes=nbytes, threads=threads)
