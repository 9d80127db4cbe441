"""Notebooks run from top to bottom, and are stored without outputs."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_cleared(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


@pytest.mark.filterwarnings("default")  # Jupyter's own are not ours to mend
def test_segy_to_training(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "byte for byte the original: True" in run(FOLDER / "01_segy_to_training.ipynb", monkeypatch)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_facies_and_leaks(monkeypatch: pytest.MonkeyPatch, real_data: Path) -> None:
    monkeypatch.setenv("PENOBSCOT", str(real_data / "labels/penobscot"))
    monkeypatch.setenv("FACIES_STEPS", "3")  # what it learns in more is in docs/measurements.md
    printed = run(FOLDER / "03_facies_and_leaks.ipynb", monkeypatch)
    assert len(re.findall(r"mean IoU of the network: 0\.\d+", printed)) == 2
    random, guarded = map(float, re.findall(r"mean IoU of the majority class at each depth: (0\.\d+)", printed))
    assert 0.7 < guarded < random < 0.95


def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a notebook from top to bottom; returns what it prints."""
    # `python` and `torchrun` in the notebook are those of this environment.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "error: " not in printed
    assert "Traceback" not in printed
    return printed
