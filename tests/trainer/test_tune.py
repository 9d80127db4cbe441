"""Ways of computing are tried by real processes; the best is written into the configuration, all else stays."""

import os
import shutil

import pytest
import yaml

from data_catalog import WorkError
from trainer.config import ComputeConfig
from trainer.config_file import read_config
from trainer.experiment import prepare
from trainer.ranks import Ranks
from trainer.training import tune
from trainer.training.tune import Trial, Way, choose, savings_of_memory, ways

DIES_IN_SIXTEEN_BITS = """
import os, signal
import torch
from torch import nn

class Dies(nn.Sequential):
    def __init__(self, *, dims, in_channels, out_channels):
        super().__init__(nn.Conv2d(in_channels, 3, 3, padding=1), nn.Conv2d(3, out_channels, 3, padding=1))

    def forward(self, samples):
        if torch.is_autocast_enabled("cpu") and len(samples) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(samples) > 1 and not self[1].weight.is_contiguous(memory_format=torch.channels_last):
            raise RuntimeError("this layout is not for me")
        return super().forward(samples)
"""


@pytest.fixture(autouse=True)
def without_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)


def trial(windows_per_s, **changes):
    return Trial(
        Way(ComputeConfig(**changes), threads=1), windows_per_s, failure="" if windows_per_s else "does not fit"
    )


def test_the_best_way_is_written_and_all_else_stays(
    call, stores, salt_stack, write_recipe, tmp_path, monkeypatch, capsys
):
    (tmp_path / "deadly_nets.py").write_text(DIES_IN_SIXTEEN_BITS)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = write_recipe(model={"name": "deadly_nets:Dies"}, compute={"tf32": False, "channels_last": False})
    before = yaml.safe_load(recipe.read_text())
    recipe.write_text("# mine\n" + recipe.read_text().replace("steps: 6", "steps: 6  # for a start"))
    assert call("tune", recipe, "--steps", "4", "--set", "batch_size=4") == 0
    said = capsys.readouterr().out
    assert said.count("was killed, of too little memory as it seems") == 2
    assert said.count("float32, 2 reader threads: this layout is not for me") == 1
    text = recipe.read_text()
    assert text.startswith("# mine\n")
    assert "steps: 6  # for a start" in text
    after = yaml.safe_load(text)
    assert after["compute"] == {"tf32": False, "channels_last": True}
    assert after["feed"]["threads"] >= 1
    assert after | {"compute": 0, "feed": 0} == before | {"compute": 0, "feed": 0}
    assert call("fit", recipe) == 0


def test_a_simpler_way_stays_unless_another_is_worth_it():
    assert choose([trial(100), trial(102)]).windows_per_s == 100
    assert choose([trial(100), trial(110), trial(112)]).windows_per_s == 110
    assert choose([trial(0), trial(1)]).windows_per_s == 1
    with pytest.raises(WorkError, match="no way of computing works: does not fit"):
        choose([trial(0), trial(0)])


def test_precisions_for_comparison_stay(stores, salt_stack, write_recipe):
    recipe = write_recipe(compute={"precision": "float64"})
    experiment = prepare(read_config(recipe), catalog=stores.catalog)
    assert {way.compute.precision for way in ways(experiment, ranks=Ranks())} == {"float64"}


def test_memory_is_saved_where_it_is_short(stores, salt_stack, write_recipe, monkeypatch):
    experiment = prepare(read_config(write_recipe()), catalog=stores.catalog)

    def found(nbytes):
        monkeypatch.setattr(tune, "memory_nbytes", lambda ranks: nbytes)
        return savings_of_memory(experiment, precision="float32", ranks=Ranks())

    assert found(10**9) == [{"micro_batch": None, "recompute_levels": 0}]
    smaller, again = found(800_000)
    assert (smaller["recompute_levels"], again["micro_batch"]) == (0, None)
    assert 1 <= smaller["micro_batch"] < 8
    assert 1 <= again["recompute_levels"] <= 3
    assert found(1000) == [{"micro_batch": 1, "recompute_levels": 3}]


def test_what_cannot_be_written_is_said_first(call, salt_stack, write_recipe, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    assert call("tune", write_recipe()) == 2
    assert "cannot be written, and the best way of computing is to go there: copy it first" in capsys.readouterr().err
