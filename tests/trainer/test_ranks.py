import socket
from datetime import timedelta

import pytest
import torch

from data_catalog import InputError
from trainer import ranks
from trainer.ranks import Ranks, joined, local_world_size, ranks_from_environment, ranks_of_environment


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")


@pytest.mark.parametrize("local_rank", ["0", "2"])
def test_more_processes_than_gpus_are_refused_on_each(local_rank, two_gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    with pytest.raises(InputError, match="3 processes on this machine cannot share its GPUs, 2 found"):
        ranks_from_environment()


def test_a_process_takes_the_gpu_of_its_number(two_gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert ranks_from_environment().device == torch.device("cuda", 1)


def test_too_few_gpus_are_told_in_a_sentence(two_gpus, call, salt_stack, write_recipe, monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert call("fit", write_recipe()) == 2
    assert "error: 3 processes on this machine" in capsys.readouterr().err


SRUN = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
}


def test_srun_says_which_process_this_is(monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    assert ranks_of_environment() == Ranks(rank=5, world_size=8, local_rank=1)
    assert local_world_size() == 4
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for gpus, expected in {1: 0, 4: 1}.items():
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert ranks_from_environment().device == torch.device("cuda", expected)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="4 processes on this machine cannot share its GPUs, 2 found"):
        ranks_from_environment()
    monkeypatch.setenv("RANK", "2")  # torchrun under srun: its word counts
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (ranks_of_environment().rank, ranks_of_environment().world_size) == (2, 3)


def test_a_batch_script_is_one_process(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert ranks_of_environment() == Ranks()


def test_nowhere_to_meet_is_a_sentence():
    with (
        pytest.raises(InputError, match="MASTER_ADDR and MASTER_PORT does not say where they meet"),
        joined(Ranks(rank=1, world_size=2)),
    ):
        raise AssertionError


def test_a_meeting_that_does_not_come_about_is_a_sentence(monkeypatch):
    monkeypatch.setattr(ranks, "JOIN_TIMEOUT", timedelta(seconds=2))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        with (
            pytest.raises(InputError, match=r"rank 1 of 2 does not meet the others at 127.0.0.1:\d+"),
            joined(Ranks(rank=1, world_size=2)),
        ):
            raise AssertionError
