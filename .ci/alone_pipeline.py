"""The pipeline, installed alone, makes a survey, converts it, and writes it back byte for byte; there is no torch."""

import importlib.util
import subprocess
import sys
from pathlib import Path

for absent in ("torch", "tensorboard", "safetensors"):
    assert importlib.util.find_spec(absent) is None, f"{absent} is installed: the pipeline is not alone"


def run(*arguments: str) -> None:
    """Prints and runs a command of the project."""
    print("$ python -m", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", *arguments], check=True)


Path("survey.yaml").write_text("n_inlines: 12\nn_crosslines: 24\nn_samples: 100\n")
run("pipeline", "synthesize", "survey.yaml", "--out", ".")
label = ["--label", "salt=salt.segy", "--classes", "salt=rock,salt"]
run("pipeline", "convert", "amplitude.segy", *label, "--name", "alone", "--out", "alone.zarr", "--catalog", "catalog")
run("data_catalog", "check", "alone", "--catalog", "catalog")
run("pipeline", "export", "alone", "--out", "again.segy", "--catalog", "catalog")
assert Path("again.segy").read_bytes() == Path("amplitude.segy").read_bytes()
print("pipeline alone: converted and exported byte for byte, without torch")
