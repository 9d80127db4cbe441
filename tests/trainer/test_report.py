"""The page about a run says what its files say, whoever wrote them and however the run ended."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml

from data_catalog import InputError
from trainer.json_lines import read_lines
from trainer.report.page import write_report
from trainer.training.run_log import side_by_side


@pytest.fixture
def run(call, salt_stack, write_recipe, tmp_path):
    assert call("fit", write_recipe(steps=6)) == 0
    return tmp_path / "run"


def text_of(run):
    return (run / "report.html").read_text()


def test_a_run_ends_with_its_report(run):
    text = text_of(run)
    rows = read_lines(run / "metrics.jsonl")
    (last,) = (row for row in rows if row["step"] == 6 and "split" in row)
    state = json.loads((run / "checkpoints/step-00000006/state.json").read_text())["state"]
    assert f"best, step {state['best_step']}" in text
    assert f"<td>{last['mean_iou']:.4g}</td>" in text
    assert re.search(
        rf"<td>salt</td>.*<td>{last['iou/salt']:.4g}</td>" if state["best_step"] == 6 else "<td>salt</td>", text
    )
    assert "6, planned 6 steps, of 8 windows" in text
    assert text.count("<svg") == 2
    assert base64.b64encode((run / "validation.png").read_bytes()).decode() in text
    assert "<span>input</span><span>label</span><span>prediction</span>" in text
    assert "start_filters: 4" in text
    assert not re.search(r"(src|href)=[\"']?(http|//)", text), "needs no network"


def test_a_run_that_was_killed_is_reported(call, run):
    shutil.rmtree(run / "checkpoints")
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text().splitlines()
    metrics.write_text("\n".join([*lines[:2], lines[2][:20]]))
    (run / "validation.png").unlink()
    assert call("report", run) == 0
    assert "2, planned 6 steps" in text_of(run)


def test_a_run_that_did_nothing_is_reported(run):
    shutil.rmtree(run / "checkpoints")
    for name in ("metrics.jsonl", "starts.jsonl", "validation.png"):
        (run / name).unlink()
    write_report(run)
    assert "0, planned 6 steps" in text_of(run)


def test_what_users_write_stays_text(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["dataset"]["name"] = "<script>alert(1)</script>"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    write_report(run)
    assert "<script" not in text_of(run)
    assert "&lt;script&gt;" in text_of(run)


def test_what_is_no_run_is_refused(call, tmp_path, capsys):
    assert call("report", tmp_path) == 2
    assert "holds no run: give the folder that `fit` wrote" in capsys.readouterr().err
    with pytest.raises(InputError):
        write_report(tmp_path / "nowhere")


def test_a_report_that_fails_ends_no_run(call, salt_stack, write_recipe, monkeypatch, caplog):
    def fail(run):
        raise ValueError("no ink")

    monkeypatch.setattr("trainer.report.page._about", fail)
    assert call("fit", write_recipe(steps=2)) == 0
    assert "no report was made: ValueError: no ink" in caplog.text


def test_classes_have_one_shade_in_all_views():
    label, prediction = torch.zeros(4, 3, dtype=torch.uint8), torch.full((4, 3), 2)
    label[0] = 1
    shown = side_by_side({"input": torch.linspace(5, 6, 12).reshape(4, 3), "label": label, "prediction": prediction})
    assert shown.shape == (3, 12)
    np.testing.assert_allclose(shown[0], [*np.linspace(0, 9 / 11, 4), 0.5, 0, 0, 0, 1, 1, 1, 1], atol=1e-6)
    assert not side_by_side({"label": torch.zeros(2, 2, dtype=torch.int64)}).any()
