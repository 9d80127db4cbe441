"""``torchrun --nproc-per-node G -m trainer fit CONFIG.yaml``; also evaluate, predict, export, report, tune, ..."""

import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data_catalog import Catalog, InputError, WorkError, command_line
from data_catalog.command_line import CatalogOption
from trainer.bench_loader import bench_loader as measure
from trainer.bench_loader import print_report
from trainer.config import Precision
from trainer.config_file import read_config
from trainer.experiment import Experiment, prepare
from trainer.feed.audit import audit as judge
from trainer.json_lines import or_none
from trainer.plan.grouping import GroupShape
from trainer.prediction.network_export import export_network
from trainer.prediction.predict import WHOLE, Prediction
from trainer.prediction.predict import predict as write
from trainer.ranks import OneRankError, Ranks, is_first_process, ranks_from_environment, ranks_of_environment
from trainer.report.compare import compared
from trainer.report.page import write_report
from trainer.run_folder import open_run
from trainer.training.evaluate import evaluate as score
from trainer.training.loop import fit as train
from trainer.training.tune import tune as fastest
from trainer.training.tune import write_way

app = typer.Typer(
    help="Prepared datasets in, trained networks and predictions out.", no_args_is_help=True, rich_markup_mode=None
)


class Resume(StrEnum):
    """How a run goes on."""

    AUTO = "auto"


RunArgument = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder that `fit` has written.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="Split of the dataset [the configuration's test].")]


@app.command()
def fit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml")],
    changes: Annotated[list[str] | None, typer.Option("--set", help="a.b=c: changes one value.")] = None,
    catalog: CatalogOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run [the configuration's].")] = None,
    resume: Annotated[
        Resume | None, typer.Option(help="auto: go on from the run's last checkpoint, if there is one.")
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(metavar="RUN_DIR", help="A run whose network this one begins with.")
    ] = None,
    fold: Annotated[
        int | None, typer.Option(help="Of splits.folds, from 1: is scored, the others are learned.")
    ] = None,
    profile: Annotated[int, typer.Option(min=0, help="Steps to trace with PyTorch's profiler.")] = 0,
) -> None:
    """Trains a network on a prepared dataset."""
    settings = read_config(config, changes=changes or (), out=out, init_from=init_from, fold=fold)
    experiment = prepare(settings, catalog=Catalog(catalog))
    ranks = ranks_from_environment()
    train(experiment, ranks=ranks, resume=resume is not None, profile_steps=profile)
    if ranks.is_first:
        out, where = experiment.config.out, "" if catalog is None else f" --catalog {catalog}"
        where += _of_dataset(experiment)
        print(f"run in {out}, see report.html there; next: python -m trainer predict {out}{where}")


def _of_dataset(experiment: Experiment) -> str:
    """The option that names the dataset to predict, where the main one has no test split and another one has."""
    test = experiment.config.splits.test
    owners = [source.dataset for source in experiment.data if test and source.dataset.own_part(test)]
    if not owners or owners[0] is experiment.main.dataset:
        return ""
    return f" --dataset {owners[0].entry.name}"


@app.command()
def evaluate(run: RunArgument, split: SplitOption = None, catalog: CatalogOption = None) -> None:
    """Scores a trained network on a split; prints the metrics as JSON."""
    ranks = ranks_from_environment()
    metrics = score(open_run(run, catalog=Catalog(catalog)), split=split, ranks=ranks)
    if ranks.is_first:
        print(json.dumps({name: or_none(value) for name, value in metrics.items()}, indent=2))


@app.command()
def report(run: RunArgument) -> None:
    """Writes report.html into a run's folder, as the end of a run does: for one that is at work, or was killed."""
    print(write_report(run))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Folders that `fit` has written.")],
) -> None:
    """Shows the best validation scores of some runs, such as the folds of a cross-validation, and their average."""
    command_line.console().print(compared(runs))


@app.command("bench-loader")
def bench_loader(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml")],
    changes: Annotated[list[str] | None, typer.Option("--set", help="a.b=c: changes one value.")] = None,
    steps: Annotated[int, typer.Option(min=2, help="Batches to feed.")] = 200,
    step_ms: Annotated[float, typer.Option(min=0, help="What a network would take for a batch, milliseconds.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Says how fast examples come, and whether a network of a given speed would wait for them."""
    out = Path(tempfile.gettempdir())  # nothing is written
    experiment = prepare(read_config(config, changes=changes or (), out=out), catalog=Catalog(catalog))
    ranks = ranks_from_environment()
    report = measure(experiment, ranks=ranks, steps=steps, step_s=step_ms / 1000)
    if as_json:
        print(json.dumps({"rank": ranks.rank, **asdict(report)}))
    else:
        print_report(report, rank=ranks.rank, console=command_line.console())


@app.command()
def tune(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Is changed: the best is written into it.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="a.b=c: changes one value, for the trials.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or processes, that will share a batch.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed of each way.")] = 10,
    catalog: CatalogOption = None,
) -> None:
    """Tries ways of computing (precision, layout, compiler, memory) on this machine; writes the best into CONFIG."""
    settings = read_config(config, changes=changes or (), out=Path(tempfile.gettempdir()))
    if not os.access(config, os.W_OK):
        raise InputError(f"{config} cannot be written, and the best way of computing is to go there: copy it first.")
    best = fastest(settings, catalog=catalog, devices=devices, steps=steps, console=command_line.console())
    write_way(config, way=best)
    print(f"{config}: compute and feed.threads are those of the way marked above")


@app.command()
def audit(run: RunArgument, catalog: CatalogOption = None) -> None:
    """Judges what a run with `feed.audit` was fed: every slot at every step, every window in every epoch."""
    experiment = open_run(run, catalog=Catalog(catalog))
    assert experiment.state, "a run is opened at a checkpoint"
    shape = GroupShape.model_validate(experiment.state.grouping)
    batches = experiment.training_batches(experiment.readers(), ranks=Ranks(), shape=shape)
    found = judge(run, order=batches.order, steps=experiment.state.step)
    since = f" from step {found.first_step} on" if found.first_step else ""
    print(
        f"{found.windows} windows in {found.steps} steps of {found.ranks} ranks{since} are those of the order; "
        f"{found.epochs} epochs were fed whole, each window as often as planned; {found.left_out} places were left out "
        "or replaced for a fault"
    )


@app.command()
def predict(
    run: RunArgument,
    split: Annotated[str | None, typer.Option(help="A split, or `whole` [the configuration's test].")] = None,
    derived_id: Annotated[str | None, typer.Option("--id", help="Name of the group to write [the run's].")] = None,
    dataset: Annotated[str | None, typer.Option(help="Another dataset than the run was trained on.")] = None,
    halo: Annotated[
        int | None, typer.Option(min=0, help="Samples of context [the receptive field where it fits, else 128].")
    ] = None,
    precision: Annotated[Precision | None, typer.Option(help="How the network is run [the run's].")] = None,
    catalog: CatalogOption = None,
) -> None:
    """Writes what a trained network says into a derived group of the dataset."""
    experiment = open_run(run, catalog=Catalog(catalog), dataset=dataset, alone=True)
    prediction = Prediction(
        experiment=experiment,
        derived_id=derived_id or run.resolve().name,
        split=split or experiment.config.splits.test or WHOLE,
        halo=halo,
        precision=precision or experiment.config.compute.precision,
        provenance={
            "run": str(run.resolve()),
            "checkpoint_step": experiment.state.step if experiment.state else None,
            "config": experiment.config.model_dump(mode="json"),
        },
    )
    ranks = ranks_from_environment()
    write(prediction, ranks=ranks)
    if ranks.is_first:
        entry = experiment.main.dataset.entry
        print(f"wrote derived group {prediction.derived_id!r} of dataset {entry.name!r}: {entry.url}")


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="NAME.pt2 for PyTorch, NAME.onnx for ONNX.")],
    catalog: CatalogOption = None,
) -> None:
    """Writes a trained network as a file for other programs, compared with the network itself."""
    written = export_network(open_run(run, catalog=Catalog(catalog), alone=True), path=out)
    sizes = "of any size" if written.is_dynamic else "of the configured size"
    print(f"wrote {out}: windows {sizes}, as the network computes it within {written.difference:.1g}")


def main() -> None:
    """Runs the command; of several ranks that meet the same wrong input, the first one says so."""
    is_first = is_first_process()
    logging.basicConfig(level=logging.WARNING if is_first else logging.ERROR, format="%(levelname)s: %(message)s")
    if is_first:
        command_line.run(app, name="python -m trainer")
    else:
        _run_quietly()


def _run_quietly() -> None:
    try:
        app(prog_name="python -m trainer")
    except InputError as error:
        if isinstance(error, OneRankError):
            print(f"error: {error}", file=sys.stderr)
        time.sleep(2)  # torchrun ends all ranks when one exits: leave the first one time for its sentence
        if not isinstance(error, OneRankError):  # still here: the first one has not met the same
            print(f"error: rank {ranks_of_environment().rank}: {error}", file=sys.stderr)
        sys.exit(command_line.STATUS_WRONG_INPUT)
    except WorkError:
        sys.exit(command_line.STATUS_FAILED)


if __name__ == "__main__":
    main()
