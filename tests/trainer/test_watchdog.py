"""A rank that does not come is named, with what it is doing; no run hangs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

STEPS = 10**6
PATIENCE_S = 3


@pytest.fixture
def started(stores, salt_stack, write_recipe, tmp_path):
    """A run of two ranks, of which the second one reads nothing any more once the file ``hang`` is there."""
    recipe = write_recipe(steps=STEPS, splits={"validation": None}, watch_s=PATIENCE_S)
    program = tmp_path / "program.py"
    program.write_text(
        """
import os, time
from pathlib import Path
from trainer.__main__ import main
from trainer.feed.examples import ExampleMaker
fill = ExampleMaker.fill
def hang(self, into, **others):
    while os.environ["RANK"] == "1" and Path(__file__).with_name("hang").exists():
        time.sleep(0.1)
    fill(self, into, **others)
ExampleMaker.fill = hang
main()
"""
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {
        "TRACEMILL_CATALOG": stores.catalog.place,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with open(tmp_path / "said", "wb") as said:
        command = [*torchrun, str(program), "fit", str(recipe)]
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    metrics = tmp_path / "run/metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 3:
        assert process.poll() is None, (tmp_path / "said").read_text()
        time.sleep(0.05)
    yield process
    process.kill()


def test_a_rank_that_reads_no_more_is_named(started, tmp_path):
    (tmp_path / "hang").touch()
    assert started.wait(90) == 1
    said = (tmp_path / "said").read_text()
    assert "error: rank 0 takes step" in said
    assert "s for others: rank 1 reads the batch of step" in said


@pytest.mark.slow
def test_a_rank_that_is_stopped_is_named(started, tmp_path):
    ranks = [each for each in psutil.Process(started.pid).children() if "RANK" in each.environ()]
    (second,) = (each for each in ranks if each.environ()["RANK"] == "1")
    time.sleep(3)  # for its first word
    second.send_signal(signal.SIGSTOP)
    time.sleep(PATIENCE_S + 12)
    second.send_signal(signal.SIGCONT)
    assert started.wait(90) == 1
    assert "rank 1 is silent; at last it" in (tmp_path / "said").read_text()
