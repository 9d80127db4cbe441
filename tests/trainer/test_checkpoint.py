import json
import shutil
from dataclasses import replace

import pytest
import torch

from data_catalog import InputError, WorkError
from trainer import checkpoint
from trainer.checkpoint import (
    MODEL,
    OPTIMISER,
    RunState,
    best_checkpoint,
    checkpoints,
    last_whole_checkpoint,
    load_model,
    load_optimiser,
    moments,
    read_state,
    write_checkpoint,
)
from trainer.models.unet import UNet
from trainer.training.checkpoint_writer import CheckpointWriter


def network(*, start_filters=2, seed=0):
    torch.manual_seed(seed)
    return UNet(dims=2, in_channels=1, out_channels=1, levels=2, start_filters=start_filters)


def trained(model):
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.randn(1, 1, 4, 4)).sum().backward()
    optimiser.step()
    return optimiser


def state_at(step):
    return RunState(
        step,
        "digest",
        {"dataset.name": "salt"},
        grouping={"lanes": 2, "blocks": [{"extents": [4, 16], "walk": 0, "slab": 4}]},
        normalisations={"salt": {"mean": 1.5, "standard_deviation": 0.1}},
        label=None,
        learner={"skipped": 0},
        best_score=None,
        best_step=None,
        since_best=0,
        scored_step=None,
    )


def tensors(model, optimiser):
    return {MODEL: model.state_dict(), OPTIMISER: moments(optimiser)}


@pytest.fixture
def written(tmp_path):
    model = network()
    optimiser = trained(model)
    return write_checkpoint(tmp_path, state=state_at(7), tensors=tensors(model, optimiser)), model, optimiser


def test_all_comes_back(written):
    path, model, optimiser = written
    other = network(seed=1)
    other_optimiser = torch.optim.AdamW(other.parameters())
    load_model(path, model=other)
    load_optimiser(path, optimiser=other_optimiser)
    assert read_state(path) == state_at(7)
    for one, another in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, another, rtol=0, atol=0)
    one, another = optimiser.state_dict()["state"], other_optimiser.state_dict()["state"]
    assert one.keys() == another.keys()
    for number in one:
        for quantity in ("step", "exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(one[number][quantity], another[number][quantity], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.safetensors", "state.json"])
def test_a_truncated_checkpoint_is_refused(written, name):
    path, model, optimiser = written
    (path / name).write_bytes((path / name).read_bytes()[:-9])
    load = {
        "model.safetensors": lambda: load_model(path, model=model),
        "optimiser.safetensors": lambda: load_optimiser(path, optimiser=optimiser),
        "state.json": lambda: read_state(path),
    }[name]
    with pytest.raises(InputError, match=rf"checkpoint .*step-00000007 is damaged: {name}"):
        load()


def test_another_network_is_refused(written):
    path, _, _ = written
    with pytest.raises(InputError, match=r"is of another network: \d+ tensors differ, first"):
        load_model(path, model=network(start_filters=4))


def test_another_version_is_refused(written):
    path, _, _ = written
    document = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(document | {"version": 99}))
    with pytest.raises(InputError, match="has version 99, this trainer reads 5"):
        read_state(path)


def test_a_write_that_is_cut_short_leaves_no_checkpoint(tmp_path, monkeypatch):
    def fail(path, *, content):
        path.write_bytes(content[:10])
        raise KeyboardInterrupt

    model = network()
    optimiser = trained(model)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_write_flushed", fail)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(tmp_path, state=state_at(1), tensors=tensors(model, optimiser))
    assert checkpoints(tmp_path) == []
    assert last_whole_checkpoint(tmp_path) is None
    with CheckpointWriter(tmp_path, keep=1) as writer:
        writer.write(state_at(2), tensors(model, optimiser))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"], "what was half-written went"


@pytest.mark.parametrize(("keep", "kept"), [(1, [3, 1]), (3, [3, 2, 1]), (9, [3, 2, 1, 0])])
def test_last_and_best_are_kept(tmp_path, keep, kept):
    model = network()
    optimiser = trained(model)
    state = state_at(0)
    with CheckpointWriter(tmp_path, keep=keep) as writer:
        for step, score in enumerate((0.1, 0.8, float("nan"), 0.2)):
            state = replace(state, step=step).scored(score)
            writer.write(state, tensors(model, optimiser))
    assert (state.best_score, state.best_step, state.since_best) == (0.8, 1, 2)
    assert [read_state(path).step for path in checkpoints(tmp_path)] == kept
    assert read_state(best_checkpoint(tmp_path)).step == 1


def test_a_best_checkpoint_that_is_gone_is_done_without(tmp_path, caplog):
    model = network()
    of_model = tensors(model, trained(model))
    state = state_at(1).scored(0.5)
    with CheckpointWriter(tmp_path, keep=1) as writer:
        writer.write(state, of_model)
        writer.write(replace(state, step=2), of_model)
    best = best_checkpoint(tmp_path)
    assert best.name == "step-00000001"
    shutil.rmtree(best)
    assert best_checkpoint(tmp_path).name == "step-00000002"
    assert "step-00000001, is not there: step-00000002 is taken in its place" in caplog.text


def test_what_was_damaged_does_not_outlive_what_is_whole(tmp_path):
    model = network()
    of_model = tensors(model, trained(model))
    with CheckpointWriter(tmp_path, keep=2) as writer:
        for step in (1, 2):
            writer.write(state_at(step), of_model)
    (tmp_path / "step-00000002/model.safetensors").write_bytes(b"torn")
    with CheckpointWriter(tmp_path, keep=1) as writer:  # from step 1 again, in shorter strides
        writer.write(state_at(1), of_model)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000001"]


def test_moments_lie_as_their_weights(tmp_path):
    def trained_network(seed):
        model = network(seed=seed)
        for weight in model.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        return model, trained(model)

    model, optimiser = trained_network(0)
    other_model, other = trained_network(1)
    load_optimiser(write_checkpoint(tmp_path, state=state_at(1), tensors=tensors(model, optimiser)), optimiser=other)
    for weight in other_model.parameters():
        assert other.state[weight]["exp_avg"].stride() == weight.stride()


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, name, caplog):
    model = network()
    optimiser = trained(model)
    of_model = tensors(model, optimiser)
    first, last = (write_checkpoint(tmp_path, state=state_at(step), tensors=of_model) for step in (1, 2))
    assert last_whole_checkpoint(tmp_path) == last
    (last / name).write_bytes((last / name).read_bytes()[:-9])
    assert last_whole_checkpoint(tmp_path) == first
    assert f"step-00000002 is damaged: {name}" in caplog.text
    assert write_checkpoint(tmp_path, state=state_at(2), tensors=of_model) == last
    assert last_whole_checkpoint(tmp_path) == last
    for path in (first, last):
        (path / name).unlink()
    with pytest.raises(InputError, match="step-00000001 is damaged"):
        last_whole_checkpoint(tmp_path)


def test_a_checkpoint_that_cannot_be_written_ends_the_run(tmp_path, monkeypatch):
    def full(path, *, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write_flushed", full)
    model = network()
    of_model = tensors(model, trained(model))

    def write(*steps):
        with CheckpointWriter(tmp_path, keep=1) as writer:
            for step in steps:
                writer.write(state_at(step), of_model)

    for steps in [(1,), (1, 2)]:
        with pytest.raises(WorkError, match=r"No space left on device.*: make room"):
            write(*steps)
