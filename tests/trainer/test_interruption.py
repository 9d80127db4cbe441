"""Runs that are told to end, or killed, and go on: the windows and losses of an undisturbed run, bit by bit."""

import json
import random
import signal
import time
from contextlib import suppress

import psutil
import pytest

from trainer.checkpoint import best_checkpoint, checkpoints, last_whole_checkpoint, read_state
from trainer.training.learner import Learner

STEPS = 40
RECIPE = {"steps": STEPS, "splits": {"validation": None}, "checkpoint_every_steps": 5, "feed": {"audit": True}}


@pytest.fixture
def recipe(write_recipe):
    return write_recipe(**RECIPE)


def losses(run):
    rows = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows}  # of a step that was done again the last one


def scores(run):
    rows = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["mean_iou"] for row in rows if "split" in row}


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


def test_a_request_heard_twice_is_one(stores, salt_stack, recipe, tmp_path):
    process = stores.start("fit", recipe)
    begun(tmp_path / "run", step=3)
    for _ in range(2):  # by the scheduler, and passed on by torchrun
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    assert process.wait(60) == 75
    assert last_whole_checkpoint(tmp_path / "run/checkpoints")


def test_a_validation_that_was_due_is_made_up_for(call, salt_stack, write_recipe, tmp_path, monkeypatch):
    """The run is told to end in the very step after which it would have scored."""
    recipe = write_recipe(steps=12, validate_every_steps=3, checkpoint_every_steps=100)
    assert call("fit", recipe, "--out", tmp_path / "whole") == 0
    take = Learner.step

    def take_and_tell(learner, batch, *, number, rate):
        if number == 4:  # ranks are asked once a step, before it: this is heard in the next one
            signal.raise_signal(signal.SIGTERM)
        return take(learner, batch, number=number, rate=rate)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", take_and_tell)
        assert call("fit", recipe) == 75
    folder = tmp_path / "run/checkpoints"
    ended = read_state(last_whole_checkpoint(folder))
    assert (ended.step, ended.scored_step) == (6, 3)
    assert call("fit", recipe, "--resume", "auto") == 0
    assert scores(tmp_path / "run") == scores(tmp_path / "whole")
    states = [read_state(last_whole_checkpoint(tmp_path / name / "checkpoints")) for name in ("run", "whole")]
    assert states[0] == states[1]
    for name in ("run", "whole"):
        assert best_checkpoint(tmp_path / name / "checkpoints").name == f"step-{states[0].best_step:08d}"


def ranks_of(torchrun):
    found = []
    for each in psutil.Process(torchrun.pid).children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found += [each] if "trainer" in each.cmdline() else []
    return found


def kill_a_rank(torchrun, generator):
    generator.choice(ranks_of(torchrun)).kill()


def kill_torchrun(torchrun, generator):
    torchrun.kill()


def tell_to_end(torchrun, generator):
    torchrun.terminate()


DISTURBANCES = (kill_a_rank, kill_torchrun, tell_to_end)


def disturb(stores, recipe, run, *, generator, disturbance, processes, most_steps):
    """Begins or goes on, and disturbs: some steps later, or at any moment of the start."""
    before = max(losses(run), default=0) if (run / "metrics.jsonl").exists() else 0
    torchrun = stores.start("fit", recipe, "--resume", "auto", processes=processes)
    if generator.random() < 0.75:
        begun(run, step=before + generator.randrange(1, most_steps))
    time.sleep(generator.uniform(0, 3 if before == 0 else 0.1))
    assert torchrun.poll() is None, "the run should be long enough"
    ranks = ranks_of(torchrun)
    if ranks:
        disturbance(torchrun, generator)
    else:
        torchrun.kill()
    torchrun.wait(90)
    assert not psutil.wait_procs(ranks, timeout=60)[1], "nobody is left at work"
    for checkpoint in checkpoints(run / "checkpoints"):
        assert last_whole_checkpoint(run / "checkpoints") >= checkpoint, "the last one is never unreadable"


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
@pytest.mark.parametrize(("worlds", "steps", "most_steps"), [((2,), 1500, 60), ((1, 2, 3), 300, 5)])
def test_twenty_disturbances_at_random_moments(stores, salt_stack, write_recipe, tmp_path, worlds, steps, most_steps):
    """On as many ranks each time the same losses, bit by bit; on other numbers within rounding of float64, which
    AdamW makes larger with each step: 1e-10 holds for some hundred."""
    precision = "float32" if len(worlds) == 1 else "float64"
    longer = {"steps": steps, "checkpoint_every_steps": 7, "compute": {"precision": precision}}
    model = {"name": "unet", "levels": 3, "start_filters": 4 if len(worlds) == 1 else 16}  # slow enough to be met
    recipe = write_recipe(**RECIPE | longer, model=model)
    assert stores.run("fit", recipe, "--out", tmp_path / "whole", processes=worlds[0]).returncode == 0
    generator = random.Random(5)
    for number in range(20):
        disturb(
            stores,
            recipe,
            tmp_path / "run",
            generator=generator,
            disturbance=DISTURBANCES[number % len(DISTURBANCES)],
            processes=worlds[number % len(worlds)],
            most_steps=most_steps,
        )
    assert stores.run("fit", recipe, "--resume", "auto", processes=worlds[0]).returncode == 0
    found, expected = losses(tmp_path / "run"), losses(tmp_path / "whole")
    assert found == (expected if len(worlds) == 1 else pytest.approx(expected, rel=1e-10))
    judged = stores.run("audit", tmp_path / "run")
    assert f"in {steps} steps of" in judged.stdout, judged.stderr


def test_two_runs_do_not_write_into_one_folder(stores, salt_stack, write_recipe, tmp_path):
    recipe = write_recipe(**RECIPE | {"steps": 10**6})
    process = stores.start("fit", recipe)
    begun(tmp_path / "run", step=1)
    second = stores.run("fit", recipe, "--resume", "auto")
    process.kill()
    process.wait()
    assert second.returncode == 2
    assert "run is in use by" in second.stderr
