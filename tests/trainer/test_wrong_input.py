"""Whatever is wrong: exit status 2, a sentence that says what was found, and no traceback."""

import json
import sys

import numpy as np
import pytest

CASES = {
    "misspelt key": ({"batch_sise": 4}, "config.batch_sise: Extra inputs are not permitted"),
    "missing section": ({"window": None}, "config.window: Input should be a valid dictionary"),
    "two lengths": ({"steps": 3, "epochs": 3}, "give either steps or epochs"),
    "unknown dataset": ({"dataset": {"name": "sallt"}}, "no dataset named 'sallt' in the catalog"),
    "unknown variable": ({"dataset": {"name": "salt", "variable": "phase"}}, "variable 'phase' of dataset 'salt'"),
    "variable that is no input": (
        {"dataset": {"name": "salt", "variable": "salt"}},
        "has role class_label, a network reads role input: amplitude",
    ),
    "no label": ({"dataset": {"name": "salt"}}, "segmentation learns from a class_label; name one"),
    "label elsewhere": ({"dataset": {"name": "salt", "label": "live"}}, "a label must lie on the same samples"),
    "unknown split": ({"splits": {"train": "learn"}}, "split 'learn' is not among the splits of dataset 'salt'"),
    "unknown dimension": ({"window": {"crossline": 16, "depth": 16}}, "config.window: depth is no dimension of"),
    "one dimension": ({"window": {"time": 16}}, "names 1 dimensions, networks here have 2 or 3"),
    "window too large": ({"window": {"crossline": 64, "time": 16}}, "no window fits split 'train'"),
    "window not a multiple": ({"window": {"crossline": 18, "time": 16}}, "must be a multiple of 4, e.g. 16"),
    "no guard": ({"window": {"inline": 4, "crossline": 16, "time": 16}}, "are only inline 1, crossline 0, time 0"),
    "unknown model": ({"model": {"name": "unett"}}, "config.model.name: 'unett' is none of unet"),
    "misspelt model setting": ({"model": {"name": "unet", "levles": 3}}, "config.model.levles: Extra inputs"),
    "wrong model setting": ({"model": {"name": "unet", "levels": "many"}}, "config.model.levels: Input should be"),
    "no such class": ({"task": {"name": "nowhere:Task"}}, "config.task.name: 'nowhere:Task' cannot be imported"),
    "no module": ({"task": {"name": ":X"}}, "config.task.name: ':X' is none of reconstruction, segmentation, nor"),
    "no class": ({"model": {"name": "a:"}}, "config.model.name: 'a:' is none of unet, nor does it read"),
    "relative module": ({"model": {"name": ".a:X"}}, "config.model.name: '.a:X' is none of unet, nor does it read"),
    "shifts along what is not time": (
        {"window": {"inline": 1, "crossline": 16}, "augment": {"time_shift": 2}},
        "config.augment: time_shift and drop_traces need windows along time",
    ),
    "flips outside the window": ({"augment": {"flip": ["inline"]}}, "augment.flip names inline, window only crossline"),
    "batch larger than the split": ({"batch_size": 100_000}, "config.batch_size is 100000, and split 'train' holds"),
    "model without arguments": ({"model": {"name": "foreign_nets:NoArguments"}}, "does not take dims, in_channels"),
    "model that shrinks": ({"model": {"name": "foreign_nets:Shrinks"}}, "makes [1, 2, 14, 14] of [1, 1, 16, 16]"),
    "model that fails": ({"model": {"name": "foreign_nets:Fails"}}, "'foreign_nets:Fails' fails on an input of"),
    "small budget": ({"feed": {"resident_nbytes": 1000}}, "the chunks that 8 windows of a batch need at once can take"),
}


FOREIGN_NETS = """
from torch import nn


class NoArguments(nn.Module):
    def __init__(self, hidden=8):
        super().__init__()


class Shrinks(nn.Conv2d):
    def __init__(self, *, dims, in_channels, out_channels):
        super().__init__(in_channels, out_channels, 3)


class Fails(nn.Conv2d):
    def __init__(self, *, dims, in_channels, out_channels):
        super().__init__(in_channels + 5, out_channels, 3)


class TwoLayers(nn.Sequential):
    def __init__(self, *, dims, in_channels, out_channels, hidden: int = 8):
        super().__init__(
            nn.Conv2d(in_channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, out_channels, 3, padding=1)
        )
"""


@pytest.fixture(autouse=True)
def foreign_nets(tmp_path_factory, monkeypatch):
    """A module of a user's, outside the project."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "foreign_nets.py").write_text(FOREIGN_NETS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "foreign_nets", raising=False)


def test_a_network_of_the_user_s_own_trains_and_predicts(call, salt_stack, write_recipe, tmp_path):
    recipe = write_recipe(model={"name": "foreign_nets:TwoLayers", "hidden": 4}, steps=2)
    assert call("fit", recipe) == 0
    assert call("predict", tmp_path / "run", "--id", "own", "--split", "whole") == 0


def test_a_loss_that_is_no_number_ends_the_run(call, salt_stack, write_recipe, capsys):
    optimiser = {"learning_rate": 1e30, "warmup_samples": 0, "clip_norm": None}
    assert call("fit", write_recipe(optimiser=optimiser, steps=60, splits={"validation": None})) == 1
    said = capsys.readouterr().err
    assert "had no finite gradient either: lower config.optimiser.learning_rate" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("case", CASES)
def test_fit_refuses(case, call, salt_stack, write_recipe, capsys):
    changes, sentence = CASES[case]
    assert call("fit", write_recipe(**changes)) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith("error: ")
    assert "Traceback" not in said


def test_every_problem_of_a_configuration_is_listed(call, write_recipe, capsys):
    recipe = write_recipe(batch_size=0, optimiser={"learning_rate": -1, "momentum": 1}, window={"time": "wide"})
    assert call("fit", recipe) == 2
    said = capsys.readouterr().err
    for place in ("config.batch_size", "config.optimiser.learning_rate", "config.optimiser.momentum"):
        assert place in said
    assert "(4 found)" in said


@pytest.mark.parametrize("change", ["steps", "=3", "a..b=1", "steps=[1"])
def test_changes_that_make_no_sense(change, call, write_recipe, capsys):
    assert call("fit", write_recipe(), "--set", change) == 2
    assert f"--set {change!r}" in capsys.readouterr().err


def test_files_that_are_no_configuration(call, tmp_path, capsys):
    (tmp_path / "list.yaml").write_text("- 1\n- 2")
    (tmp_path / "broken.yaml").write_text("a: [")
    for name, sentence in {"none": "cannot be read", "list": "holds list", "broken": "is not YAML"}.items():
        assert call("fit", tmp_path / f"{name}.yaml") == 2
        assert sentence in capsys.readouterr().err


def test_runs_that_cannot_go_on(call, salt_stack, write_recipe, tmp_path, capsys):
    assert call("fit", write_recipe(steps=2)) == 0
    capsys.readouterr()
    assert call("fit", write_recipe(steps=4)) == 2
    assert "holds a run already: go on with --resume" in capsys.readouterr().err
    assert call("fit", write_recipe(steps=4, seed=1), "--resume", "auto") == 2
    assert "saw other windows in another order" in capsys.readouterr().err
    assert call("predict", tmp_path) == 2
    assert "holds no checkpoint: give the folder that `fit` wrote" in capsys.readouterr().err
    assert call("predict", tmp_path / "run", "--split", "tset") == 2
    assert "split 'tset' is not among the splits" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["dataset.name", "dataset.variable", "dataset.label", "task", "model"])
def test_a_run_goes_on_with_what_it_began_with(place, call, salt_stack, write_recipe, tmp_path, capsys):
    assert call("fit", write_recipe(steps=1)) == 0
    state = next((tmp_path / "run/checkpoints").glob("step-*/state.json"))
    document = json.loads(state.read_text())
    document["state"]["origin"][place] = "another"
    state.write_text(json.dumps(document))
    capsys.readouterr()
    assert call("fit", write_recipe(steps=2), "--resume", "auto") == 2
    assert f"is of another run: changed config.{place} 'another' to " in capsys.readouterr().err


def test_a_run_does_not_go_on_elsewhere(call, stores, salt_stack, write_recipe, capsys):
    assert call("fit", write_recipe(steps=1)) == 0
    stores.make_salt("twin")
    capsys.readouterr()
    assert (
        call(
            "fit", write_recipe(steps=2), "--resume", "auto", "--set", "dataset.name=twin", "--set", "model.norm=group"
        )
        == 2
    )
    said = capsys.readouterr().err
    assert "changed config.dataset.name 'salt' to 'twin', config.model {" in said


@pytest.mark.parametrize(("out", "why"), [("/dev/null/x", "Not a directory"), ("/dev/null", "File exists")])
def test_folders_that_cannot_be_made(out, why, call, salt_stack, write_recipe, capsys):
    assert call("fit", write_recipe(), "--out", out) == 2
    assert f"error: the run's folder {out} cannot be written ({why}): choose another --out." in capsys.readouterr().err


@pytest.mark.slow
def test_what_one_rank_meets_on_the_way_ends_all(stores, salt_stack, write_recipe):
    (stores.folder / "salt.zarr/amplitude/c/0/1/0").write_bytes(b"torn")
    done = stores.run("fit", write_recipe(batch_size=2, steps=100), processes=2)
    assert done.returncode == 1, "torchrun's own status"
    assert "salt.zarr/amplitude cannot be read" in done.stderr
    assert "trainer/training/loop.py" not in done.stderr, "no traceback of ours"


def test_a_refusal_on_two_ranks_is_said_once(stores, salt_stack, write_recipe):
    done = stores.run("fit", write_recipe(batch_size=1), processes=2)
    assert done.returncode == 1, "torchrun's own status"
    assert done.stderr.count("error: config.batch_size is 1 windows over all ranks, too few for 2 processes") == 1
    assert "exitcode  : 2" in done.stderr


def test_a_split_without_any_class_is_refused(call, stores, write_recipe, capsys):
    stores.make_salt("salt", salt=np.full((12, 48, 40), 255))
    assert call("fit", write_recipe()) == 2
    assert "has no sample of rock, salt in split 'train': all of it is to be ignored" in capsys.readouterr().err
