"""Two ranks that share each batch, against two processes that know nothing of each other: what the exchange costs.

Each process has one core, trains the same network on its half of a batch, and does nothing else. A ratio of 0.95 says
that ranks take 1 / 0.95 of the time that the independent ones take for a step; median over the steps of a run, the
first ones aside, runs in turn.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import yaml
from call import CONSOLE, parse_call
from rich.table import Table

SHARE = 8
STEPS, SETTLED = 40, 10
NETWORKS = {
    "4 levels, 16 filters": {"levels": 4, "start_filters": 16},
    "5 levels, 16 filters": {"levels": 5, "start_filters": 16},
    "7 levels, 8 filters": {"levels": 7, "start_filters": 8},
}
WINDOW = 128
SURVEY = {"n_inlines": 40, "n_crosslines": 320, "n_samples": 300, "sample_interval_us": 4000, "seed": 1}


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(0.1,), repeats=3)
    table = Table("network", "independent, ms a step", "two ranks, ms a step", "ratio", "each pair")
    with call.place(room_nbytes=10 * call.sizes[0]) as place:
        environment = os.environ | {"TRACEMILL_CATALOG": str(place.scratch / "catalog"), "OMP_NUM_THREADS": "1"}
        _make_dataset(place.scratch, environment=environment)
        for name, network in NETWORKS.items():
            pairs = []
            for repeat in range(call.repeats):
                folder = place.scratch / f"{network['levels']}-{repeat}"
                pairs.append(
                    (
                        _independent(folder, network, environment=environment),
                        _together(folder, network, environment=environment),
                    )
                )
            alone, together = (1000 * statistics.median(each) for each in zip(*pairs, strict=True))
            ratios = [one / two for one, two in pairs]
            cells = f"{alone:.0f}", f"{together:.0f}", f"{statistics.median(ratios):.3f}"
            table.add_row(name, *cells, ", ".join(f"{ratio:.3f}" for ratio in ratios))
    CONSOLE.print(table)


def _independent(folder: Path, network: dict[str, int], *, environment: dict[str, str]) -> float:
    runs = [folder / f"alone-{number}" for number in range(2)]
    commands = [_fit(run, network, batch_size=SHARE, launcher=["-m", "trainer"]) for run in runs]
    processes = [subprocess.Popen(each, env=environment, stdout=subprocess.DEVNULL) for each in commands]
    assert [process.wait() for process in processes] == [0, 0]
    return statistics.mean(map(_step_s, runs))


def _together(folder: Path, network: dict[str, int], *, environment: dict[str, str]) -> float:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "trainer"]
    command = _fit(folder / "together", network, batch_size=2 * SHARE, launcher=torchrun)
    subprocess.run(command, env=environment, capture_output=True, check=True)
    return _step_s(folder / "together")


def _fit(run: Path, network: dict[str, int], *, batch_size: int, launcher: list[str]) -> list[str]:
    changes = {
        "dataset.name": "survey",
        "model": {"name": "unet", **network},
        "window": {"crossline": WINDOW, "time": WINDOW},
        "splits": {"validation": None, "test": None},
        "batch_size": batch_size,
        "steps": STEPS,
    }
    options = [part for place, value in changes.items() for part in ("--set", f"{place}={json.dumps(value)}")]
    return [sys.executable, *launcher, "fit", "trainer/recipes/salt_unet.yaml", "--out", str(run), *options]


def _step_s(run: Path) -> float:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    batch_size = yaml.safe_load((run / "config.yaml").read_text())["batch_size"]
    return statistics.median(batch_size / row["windows_per_s"] for row in rows[SETTLED:])


def _make_dataset(folder: Path, *, environment: dict[str, str]) -> None:
    recipe = folder / "survey.yaml"
    recipe.write_text(yaml.safe_dump(SURVEY))
    store = ["--name", "survey", "--out", folder / "survey.zarr", "--split", "train=inline:0%:100%"]
    label = ["--label", f"salt={folder / 'salt.segy'}", "--classes", "salt=rock,salt"]
    for arguments in (
        ["synthesize", recipe, "--out", folder],
        ["convert", folder / "amplitude.segy", *store, *label],
    ):
        command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
        subprocess.run(command, env=environment, capture_output=True, check=True)


if __name__ == "__main__":
    main()
