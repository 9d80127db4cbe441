"""The walls between the packages, by what really is imported; import-linter checks the same by reading the source."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import data_catalog
import pipeline
import trainer

ROOT = Path(__file__).parents[1]
IMPORTED_WHEN_ASKED_FOR = "data_catalog.views.page."
"""Modules of a view that takes more than the contract does; the package above them imports none of them by itself."""


@pytest.mark.parametrize("package", [data_catalog, pipeline, trainer])
def test_the_packages_are_ours(package) -> None:
    assert package.__file__ is not None
    assert Path(package.__file__).parent == ROOT / package.__name__


@pytest.mark.parametrize(
    ("package", "absent"),
    [
        (data_catalog, {"numpy", "zarr", "xarray", "dask", "torch", "pipeline", "trainer"}),
        (pipeline, {"torch", "trainer"}),
        (trainer, {"dask", "distributed", "xarray", "segyio", "numba", "scipy", "pipeline"}),
    ],
)
def test_no_module_brings_in_the_other_half(package, absent: set[str]) -> None:
    found = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    modules = [name for name in found if not name.startswith(IMPORTED_WHEN_ASKED_FOR)]
    program = f"import sys, {', '.join(modules)}; print(*sorted({absent!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_tests_shadow_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
