"""A trace of some steps, and a run that is the same with it as without."""

import gzip
import json


def losses(run):
    rows = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def test_some_steps_are_traced(call, salt_stack, write_recipe, tmp_path):
    recipe = write_recipe(steps=7, splits={"validation": None})
    assert call("fit", recipe, "--out", tmp_path / "plain") == 0
    assert call("fit", recipe, "--profile", "2") == 0
    assert losses(tmp_path / "run") == losses(tmp_path / "plain")
    with gzip.open(tmp_path / "run/profile/rank-0.json.gz") as file:
        events = json.load(file)["traceEvents"]
    names = [event["name"] for event in events]
    assert sum(name.startswith("ProfilerStep#") for name in names if isinstance(name, str)) >= 2
    assert any("conv" in name for name in names if isinstance(name, str))
    assert "Self CPU" in (tmp_path / "run/profile/rank-0.txt").read_text()
