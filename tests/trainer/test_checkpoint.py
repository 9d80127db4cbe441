import json

import pytest
import torch

from data_catalog import InputError
from trainer import checkpoint
from trainer.checkpoint import (
    RunState,
    best_checkpoint,
    best_score,
    last_checkpoint,
    load_model,
    load_optimiser,
    mark_best,
    prune,
    read_state,
    write_checkpoint,
)
from trainer.models.unet import UNet


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
    )


@pytest.fixture
def written(tmp_path):
    model = network()
    optimiser = trained(model)
    return write_checkpoint(tmp_path, state=state_at(7), model=model, optimiser=optimiser), model, optimiser


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
    with pytest.raises(InputError, match="has version 99, this trainer reads 3"):
        read_state(path)


def test_a_write_that_is_cut_short_leaves_no_checkpoint(tmp_path, monkeypatch):
    def fail(path, *, content):
        path.write_bytes(content[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "_write_flushed", fail)
    model = network()
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path, state=state_at(1), model=model, optimiser=trained(model))
    assert last_checkpoint(tmp_path) is None
    prune(tmp_path)
    assert not list(tmp_path.iterdir()), "what was half-written goes with the next checkpoint"


def test_last_and_best_are_kept(tmp_path):
    model = network()
    optimiser = trained(model)
    assert best_score(tmp_path) == float("-inf")
    for step, score in enumerate((0.1, 0.8, 0.3, 0.2)):
        write_checkpoint(tmp_path, state=state_at(step), model=model, optimiser=optimiser)
        if score > best_score(tmp_path):
            mark_best(tmp_path, step=step, score=score)
        prune(tmp_path)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000001", "step-00000003"]
    assert read_state(best_checkpoint(tmp_path)).step == 1
    assert read_state(last_checkpoint(tmp_path)).step == 3
