"""What all tests share: where real files are, a catalog of their own, and an object store on loopback."""

import logging
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faulty_proxy import FaultyProxy

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("TRACEMILL_TEST_DATA", ROOT.parent / "shared" / "data"))
"""Real SEG-Y files, not ours to ship; tests that need them are skipped where they are absent."""


@pytest.fixture
def catalog_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog of the test's own, also for the commands that it runs."""
    folder = tmp_path / "catalog"
    monkeypatch.setenv("TRACEMILL_CATALOG", str(folder))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real files at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Endpoint of an S3 server of the tests' own, on loopback."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    from tests.object_store import serve_objects

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for each request
    with serve_objects() as endpoint:
        yield endpoint


@pytest.fixture
def bucket_url(object_store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket; endpoint and credentials are in the environment, which child processes inherit."""
    from s3fs import S3FileSystem

    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_S3"))]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_ENDPOINT_URL": object_store,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # an earlier one has its connection and its listings
    bucket = f"bucket-{uuid.uuid4().hex}"
    S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture
def faulty_store(object_store: str, bucket_url: str) -> Iterator[tuple[FaultyProxy, str]]:
    """A proxy before the object store, and the URL of a bucket."""
    with FaultyProxy(object_store, seed=1) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy, bucket_url
        proxy.shutdown()


def pytest_configure() -> None:
    """Lets the commands under test hear Ctrl-C: a shell starts what it puts into the background deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Ends although a test that failed has left threads waiting, for which Python would wait for ever."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.config.add_cleanup(lambda: os._exit(exitstatus))
