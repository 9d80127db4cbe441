"""Runs that other launchers start than one torchrun: the steps of a single process."""

import json
import socket
import time

import pytest

RECIPE = {"steps": 6, "splits": {"validation": None}, "compute": {"precision": "float64"}}


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def expected(stores, salt_stack, write_recipe, tmp_path):
    assert stores.run("fit", write_recipe(**RECIPE), "--out", tmp_path / "alone").returncode == 0
    return losses(tmp_path / "alone")


def test_processes_of_srun(stores, write_recipe, tmp_path, expected, free_port):
    said = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_LOCALID": "0"}
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port}
    processes = [
        stores.start("fit", write_recipe(**RECIPE), environment=said | where | {"SLURM_PROCID": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(120) for process in processes] == [0, 0], (stores.folder / "said").read_text()
    assert losses(tmp_path / "run") == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow
def test_two_machines_meet_by_torchrun(stores, write_recipe, tmp_path, expected, free_port):
    torchrun = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    torchrun += ["--rdzv-endpoint", f"127.0.0.1:{free_port}", "--rdzv-id", "test"]
    machines = [stores.start("fit", write_recipe(**RECIPE), launcher=torchrun) for _ in range(2)]
    assert [machine.wait(180) for machine in machines] == [0, 0], (stores.folder / "said").read_text()
    assert losses(tmp_path / "run") == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow
def test_torchrun_starts_a_run_again_that_lost_a_rank(stores, write_recipe, tmp_path, expected):
    """Elastic: the ranks that are started anew go on from the last checkpoint by themselves."""
    import psutil

    recipe = write_recipe(**RECIPE | {"steps": 1000, "checkpoint_every_steps": 10})
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "3"]
    process = stores.start("fit", recipe, "--resume", "auto", launcher=torchrun)
    metrics = tmp_path / "run/metrics.jsonl"
    while not metrics.exists() or len(losses(tmp_path / "run")) < 30:
        assert process.poll() is None
        time.sleep(0.05)
    ranks = [each for each in psutil.Process(process.pid).children() if "trainer" in each.cmdline()]
    ranks[1].kill()
    assert process.wait(180) == 0, (stores.folder / "said").read_text()
    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == list(range(1, 1001))
    first, second = ((json.loads(line)["step"]) for line in (tmp_path / "run/starts.jsonl").read_text().splitlines())
    assert (first, second % 10) == (0, 0)
    assert second >= 20
