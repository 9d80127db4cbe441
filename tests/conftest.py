"""What all tests share: where real files are, and a catalog of their own."""

import os
from pathlib import Path

import pytest

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test with ``real_segy`` once for every real SEG-Y file."""
    if "real_segy" in metafunc.fixturenames:
        folder = REAL_DATA / "segy"
        paths = sorted(path for path in folder.rglob("*.s*gy") if path.suffix in {".sgy", ".segy"})
        names = [str(path.relative_to(folder)) for path in paths]
        missing = [pytest.param(None, marks=pytest.mark.skip(reason=f"no real files at {folder}"))]
        metafunc.parametrize("real_segy", paths or missing, ids=names or ["none"])
