"""Runs that are told to end, or killed, and go on: the windows and losses of an undisturbed run, bit by bit."""

import json
import random
import signal
import time

import psutil
import pytest

from trainer.checkpoint import checkpoints, last_whole_checkpoint, read_state

STEPS = 40
RECIPE = {"steps": STEPS, "splits": {"validation": None}, "checkpoint_every_steps": 5, "feed": {"audit": True}}


@pytest.fixture
def recipe(write_recipe):
    return write_recipe(**RECIPE)


def losses(run):
    rows = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows}  # of a step that was done again the last one


def begun(run, *, step):
    """Waits until a run has done some steps."""
    deadline = time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() or max(losses(run), default=0) < step:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGUSR1])
def test_a_run_that_is_told_to_end_is_saved_and_goes_on(stores, salt_stack, recipe, tmp_path, told):
    assert stores.run("fit", recipe, "--out", tmp_path / "whole").returncode == 0
    process = stores.start("fit", recipe)
    begun(tmp_path / "run", step=3)
    process.send_signal(told)
    assert process.wait(60) == 75
    ended = max(losses(tmp_path / "run"))
    assert 3 <= ended < STEPS
    assert read_state(last_whole_checkpoint(tmp_path / "run/checkpoints")).step == ended
    assert f"ended at step {ended} of {STEPS}: told to; saved" in (stores.folder / "said").read_text()
    assert stores.run("fit", recipe, "--resume", "auto").returncode == 0
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    judged = stores.run("audit", tmp_path / "run")
    assert f"in {STEPS} steps of 1 ranks are those of the order" in judged.stdout, judged.stderr


def ranks_of(torchrun):
    return [each for each in psutil.Process(torchrun.pid).children() if "trainer" in each.cmdline()]


def kill_a_rank(torchrun, generator):
    generator.choice(ranks_of(torchrun)).kill()


def kill_torchrun(torchrun, generator):
    torchrun.kill()


def tell_to_end(torchrun, generator):
    torchrun.terminate()


DISTURBANCES = (kill_a_rank, kill_torchrun, tell_to_end)


def disturb(stores, recipe, run, *, generator, disturbance, processes, after_s):
    """Begins or goes on, and disturbs; whether the run got to its end before."""
    torchrun = stores.start("fit", recipe, "--resume", "auto", processes=processes)
    ranks = []
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline and torchrun.poll() is None:
        time.sleep(0.01)
        ranks = ranks_of(torchrun) if torchrun.poll() is None else ranks
    if torchrun.poll() is None and ranks:
        disturbance(torchrun, generator)
    torchrun.wait(90)
    assert not psutil.wait_procs(ranks, timeout=60)[1], "nobody is left at work"
    for checkpoint in checkpoints(run / "checkpoints"):
        assert last_whole_checkpoint(run / "checkpoints") >= checkpoint, "the last one is never unreadable"
    return torchrun.returncode == 0


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_a_run_of_two_ranks_that_is_disturbed_goes_on(stores, salt_stack, write_recipe, tmp_path, disturbance):
    recipe = write_recipe(**RECIPE, compute={"precision": "float64"})
    assert stores.run("fit", recipe, "--out", tmp_path / "whole").returncode == 0
    torchrun = stores.start("fit", recipe, processes=2)
    begun(tmp_path / "run", step=6)
    ranks = ranks_of(torchrun)
    disturbance(torchrun, random.Random(0))
    assert torchrun.wait(60) != 0
    assert not psutil.wait_procs(ranks, timeout=60)[1]
    assert stores.run("fit", recipe, "--resume", "auto").returncode == 0
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), rel=1e-10)
    judged = stores.run("audit", tmp_path / "run")
    assert f"in {STEPS} steps of 2 ranks are those of the order" in judged.stdout, judged.stderr


@pytest.mark.slow
@pytest.mark.parametrize("worlds", [(2,), (1, 2, 3)])
def test_twenty_disturbances_at_random_moments(stores, salt_stack, write_recipe, tmp_path, worlds):
    """On as many ranks each time the same losses, bit by bit; on other numbers of them within rounding of float64."""
    precision = "float32" if len(worlds) == 1 else "float64"
    recipe = write_recipe(**RECIPE | {"steps": 400}, compute={"precision": precision})
    assert stores.run("fit", recipe, "--out", tmp_path / "whole", processes=worlds[0]).returncode == 0
    generator, disturbed, done = random.Random(5), 0, False
    while not done and disturbed < 20:
        done = disturb(
            stores,
            recipe,
            tmp_path / "run",
            generator=generator,
            disturbance=DISTURBANCES[disturbed % len(DISTURBANCES)],
            processes=worlds[disturbed % len(worlds)],
            after_s=generator.uniform(1, 9),
        )
        disturbed += not done
    assert disturbed == 20, "the run should be long enough"
    assert stores.run("fit", recipe, "--resume", "auto", processes=worlds[0]).returncode == 0
    found, expected = losses(tmp_path / "run"), losses(tmp_path / "whole")
    assert found == (expected if len(worlds) == 1 else pytest.approx(expected, rel=1e-10))
    judged = stores.run("audit", tmp_path / "run")
    assert "in 400 steps of" in judged.stdout, judged.stderr


def test_two_runs_do_not_write_into_one_folder(stores, salt_stack, write_recipe, tmp_path):
    recipe = write_recipe(**RECIPE | {"steps": 10**6})
    process = stores.start("fit", recipe)
    begun(tmp_path / "run", step=1)
    second = stores.run("fit", recipe, "--resume", "auto")
    process.kill()
    process.wait()
    assert second.returncode == 2
    assert "run is in use by" in second.stderr
