"""Memory of labelling against that of the conversion: a label volume, horizons, fault sticks, each on all of a dataset.

The dataset is computed as it is read (`rehearsal://`). Its labels are files on disk: SEG-Y of class numbers that is as
large as the dataset's source, text with a point for each trace of a horizon, and sticks across all of it. What is
looked at is the summed PSS of the command and all that it starts, five times a second. On threads of the command the
rule is what a conversion plans with: of a worker with as many threads it needs that much, or makes smaller shards. On
worker processes it is the 3 GB that all processes of a conversion may take together.
"""

import sys
from pathlib import Path

import numpy as np
from call import CONSOLE, GB, MIB, parse_call
from conversion import NAME, Target
from footprint import watch, with_children
from numpy.typing import NDArray
from rich.table import Table
from surveys import survey_of, url_of, write_survey

from data_catalog import Catalog
from pipeline.plan.chunking import ChunkPlan
from pipeline.plan.costs import WORKER_NBYTES, task_nbytes
from pipeline.synthetic.rehearsal import RehearsalSurvey
from pipeline.work.cluster import PROCESSES, THREADS

WORKERS = 2
MOST_NBYTES = 3 * GB
"""Of two workers, scheduler and client together."""

ZONES = "overburden,reservoir,basement"
TOPS, DIP = (0.3, 0.6), 0.1
"""Of the horizons on the first inline, and how far they come down until the last one, as shares of the sample axis."""

FAULTS, STICKS, NODES = 4, 40, 50
"""Faults, sticks of each, and nodes of each stick."""


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(1.0, 4.0))
    table = Table(
        *("what", "source, GB", "on", "all, MiB", "the rule, MiB", "times the rule", "s"),
        title=f"greatest PSS, {WORKERS} threads or worker processes, default chunks and shards",
    )
    with call.place(room_nbytes=2 * max(call.sizes)) as place:
        for size in call.sizes:
            survey, target = survey_of(size), Target(place.scratch / "target")
            labels = _labels(survey, place.sources)
            for where in (PROCESSES, THREADS):
                target.clear()
                commands = {"convert": target.command(url_of(survey), *_on(where))}
                commands |= {
                    what: _label_command(target, what, *options, *_on(where)) for what, options in labels.items()
                }
                for what, command in commands.items():
                    found = watch(command, lambda own: {"all": with_children(own)})
                    rule = MOST_NBYTES if where == PROCESSES else _rule_nbytes(target, survey)
                    numbers = (f"{found.total_mib:.0f}", f"{rule / MIB:.0f}", f"{found.peak_total / rule:.2f}")
                    table.add_row(what, f"{size / GB:g}", where, *numbers, f"{found.seconds:.1f}")
                table.add_section()
    CONSOLE.print(table)


def _on(where: str) -> tuple[str, ...]:
    return "--scheduler", where, "--workers", str(WORKERS)


def _rule_nbytes(target: Target, survey: RehearsalSurvey) -> int:
    """What a conversion of the dataset asks of a process with as many threads."""
    entry = Catalog(str(target.catalog)).read(NAME)
    main = entry.variables[entry.main_variable]
    chunks = ChunkPlan(main.shape, main.chunk_shape, main.shard_shape)
    return WORKER_NBYTES + WORKERS * task_nbytes(chunks, trace_nbytes=survey.trace_nbytes)


def _label_command(target: Target, what: str, *options: str) -> list[str]:
    place = ["--as", what, "--id", what, "--catalog", str(target.catalog)]
    return [sys.executable, "-m", "pipeline", "label", NAME, *options, *place]


def _labels(survey: RehearsalSurvey, folder: Path) -> dict[str, tuple[str, ...]]:
    """Files of labels, and options, of each kind."""
    volume = write_survey(survey, folder, samples=_classes, what="-classes")
    horizons, faults = _write_horizons(survey, folder), _write_faults(survey, folder)
    return {
        "volume": (str(volume), "--classes", ZONES),
        "horizons": (*map(str, horizons), "--zones", ZONES),
        "faults": tuple(map(str, faults)),
    }


def _tops(survey: RehearsalSurvey, inlines: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 (horizon, trace): samples, with fractions."""
    return (np.array(TOPS)[:, None] + DIP * inlines / survey.inlines) * (survey.samples - 1)


def _classes(survey: RehearsalSurvey, trace_numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    inlines, _ = survey.cells(trace_numbers)
    is_below = np.arange(survey.samples) >= _tops(survey, inlines)[..., None]
    return is_below.sum(axis=0).astype(np.float32)


def _write_horizons(survey: RehearsalSurvey, folder: Path) -> list[Path]:
    """Inline, crossline, time: a point for each trace, and of the lower horizon on every other inline."""
    inlines, crosslines = survey.cells(np.arange(survey.trace_count))
    lines = np.stack([inlines + survey.first_inline, crosslines + survey.first_crossline], axis=-1)
    paths = []
    for name, step, top in zip(("top", "base"), (1, 2), _tops(survey, inlines), strict=True):
        paths.append(folder / f"{name}-{survey.trace_count}.dat")
        points = np.column_stack([lines, top * survey.interval_us / 1000])
        np.savetxt(paths[-1], points[inlines % step == 0], fmt="%d %d %.3f")
    return paths


def _write_faults(survey: RehearsalSurvey, folder: Path) -> list[Path]:
    """Faults along inlines, whose sticks lean: inline, crossline, time, number of the stick."""
    depth = np.linspace(0.05, 0.95, NODES)
    paths = []
    for fault in range(FAULTS):
        rows = []
        for stick, along in enumerate(np.linspace(0.02, 0.98, STICKS)):
            across = (fault + 0.2 + 0.5 * depth) / FAULTS
            inline = np.full(NODES, survey.first_inline + along * (survey.inlines - 1))
            crossline = survey.first_crossline + across * (survey.crosslines - 1)
            time = depth * (survey.samples - 1) * survey.interval_us / 1000
            rows.append(np.column_stack([inline, crossline, time, np.full(NODES, stick)]))
        paths.append(folder / f"fault{fault}-{survey.trace_count}.dat")
        np.savetxt(paths[-1], np.concatenate(rows), fmt="%.2f %.2f %.3f %d")
    return paths


if __name__ == "__main__":
    main()
