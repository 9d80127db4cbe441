import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from data_catalog import check_store
from trainer.checkpoint import best_checkpoint, read_state
from trainer.ranks import Ranks
from trainer.run_folder import open_run
from trainer.training.provenance import git_revision


def losses_of(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def scores_of(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "split" in line]


def test_a_run_learns_and_leaves_all_that_it_should(call, salt_stack, write_recipe, tmp_path, capsys):
    assert call("fit", write_recipe(), "--set", "steps=60", "--set", "validate_every_steps=30") == 0
    run = tmp_path / "run"
    losses = losses_of(run)
    assert list(losses) == list(range(1, 61))
    assert losses[60] < 0.8 * losses[1]
    assert [score["step"] for score in scores_of(run)] == [30, 60]
    assert scores_of(run)[-1]["mean_iou"] > 0.5
    assert list((run / "tensorboard").glob("events*"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["steps"] == 60
    said = capsys.readouterr().out
    assert "step 60/60" in said
    (start,) = (json.loads(line) for line in (run / "starts.jsonl").read_text().splitlines())
    assert start.keys() == {"step", "at", "command", "ranks", "device", "plan", "git", "python", "packages"}
    assert (start["step"], start["ranks"], len(start["plan"])) == (0, 1, 64)
    assert start["packages"]["torch"] == torch.__version__
    assert "network: 7" in said
    assert "memory of a step: " in said
    assert call("evaluate", run) == 0
    assert json.loads(capsys.readouterr().out)["mean_iou"] > 0.5


@pytest.mark.parametrize("name", ["2024", "~", "a #1", "[b]"])
def test_a_folder_is_named_as_it_is_written(name, call, salt_stack, write_recipe, monkeypatch):
    folders = []
    monkeypatch.setattr("trainer.__main__.train", lambda experiment, **_: folders.append(experiment.config.out))
    assert call("fit", write_recipe(), "--out", name) == 0
    assert folders == [Path(name)]


def test_a_resumed_run_repeats_an_undisturbed_one(call, salt_stack, write_recipe, tmp_path):
    recipe = write_recipe(steps=None, epochs=1, keep_checkpoints=99)
    assert call("fit", recipe, "--out", tmp_path / "whole") == 0
    assert call("fit", recipe, "--out", tmp_path / "cut") == 0
    whole = losses_of(tmp_path / "whole")
    checkpoints = sorted((tmp_path / "cut/checkpoints").glob("step-*"))
    cut_at = int(checkpoints[2].name.removeprefix("step-"))
    assert 0 < cut_at < len(whole)
    for path in checkpoints[3:]:
        path.rename(tmp_path / path.name)
    (tmp_path / "cut/metrics.jsonl").unlink()
    assert call("fit", recipe, "--out", tmp_path / "cut", "--resume", "auto") == 0
    resumed = losses_of(tmp_path / "cut")
    assert list(resumed) == list(range(cut_at + 1, len(whole) + 1))
    assert resumed == {step: whole[step] for step in resumed}


def test_reconstruction_trains_without_labels(call, stores, write_recipe, tmp_path):
    stores.make_line("line")
    recipe = write_recipe(
        dataset={"name": "line"}, window={"trace": 16, "time": 32}, task={"name": "reconstruction"}, steps=20
    )
    assert call("fit", recipe) == 0
    assert {"snr_db", "interpolation_snr_db"} <= scores_of(tmp_path / "run")[-1].keys()
    assert call("predict", tmp_path / "run", "--id", "restored", "--split", "whole") == 0
    assert not check_store(stores.catalog.open("line"))


def test_windows_of_three_dimensions(call, stores, write_recipe, tmp_path):
    guarded = {
        name: [{"inline": (first, first + 4)}] for first, name in ((0, "train"), (6, "validation"), (12, "test"))
    }
    window = {"inline": 2, "crossline": 16, "time": 16}
    stores.make_salt("salt", shape=(16, 48, 40), splits=guarded)
    recipe = write_recipe(window=window, steps=2, model={"name": "unet", "levels": 2, "start_filters": 2})
    assert call("fit", recipe) == 0
    assert call("predict", tmp_path / "run") == 0


@pytest.mark.slow
def test_two_ranks_take_the_steps_of_one(stores, call, salt_stack, write_recipe, tmp_path):
    recipe = write_recipe(compute={"precision": "float64"})
    assert call("fit", recipe, "--out", tmp_path / "alone") == 0
    done = stores.run("fit", recipe, "--out", tmp_path / "together", processes=2)
    assert done.returncode == 0, done.stderr
    alone, together = losses_of(tmp_path / "alone"), losses_of(tmp_path / "together")
    assert together == pytest.approx(alone, rel=1e-10)
    done = stores.run("predict", tmp_path / "together", "--id", "said", processes=2)
    assert done.returncode == 0, done.stderr
    assert "said" in stores.catalog.open("salt").derived


@pytest.mark.parametrize("first_ranks", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_an_audit_proves_what_ranks_were_fed_across_a_resume(stores, salt_stack, write_recipe, tmp_path, first_ranks):
    recipe = write_recipe(feed={"audit": True}, splits={"validation": None}, steps=30, checkpoint_every_steps=7)
    assert stores.run("fit", recipe, "--set", "steps=10", processes=first_ranks).returncode == 0
    assert stores.run("fit", recipe, "--resume", "auto", processes=1).returncode == 0
    done = stores.run("audit", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "in 30 steps of" in done.stdout
    assert "2 epochs were fed whole, each window as often as planned; 0 places were left out" in done.stdout
    path = tmp_path / "run/audit-1.jsonl"
    path.write_text(path.read_text().replace('"windows": [', '"windows": [1', 1))
    tampered = stores.run("audit", tmp_path / "run")
    assert tampered.returncode == 2
    assert "expected" in tampered.stderr


def test_the_loader_is_measured_as_it_would_be_used(stores, salt_stack, write_recipe):
    done = stores.run("bench-loader", write_recipe(), "--steps", "30", "--step-ms", "5", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["steps"], report["windows"]) == (30, 29 * 8)
    assert 0 < report["busy"] <= 1
    assert report["step_s"] == 0.005
    assert 1 <= report["amplification"] < 10
    assert report["windows_per_s"] > 0
    table = stores.run("bench-loader", write_recipe(), "--steps", "5")
    assert "accelerator busy" in table.stdout
    assert "each chunk was read" in table.stdout
    assert "give --step-ms" in table.stdout


def weights_of(run):
    (last,) = (run / "checkpoints").glob("step-*")
    return load_file(last / "model.safetensors")


def test_a_run_begins_with_the_weights_of_another_and_keeps_some(call, salt_stack, write_recipe, tmp_path, capsys):
    short = {"splits": {"validation": None}, "steps": 3}
    assert call("fit", write_recipe(**short), "--out", tmp_path / "first") == 0
    recipe = write_recipe(**short, freeze=["down", "head.weight"])
    assert call("fit", recipe, "--out", tmp_path / "second", "--init-from", tmp_path / "first") == 0
    first, second = weights_of(tmp_path / "first"), weights_of(tmp_path / "second")
    kept = {name for name in first if torch.equal(first[name], second[name])}
    assert kept == {name for name in first if name.startswith("down") or name == "head.weight"}
    assert call("fit", recipe, "--out", tmp_path / "second", "--set", "steps=5", "--resume", "auto") == 0
    other = write_recipe(**short, model={"name": "unet", "levels": 2, "start_filters": 4})
    capsys.readouterr()
    assert call("fit", other, "--out", tmp_path / "third", "--init-from", tmp_path / "second") == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"freeze": ["encoder"]}, "no weight's name begins with 'encoder'; they begin with down, up, join, head"),
        ({"freeze": ["down", "up", "join", "head"]}, "leaves no weight to learn"),
        (
            {"freeze": ["down"], "model": {"name": "unet", "levels": 2, "norm": "batch"}},
            "'down' holds batch normalisation (down.0.1), whose running mean and variance would go on moving",
        ),
        ({"init_from": "nowhere"}, "nowhere holds no checkpoint"),
    ],
)
def test_what_cannot_be_begun_with_is_refused(call, salt_stack, write_recipe, tmp_path, capsys, changes, sentence):
    assert call("fit", write_recipe(**changes)) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_average_of_the_weights_is_scored_and_speaks(call, salt_stack, write_recipe, tmp_path, capsys):
    optimiser = {"learning_rate": 0.01, "warmup_samples": 16, "average_decay": 0.9}
    recipe = write_recipe(steps=40, optimiser=optimiser, keep_checkpoints=99)
    assert call("fit", recipe, "--out", tmp_path / "whole") == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    for path in (tmp_path / "run/checkpoints").glob("step-000000[234]*"):
        shutil.rmtree(path)
    assert call("fit", recipe, "--resume", "auto") == 0
    best = read_state(best_checkpoint(tmp_path / "run/checkpoints"))
    capsys.readouterr()
    assert call("evaluate", tmp_path / "run", "--split", "validation") == 0
    assert json.loads(capsys.readouterr().out)["mean_iou"] == pytest.approx(best.best_score)
    for part in ("model", "average"):
        cut, whole = (
            load_file(tmp_path / name / f"checkpoints/step-00000040/{part}.safetensors") for name in ("run", "whole")
        )
        assert all(torch.equal(cut[name], whole[name]) for name in whole)


def test_each_fold_is_left_out_once(call, stores, write_recipe, tmp_path, capsys):
    folds = {"west": [{"inline": (0, 4)}], "middle": [{"inline": (6, 10)}], "east": [{"inline": (12, 16)}]}
    entry = stores.make_salt("salt", shape=(16, 48, 40), splits=folds)
    recipe = write_recipe(splits={"folds": list(folds)}, steps=2)
    assert call("fit", recipe, "--fold", "2") == 0
    splits = yaml.safe_load((tmp_path / "run/fold-2/config.yaml").read_text())["splits"]
    assert (splits["train"], splits["validation"], splits["test"]) == ("west+east", "middle", "middle")
    experiment = open_run(tmp_path / "run/fold-2", catalog=stores.catalog)
    batches = experiment.training_batches(experiment.readers(), ranks=Ranks())
    (source,) = batches.sources.each
    firsts, _ = source.plan.ranges(np.arange(len(source.plan)))
    assert set(firsts[:, 0].tolist()) == {0, 1, 2, 3, 12, 13, 14, 15}
    assert call("predict", tmp_path / "run/fold-2", "--split", "west+east", "--id", "both") == 0
    assert stores.catalog.open(entry.name).derived["both"].boxes == (*folds["west"], *folds["east"])
    assert call("fit", recipe, "--fold", "1") == 0
    runs = [tmp_path / "run/fold-1", tmp_path / "run/fold-2"]
    capsys.readouterr()
    assert call("compare", *runs) == 0
    *_, average = capsys.readouterr().out.splitlines()
    scores = [scores_of(run)[-1]["mean_iou"] for run in runs]
    assert f"{np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}" in average
    assert call("compare", tmp_path) == 2
    assert call("fit", recipe, "--fold", "4") == 2
    assert "config.splits.folds names west, middle, east: fold 4 needs to be one of them" in capsys.readouterr().err


def test_a_run_that_gets_no_better_ends_early(call, salt_stack, write_recipe, tmp_path, capsys):
    optimiser = {"learning_rate": 1e-12, "warmup_samples": 0}
    recipe = write_recipe(optimiser=optimiser, steps=1000, validate_every_steps=2, patience=3)
    assert call("fit", recipe) == 0
    assert "ended at step 8 of 1000: 3 validations in a row were not better than the best" in capsys.readouterr().out
    assert [score["step"] for score in scores_of(tmp_path / "run")] == [2, 4, 6, 8]
    assert losses_of(tmp_path / "run").keys() == set(range(1, 9))


def test_the_revision_of_sources_is_told(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=someone", "-c", "user.email=some@one"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    sources, other = tmp_path / "sources", tmp_path / "other"
    for folder in (sources, other):
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    git("add", "sources")
    git("commit", "-m", "first")
    revision = git_revision(sources)
    assert re.fullmatch("[0-9a-f]{40}", revision)
    (sources / "__init__.py").write_text("1")
    assert git_revision(sources) == f"{revision}, changed"
    assert git_revision(other) is None
