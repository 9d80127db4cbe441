"""Networks as files for other programs: they compute the same, on windows of any number and size."""

import json
import sys
from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from trainer.prediction import network_export
from trainer.prediction.network_export import METADATA
from trainer.run_folder import open_run

OWN = """
import torch
from torch import nn

class Pointwise(nn.Module):
    def __init__(self, *, dims, in_channels, out_channels):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, samples):
        return self.layer(samples)

class OneSize(Pointwise):
    def forward(self, samples):
        if samples.shape[2] % 5 == 1:
            samples = samples + 1
        return self.layer(samples)
"""


@pytest.fixture
def run(call, salt_stack, write_recipe, tmp_path):
    def fit(**changes):
        assert call("fit", write_recipe(steps=2, **changes)) == 0
        return tmp_path / "run"

    return fit


def model_of(run, stores):
    return open_run(run, catalog=stores.catalog).model.float().eval()


def ran_by_pytorch(path, samples):
    return torch.export.load(path).module()(samples).detach().numpy()


def ran_by_onnx(path, samples):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": samples.numpy()})[0]


@pytest.mark.parametrize(("name", "ran"), [("net.pt2", ran_by_pytorch), ("net.onnx", ran_by_onnx)])
def test_a_network_computes_the_same_elsewhere(call, stores, run, tmp_path, capfd, name, ran):
    folder, path = run(), tmp_path / name
    capfd.readouterr()
    assert call("export", folder, "--out", path) == 0
    said = capfd.readouterr()
    assert f"wrote {path}: windows of any size, as the network computes it within" in said.out
    assert len(said.out.splitlines()) == 1
    assert not said.err, "exporters say much"
    for shape in [(1, 1, 8, 12), (5, 1, 60, 44)]:
        samples = torch.randn(shape)
        expected = model_of(folder, stores)(samples).detach().numpy()
        np.testing.assert_allclose(ran(path, samples), expected, atol=network_export.TOLERANCE * np.abs(expected).max())
    assert list(tmp_path.glob(".net*")) == []


def test_a_file_says_how_it_is_used(call, run, stores, tmp_path):
    folder = run()
    for name in ("net.pt2", "net.onnx"):
        assert call("export", folder, "--out", tmp_path / name) == 0
    found = {METADATA: ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=found)
    about = json.loads(found[METADATA])
    normalisation = open_run(folder, catalog=stores.catalog).main.normalisation
    assert about["normalisation"] == {"salt": asdict(normalisation)}
    assert about["input"] == ["window", "channel", "crossline", "time"]
    assert about["window"] == {"crossline": 16, "time": 16}
    assert (about["size_multiple"], about["receptive_field"], about["checkpoint_step"]) == (4, 23, 2)
    assert about["label"] == {"flag_values": [0, 1], "flag_meanings": ["rock", "salt"], "ignore_value": 255}
    properties = {each.key: each.value for each in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert json.loads(properties[METADATA]) == about


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "unet", "levels": 2, "norm": "group"}},
        {"model": {"name": "unet", "levels": 2, "norm": "batch"}},
        {"compute": {"precision": "bfloat16", "recompute_levels": 1}},
        {"compute": {"precision": "float64"}},
        {"window": {"inline": 2, "crossline": 16, "time": 16}, "model": {"name": "unet", "levels": 2}},
        {"task": {"name": "reconstruction"}, "dataset": {"name": "salt"}},
        {"model": {"name": "unet", "levels": 2, "zero_head": True}, "optimiser": {"learning_rate": 1e-30}},
    ],
    ids=lambda changes: json.dumps(changes)[:40],
)
def test_whatever_can_be_trained_can_be_exported(call, run, stores, tmp_path, changes):
    if "inline" in changes.get("window", {}):
        guarded = {"train": [{"inline": (0, 4)}], "validation": [{"inline": (6, 8)}], "test": [{"inline": (10, 12)}]}
        stores.make_salt("thick", splits=guarded)
        changes = changes | {"dataset": {"name": "thick", "label": "salt"}}
    assert call("export", run(**changes), "--out", tmp_path / "net.pt2") == 0


@pytest.mark.parametrize(("name", "sizes"), [("Pointwise", "of any size"), ("OneSize", "of the configured size")])
def test_networks_of_ones_own(call, run, tmp_path, monkeypatch, capsys, name, sizes):
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    assert call("export", run(model={"name": f"own_nets:{name}"}), "--out", tmp_path / "net.pt2") == 0
    assert f"net.pt2: windows {sizes}" in capsys.readouterr().out


def test_what_computes_something_else_is_not_left(call, run, tmp_path, monkeypatch, capsys):
    folder = run()
    (tmp_path / "net.pt2").write_text("of before")
    monkeypatch.setattr(network_export, "TOLERANCE", -1.0)
    assert call("export", folder, "--out", tmp_path / "net.pt2") == 1
    assert "was not written: it computes something else than the network" in capsys.readouterr().err
    assert (tmp_path / "net.pt2").read_text() == "of before"
    assert list(tmp_path.glob(".net*")) == []


def test_what_cannot_be_written_is_refused(call, run, tmp_path, monkeypatch, capsys):
    folder = run()
    assert call("export", folder, "--out", tmp_path / "net.pth") == 2
    assert "expected a name that ends with .pt2 (PyTorch) or .onnx (ONNX)" in capsys.readouterr().err
    assert call("export", folder, "--out", tmp_path / "nowhere/net.pt2") == 2
    assert "net.pt2 cannot be written (No such file or directory)" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert call("export", folder, "--out", tmp_path / "net.onnx") == 2
    assert "pip install 'tracemill[onnx]'" in capsys.readouterr().err
