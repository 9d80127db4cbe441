"""What a run tells goes to classes of the user's own as well; none of them can end it."""

import json

import numpy as np
import pytest

OWN = """
import json

class Lines:
    def __init__(self, *, folder, config, first_step, suffix: str = "txt"):
        self.path = folder / f"told.{suffix}"
        self.tell("begins", config["dataset"]["name"], first_step)

    def tell(self, *what):
        with open(self.path, "a") as file:
            file.write(json.dumps(what) + "\\n")

    def numbers(self, step, values):
        self.tell("numbers", step, values)

    def picture(self, step, name, picture):
        self.tell("picture", step, name, list(picture.shape), float(picture.min()), float(picture.max()))

    def close(self):
        self.tell("closes")

class Fails(Lines):
    def numbers(self, step, values):
        if step == 2:
            raise ConnectionError("the server is gone")

class FailsAtOnce(Lines):
    def __init__(self, **given):
        raise ConnectionError("there is no server")

class TakesNothing:
    pass
"""


@pytest.fixture(autouse=True)
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_trackers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def told(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_users_own_tracker_is_told_all(call, salt_stack, write_recipe, tmp_path):
    trackers = [{"name": "own_trackers:Lines", "suffix": "jsonl"}]
    assert call("fit", write_recipe(steps=3, trackers=trackers)) == 0
    first, *rest = told(tmp_path / "run/told.jsonl")
    assert first == ["begins", "salt", 0]
    assert [(what[0], what[1]) for what in rest[:-1]] == [
        ("numbers", 1),
        ("numbers", 2),
        ("numbers", 3),
        ("numbers", 3),
        ("picture", 3),
    ]
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rest[0][2]["step/loss"] == rows[0]["loss"]
    assert rest[3][2]["validation/mean_iou"] == rows[-1]["mean_iou"]
    assert rest[4][2:] == ["validation: input, label, prediction", [16, 48], 0.0, 1.0]
    assert rest[-1] == ["closes"]
    assert not (tmp_path / "run/tensorboard").exists(), "only what is named"


def test_a_tracker_that_fails_is_told_no_more(call, salt_stack, write_recipe, tmp_path, caplog):
    trackers = [{"name": "own_trackers:Fails"}, {"name": "own_trackers:FailsAtOnce"}, {"name": "tensorboard"}]
    assert call("fit", write_recipe(steps=6, trackers=trackers)) == 0
    warnings = [record.message for record in caplog.records if "fails, and is told no more" in record.message]
    assert len(warnings) == 2
    assert "own_trackers:FailsAtOnce fails, and is told no more: ConnectionError: there is no server" in warnings[0]
    assert "own_trackers:Fails fails, and is told no more: ConnectionError: the server is gone" in warnings[1]
    assert list((tmp_path / "run/tensorboard").glob("events*"))


@pytest.mark.parametrize(
    ("tracker", "sentence"),
    [
        ({"name": "own_trackers:Lines", "sufix": "x"}, "config.trackers[0].sufix"),
        ({"name": "wandb"}, "config.trackers[0].name: 'wandb' is none of tensorboard"),
        ({"name": "own_trackers:TakesNothing"}, "does not take config, first_step, folder; a tracker is made with"),
    ],
)
def test_what_is_no_tracker_is_refused(call, salt_stack, write_recipe, tmp_path, capsys, tracker, sentence):
    assert call("fit", write_recipe(trackers=[tracker])) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_tensorboard_shows_each_step_once_after_a_resume(call, salt_stack, write_recipe, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert call("fit", write_recipe(steps=4)) == 0
    assert call("fit", write_recipe(steps=6), "--resume", "auto") == 0
    board = EventAccumulator(str(tmp_path / "run/tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("step/loss")] == [1, 2, 3, 4, 5, 6]
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(
        [event.value for event in board.Scalars("step/loss")], [row["loss"] for row in rows if "loss" in row], rtol=1e-6
    )
