"""Chunks that are gone or damaged, under real torchrun ranks: the stated behaviour, equal steps, and no hang."""

import json

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
    assert "trainer/feed.py" not in done.stderr, "no traceback of ours; torchrun adds its own"


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
