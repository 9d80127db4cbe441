"""Chunks that are gone or damaged, under real torchrun ranks: the stated behaviour, equal steps, and no hang."""

import json
from pathlib import Path

import fsspec
import pytest

SHORT = {"steps": 12, "splits": {"validation": None}, "checkpoint_every_steps": 6}


def flip_a_bit(stores):
    (shard, *_) = sorted(path for path in (stores.folder / "salt.zarr/amplitude/c").rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[20] ^= 1
    shard.write_bytes(content)


def delete_a_shard(stores):
    (shard, *_) = sorted(path for path in (stores.folder / "salt.zarr/amplitude/c").rglob("*") if path.is_file())
    shard.unlink()


@pytest.mark.parametrize(("harm", "fault"), [(flip_a_bit, "checksum"), (delete_a_shard, "missing")])
def test_a_run_stops_with_a_sentence_unless_told_otherwise(stores, salt_stack, write_recipe, harm, fault):
    harm(stores)
    done = stores.run("fit", write_recipe(**SHORT), processes=2, timeout=120)
    assert done.returncode == 1, "torchrun's own status"
    assert f"salt.zarr/amplitude cannot be read ({fault})" in done.stderr
    assert "trainer/feed/feed.py" not in done.stderr, "no traceback of ours; torchrun adds its own"


@pytest.mark.parametrize("policy", ["skip", "substitute"])
def test_a_run_goes_on_without_the_windows_and_says_which(stores, salt_stack, write_recipe, tmp_path, policy):
    flip_a_bit(stores)
    feed = {"faults": {"policy": policy}, "audit": True}
    done = stores.run("fit", write_recipe(**SHORT, feed=feed), processes=2, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "windows are left out, the first one at step" in done.stderr
    lines = [
        json.loads(line)
        for rank in (0, 1)
        if (path := tmp_path / f"run/faults-{rank}.jsonl").exists()
        for line in path.read_text().splitlines()
    ]
    assert {line["fault"] for line in lines} == {"checksum"}
    assert {line["policy"] for line in lines} == {policy}
    judged = stores.run("audit", tmp_path / "run")
    assert judged.returncode == 0, judged.stderr
    assert "in 12 steps of 2 ranks" in judged.stdout
    assert " 0 places were left out" not in judged.stdout


def test_more_than_the_limit_ends_all_ranks(stores, salt_stack, write_recipe):
    flip_a_bit(stores)
    feed = {"faults": {"policy": "skip", "limit": 1}}
    done = stores.run("fit", write_recipe(**SHORT, feed=feed), processes=2, timeout=120)
    assert done.returncode == 1
    assert "more than 1 windows could not be read (config.feed.faults.limit)" in done.stderr


def losses(folder):
    rows = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def test_a_slow_rank_holds_up_the_others_and_changes_nothing(stores, salt_stack, write_recipe, call, tmp_path):
    recipe = write_recipe(**SHORT, feed={"audit": True}, compute={"precision": "float64"})
    assert call("fit", recipe, "--out", tmp_path / "alone") == 0
    done = stores.run("fit", recipe, "--out", tmp_path / "slow", processes=2, slow_rank=1, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Path(stores.catalog.place, "a-rank-was-slow").exists()
    assert losses(tmp_path / "slow") == pytest.approx(losses(tmp_path / "alone"), rel=1e-10)
    judged = stores.run("audit", tmp_path / "slow")
    assert "in 12 steps of 2 ranks are those of the order" in judged.stdout, judged.stderr


@pytest.mark.slow
def test_an_object_store_that_fails_now_and_then(
    stores, salt_stack, write_recipe, call, tmp_path, faulty_store, monkeypatch
):
    """A fifth of the requests for samples, with retries of the client's own switched off."""
    proxy, bucket = faulty_store
    fsspec.filesystem("s3").put(salt_stack.url, f"{bucket}/salt.zarr", recursive=True)
    stores.catalog.publish(salt_stack.model_copy(update={"name": "remote", "url": f"{bucket}/salt.zarr"}))
    short = {name: value for name, value in SHORT.items() if name != "checkpoint_every_steps"}
    exact = {"precision": "float64"}
    local, remote = ({"name": name, "label": "salt"} for name in ("salt", "remote"))
    assert call("fit", write_recipe(**short, dataset=local, compute=exact), "--out", tmp_path / "local") == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy.share, proxy.only = 0.2, "/amplitude/c/"
    done = stores.run(
        "fit", write_recipe(**short, dataset=remote, compute=exact), "--out", tmp_path / "remote", processes=2
    )
    assert done.returncode == 0, done.stderr
    assert proxy.faults["GET"] > 3
    assert losses(tmp_path / "remote") == pytest.approx(losses(tmp_path / "local"), rel=1e-10)
