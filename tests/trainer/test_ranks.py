import pytest
import torch

from data_catalog import InputError
from trainer.ranks import ranks_from_environment


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


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
