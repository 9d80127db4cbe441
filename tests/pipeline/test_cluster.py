"""How a client comes about: cluster files, TLS, and what is refused with a sentence."""

import datetime
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from data_catalog import InputError, WorkError
from pipeline.work.cluster import dask_client
from pipeline.work.engine import run_windowed

QUIET = {"n_workers": 0, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": "1GiB"}

OWN_CLUSTERS = """
from distributed import Nanny, Scheduler, SpecCluster

LOOPBACK = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}

class Machines(SpecCluster):
    '''A cluster class as a site might have one: each worker is made from one specification.'''

    def __init__(self, nthreads):
        worker = {"cls": Nanny, "options": {"nthreads": nthreads, "memory_limit": "1GiB", "host": "127.0.0.1"}}
        super().__init__(worker=worker, scheduler={"cls": Scheduler, "options": LOOPBACK})

class Queue(Machines):
    '''One whose jobs never start.'''

    def scale(self, n):
        pass
"""


def double(shared: int, item: int) -> int:
    return shared * item


def cluster_file(folder: Path, **values: Any) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML
    return path


@pytest.fixture
def own_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that only this machine has, as dask_jobqueue would be."""
    (tmp_path / "own_clusters.py").write_text(OWN_CLUSTERS)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("size", [{"scale": 2}, {"adapt": {"minimum": 2, "maximum": 3}}])
def test_a_cluster_file_starts_a_cluster_and_ends_it(tmp_path: Path, size: dict[str, Any]) -> None:
    path = cluster_file(tmp_path, **{"class": "distributed.LocalCluster"}, arguments=QUIET, **size)
    with dask_client(scheduler=None, workers=1, memory="auto", cluster=path) as client:
        outcomes = list(run_windowed(client, double, range(10), shared=2))
        client.wait_for_workers(2, timeout=60)
        cluster = client.cluster
    assert sorted(outcome.result() for outcome in outcomes) == list(range(0, 20, 2))
    assert cluster.status.name == "closed"


def test_a_cluster_class_of_ones_own(tmp_path: Path, own_clusters: None) -> None:
    path = cluster_file(tmp_path, **{"class": "own_clusters.Machines"}, arguments={"nthreads": 2}, scale=1)
    with dask_client(scheduler=None, workers=1, memory="auto", cluster=path) as client:
        assert list(client.nthreads().values()) == [2]


def test_workers_that_never_come(tmp_path: Path, own_clusters: None) -> None:
    path = cluster_file(tmp_path, **{"class": "own_clusters.Queue"}, arguments={"nthreads": 1}, scale=4, timeout_s=1)
    with (
        pytest.raises(WorkError, match=r"no worker of own_clusters.Queue came within 1 s: look at the batch system"),
        dask_client(scheduler=None, workers=1, memory="auto", cluster=path),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("class: nowhere.Cluster\nscale: 1", "nowhere.Cluster cannot be imported .No module named 'nowhere'"),
        ("class: distributed.NoCluster\nscale: 1", "distributed.NoCluster is no Dask cluster"),
        ("class: collections.OrderedDict\nscale: 1", "collections.OrderedDict is no Dask cluster"),
        ("class: distributed.LocalCluster\nscale: 1\narguments: {n_workers: two}", "does not start with these argum"),
        ("class: distributed.SpecCluster\nscale: 1\narguments: {nonsense: 1}", "unexpected keyword argument"),
        ("class: distributed.LocalCluster", "either `scale: 10` or `adapt"),
        ("class: distributed.LocalCluster\nscale: 1\nadapt: {maximum: 2}", "either `scale: 10` or `adapt"),
        ("class: distributed.LocalCluster\nscale: 0", "cluster.scale: "),
        ("class: distributed.LocalCluster\nadapt: {minimum: 0, maximum: 2}", "cluster.adapt.minimum: "),
        ("class: distributed.LocalCluster\nscal: 1", "cluster.scal: "),
        ("class: LocalCluster\nscale: 1", "cluster.class: "),
        ("scale: 1", "cluster.class: "),
        ("- a list", "expected `key: value` lines"),
        (None, "cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed cluster")  # half-made by a class that then refused its arguments
def test_cluster_files_that_are_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    with (
        pytest.raises(InputError, match=sentence),
        dask_client(scheduler=None, workers=1, memory="auto", cluster=path),
    ):
        pass
    gc.collect()


def test_scheduler_and_cluster_are_one_too_many(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="leave one of them out"),
        dask_client(scheduler="threads", workers=1, memory="auto", cluster=tmp_path / "cluster.yaml"),
    ):
        pass


def test_a_scheduler_without_workers(dask_processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.work.cluster.CONNECT_TIMEOUT_S", 1)
    with (
        pytest.raises(InputError, match="has no workers: start some with `dask worker tcp://"),
        dask_client(scheduler=dask_processes.address, workers=1, memory="auto"),
    ):
        pass


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Dask's settings for a certificate that signs itself: the one authority, and everybody's identity."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate_path, key_path = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(pem))
    key_path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    settings = {"distributed.comm.tls.ca-file": str(certificate_path)}
    for role in ("client", "scheduler", "worker"):
        settings[f"distributed.comm.tls.{role}.cert"] = str(certificate_path)
        settings[f"distributed.comm.tls.{role}.key"] = str(key_path)
    return settings


def as_environment(settings: dict[str, str]) -> dict[str, str]:
    """Settings of Dask as a user's shell gives them."""
    return {"DASK_" + name.upper().replace(".", "__").replace("-", "_"): value for name, value in settings.items()}


@pytest.fixture
def tls_address(certificates: dict[str, str], start_dask) -> Iterator[str]:
    """A scheduler and a worker that speak TLS, told so by their environment, as Dask's documentation says."""
    processes = start_dask(protocol="tls", environment=as_environment(certificates))
    processes.add_worker()
    return processes.address


def test_tls_with_certificates(tls_address: str, certificates: dict[str, str]) -> None:
    with (
        dask.config.set(certificates),
        dask_client(scheduler=tls_address, workers=1, memory="auto") as client,
    ):
        outcomes = list(run_windowed(client, double, range(10), shared=2))
        (worker,) = client.nthreads()
    assert worker.startswith("tls://")
    assert sorted(outcome.result() for outcome in outcomes) == list(range(0, 20, 2))


def test_tls_without_certificates(tls_address: str) -> None:
    with (
        pytest.raises(InputError, match="needs certificates: let DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "),
        dask_client(scheduler=tls_address, workers=1, memory="auto"),
    ):
        pass


def test_tls_with_certificates_that_are_not_there(tls_address: str, certificates: dict[str, str]) -> None:
    with (
        dask.config.set(certificates | {"distributed.comm.tls.client.cert": "/nowhere.pem"}),
        pytest.raises(InputError, match=r"the certificates cannot be used .*No such file"),
        dask_client(scheduler=tls_address, workers=1, memory="auto"),
    ):
        pass


def test_without_tls_to_a_scheduler_that_wants_it(tls_address: str) -> None:
    with (
        pytest.raises(InputError, match=r"no Dask scheduler answers at tcp.* write tls:// if that is what it speaks"),
        dask_client(scheduler=tls_address.replace("tls", "tcp"), workers=1, memory="auto"),
    ):
        pass


def test_tls_to_a_scheduler_without_it(
    dask_processes, certificates: dict[str, str], make_segy, catalog_folder: Path, tmp_path: Path
) -> None:
    # In a process of its own: Tornado never closes the socket of a TLS handshake that nobody answers.
    address = dask_processes.address.replace("tcp", "tls")
    target = ["--name", "x", "--out", tmp_path / "x.zarr"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "convert", make_segy().path, *target, "--scheduler", address],
        env=os.environ | as_environment(certificates),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f"no Dask scheduler answers at {address} " in done.stderr
    assert "write tcp:// if that is what it speaks" in done.stderr
    assert "Traceback" not in done.stderr
