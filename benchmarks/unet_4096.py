"""The network of 7 levels on 4096 x 4096 samples, trained for a few steps on the processor: time and memory.

A synthetic survey of a few sections of that size is made and converted by the pipeline; `fit` of the recipe reads it,
batch 1. Memory is the most that the process ever held (VmHWM), interpreter and libraries included.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from call import CONSOLE, parse_call
from rich.table import Table

SECTION = 4096
SMALL_SECTION = 128
SECTIONS = 6
STEPS = 3

WAYS = {
    "float32": {},
    "float32, two levels recomputed": {"recompute_levels": 2},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, two levels recomputed": {"precision": "bfloat16", "recompute_levels": 2},
}

PEAK = """
import sys, re
from trainer.__main__ import main
try:
    main()
finally:
    print("peak_kib", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(SECTIONS * SECTION**2 * 4e-9,), repeats=1)
    section = SMALL_SECTION if call.is_small else SECTION
    table = Table("way", "said before, GiB", "peak of the process, GiB", "s a step", "loss, first and last step")
    with call.place(room_nbytes=4 * call.sizes[0]) as place:
        environment = os.environ | {"TRACEMILL_CATALOG": str(place.scratch / "catalog")}
        _make_dataset(place.scratch, section=section, environment=environment)
        for number, (name, compute) in enumerate(WAYS.items()):
            table.add_row(name, *_fit(place.scratch / f"run-{number}", section, compute, environment=environment))
    CONSOLE.print(table)


def _make_dataset(folder: Path, *, section: int, environment: dict[str, str]) -> None:
    recipe = folder / "survey.yaml"
    sizes = {"n_inlines": SECTIONS, "n_crosslines": section, "n_samples": section}
    recipe.write_text(yaml.safe_dump(sizes | {"sample_interval_us": 4000, "seed": 1}))
    _run(["pipeline", "synthesize", recipe, "--out", folder], environment=environment)
    labels = ["--label", f"salt={folder / 'salt.segy'}", "--classes", "salt=rock,salt"]
    split = ["--split", "train=inline:0%:100%"]
    store = ["--name", "survey", "--out", folder / "survey.zarr"]
    _run(["pipeline", "convert", folder / "amplitude.segy", *store, *labels, *split], environment=environment)


def _fit(
    run: Path, section: int, compute: dict[str, object], *, environment: dict[str, str]
) -> tuple[str, str, str, str]:
    extents = {"crossline": section, "time": section}
    changes = {
        "dataset": {"name": "survey", "label": "salt"},
        "window": extents,
        "stride": extents,
        "splits": {"validation": None, "test": None},
        "compute": compute,
        "optimiser.warmup_samples": 0,
        "batch_size": 1,
        "epochs": None,
        "steps": STEPS,
    }
    options = [part for place, value in changes.items() for part in ("--set", f"{place}={json.dumps(value)}")]
    arguments = ["fit", "trainer/recipes/unet_4096.yaml", "--out", run, *options]
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (said,) = (line.split()[4] for line in done.stdout.splitlines() if line.startswith("memory of a step"))
    peak_kib = int(done.stdout.split("peak_kib")[1])
    step_s = min(1 / row["windows_per_s"] for row in rows[1:])
    return said, f"{peak_kib / 2**20:.1f}", f"{step_s:.1f}", f"{rows[0]['loss']:.3f}, {rows[-1]['loss']:.3f}"


def _run(arguments: list[object], *, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", *map(str, arguments)], env=environment, capture_output=True, check=True)


if __name__ == "__main__":
    main()
