import json
import threading
import time

import numpy as np
import pytest
import torch

from data_catalog import InputError
from trainer.config import FaultConfig
from trainer.config_file import read_config
from trainer.experiment import prepare
from trainer.feed.faulty_windows import FaultPolicy
from trainer.feed.memory import ReusedMemory
from trainer.plan.order import PADDING
from trainer.ranks import Ranks
from trainer.reads.faults import ChunkFaultError

STOP = FaultPolicy(FaultConfig(), seed=0, record=None)


@pytest.fixture
def examples_of(stores, salt_stack, write_recipe):
    """Makes the training examples of the salt recipe; keyword arguments replace its sections."""

    def make(*, ranks=Ranks(), **changes):  # noqa: B008 (frozen)
        experiment = prepare(read_config(write_recipe(**changes)), catalog=stores.catalog)
        return experiment.training_batches(experiment.readers(), ranks=ranks), experiment

    return make


def feed_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_cut_from_the_store(examples_of, threads):
    examples, experiment = examples_of(feed={"threads": threads}, stride={"crossline": 7, "time": 7})
    order = examples.order
    steps = range(2 * order.steps_per_epoch)
    amplitude = experiment.main.stored.array[...]
    live, salt = (
        experiment.main.dataset.live(experiment.main.stored).array[...],
        experiment.main.label.array[...],
    )
    with examples.feed(steps, faults=STOP) as feed:
        for step in steps:
            windows, batch = feed.next_step()
            np.testing.assert_array_equal(windows, order.batch(step)[1])
            for place, window in enumerate(windows):
                if window == PADDING:
                    assert not batch.weight[place].any()
                    continue
                inline, *corner = examples.sources.each[0].plan.ranges(np.array([window]))[0][0].tolist()
                cut = (inline, *(slice(first, first + 16) for first in corner))
                recorded = np.broadcast_to(live[cut[:-1]][:, None], (16, 16))
                expected = np.where(recorded, experiment.main.normalisation.apply(amplitude[cut]), 0)
                np.testing.assert_array_equal(batch.input[place, 0], expected)
                np.testing.assert_array_equal(batch.weight[place], recorded)
                np.testing.assert_array_equal(batch.target[place], np.where(recorded, salt[cut], 0))
        with pytest.raises(StopIteration):
            next(feed)
    assert any(PADDING in order.batch(step)[1] for step in steps), "the case should have a tail"


@pytest.mark.parametrize("world_size", [2, 3, 8])
def test_ranks_are_fed_the_slots_of_one(examples_of, world_size):
    steps = range(5)
    augment = {"flip": ["crossline", "time"], "polarity": 0.5, "gain_db": 6, "noise": 0.2, "time_shift": 3}
    changes = {"augment": augment | {"drop_traces": 0.3}}
    alone, _ = examples_of(**changes)
    plain, _ = examples_of()
    with alone.feed(range(1), faults=STOP) as feed, plain.feed(range(1), faults=STOP) as unchanged:
        assert not torch.equal(next(feed).input, next(unchanged).input)
    with alone.feed(steps, faults=STOP) as feed:
        whole = [feed.next_step() for _ in steps]
    for rank in range(world_size):
        ranks = Ranks(rank=rank, world_size=world_size)
        part, _ = examples_of(ranks=ranks, feed={"threads": 1 + rank}, **changes)
        with part.feed(steps, faults=STOP) as feed:
            for windows, batch in whole:
                ours, fed = feed.next_step()
                np.testing.assert_array_equal(ours, windows[rank::world_size])
                for tensor, of_all in zip(fed, batch, strict=True):
                    assert torch.equal(tensor, of_all[rank::world_size])


def test_any_step_can_be_the_first(examples_of):
    examples, _ = examples_of()
    steps = 2 * examples.order.steps_per_epoch
    with examples.feed(range(steps), faults=STOP) as feed:
        whole = [batch.input.clone() for batch in feed]
    generator = np.random.default_rng(0)
    for first in generator.choice(steps, 10, replace=False).tolist():
        examples, _ = examples_of()
        with examples.feed(range(first, min(first + 3, steps)), faults=STOP) as feed:
            for step, batch in enumerate(feed, start=first):
                assert torch.equal(batch.input, whole[step])


def test_chunks_are_decoded_once_for_all_windows_within_the_budget(examples_of):
    examples, _ = examples_of(feed={"resident_nbytes": 900_000, "threads": 4}, order={"lanes": 2})
    boxes = examples.sources.each[0].reader.boxes
    with examples.feed(range(examples.order.steps_per_epoch), faults=STOP) as feed:
        assert sum(1 for _ in feed) == examples.order.steps_per_epoch
    assert 0 < boxes.shelf.peak_nbytes <= 900_000
    inlines = 6  # of the training split; the second row of chunks is touched as well
    touched = sum(np.prod([2, *array.grid[1:]]) for array in boxes.arrays)
    cut = 8 * 2 * 3 * 4  # a group between two lanes is read for both
    assert inlines > 4
    assert touched <= boxes.counts.chunks <= touched + cut


def test_a_budget_too_small_is_refused_with_the_figure(examples_of):
    with pytest.raises(InputError, match=r"resident_nbytes is 1000, and .* can take \d+ bytes: allow at least that"):
        examples_of(feed={"resident_nbytes": 1000})
    with pytest.raises(InputError, match=r"in_flight_nbytes is 10000, and two batches of a rank take \d+ bytes"):
        examples_of(feed={"in_flight_nbytes": 10_000})


def test_no_more_batches_are_begun_than_may_be_under_way(examples_of):
    examples, _ = examples_of(feed={"look_ahead_batches": 3})
    begun, begin = [], examples.maker.begin

    def counted(windows):
        begun.append(windows)
        return begin(windows)

    examples.maker.begin = counted
    with examples.feed(range(10**6), faults=STOP) as feed:
        for taken in range(1, 6):
            next(feed)
            time.sleep(0.05)
            assert len(begun) <= taken + 3


def damage(stores, *, chunks):
    paths = sorted(path for path in (stores.folder / "salt.zarr/amplitude/c").rglob("*") if path.is_file())
    for path in paths[:chunks]:
        path.write_bytes(path.read_bytes()[:-40])


def test_an_error_in_a_reader_thread_surfaces_and_threads_end(examples_of, stores):
    examples, _ = examples_of()
    damage(stores, chunks=10)
    with (
        pytest.raises(ChunkFaultError, match=r"chunk .* of .*salt.zarr/amplitude cannot be read"),
        examples.feed(range(20), faults=STOP) as feed,
    ):
        list(feed)
    assert not feed_threads()


@pytest.mark.parametrize("policy", ["skip", "substitute"])
def test_windows_that_cannot_be_read_are_left_out_and_written_down(examples_of, stores, tmp_path, policy):
    examples, _ = examples_of(feed={"verify": "always"})  # since the damage comes later than the opening
    (first_shard, *_) = (path for path in (stores.folder / "salt.zarr/amplitude/c/0").rglob("*") if path.is_file())
    content = bytearray(first_shard.read_bytes())
    content[20] ^= 1  # of its first chunk
    first_shard.write_bytes(content)
    record = tmp_path / "faults.jsonl"
    faults = FaultPolicy(FaultConfig(policy=policy, limit=1000), seed=0, record=record)
    steps = range(examples.order.steps_per_epoch)
    with examples.feed(steps, faults=faults) as feed:
        fed = [feed.next_step() for _ in steps]
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert lines[0].keys() == {"step", "window", "split", "fault", "chunk", "policy"}
    assert {line["fault"] for line in lines} == {"checksum"}
    lost = {(line["step"], line["window"]) for line in lines}
    assert len(fed) == len(steps)
    replaced = 0
    for step, (windows, batch) in enumerate(fed):
        planned = examples.order.batch(step)[1]
        for place, (window, got) in enumerate(zip(planned.tolist(), windows.tolist(), strict=True)):
            assert (window != got) == ((step, window) in lost)
            assert batch.weight[place].any() == (got != PADDING)
            replaced += window != got
            if policy == "skip":
                assert got in (window, PADDING)
            elif window != PADDING:
                assert got != PADDING
    assert 0 < replaced < len(steps) * 8


def test_more_faults_than_allowed_end_the_feed(examples_of, stores):
    examples, _ = examples_of()
    damage(stores, chunks=10)
    faults = FaultPolicy(FaultConfig(policy="skip", limit=3), seed=0, record=None)
    with (
        pytest.raises(InputError, match=r"more than 3 windows could not be read \(config.feed.faults.limit\)"),
        examples.feed(range(50), faults=faults) as feed,
    ):
        list(feed)
    assert not feed_threads()


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_closing_early_ends_the_threads_and_keeps_no_chunk(examples_of, taken):
    examples, _ = examples_of(stride={"crossline": 7, "time": 7})
    boxes = examples.sources.each[0].reader.boxes
    keys = range(sum(np.prod(array.grid) for array in boxes.arrays))
    with examples.feed(range(10**9), faults=STOP) as feed:
        for _ in range(taken):
            next(feed)
        assert feed_threads()
        wait_until(lambda: any(map(boxes.shelf.uses, keys)))
    assert not feed_threads()
    assert not any(map(boxes.shelf.uses, keys))


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_window_that_comes_twice_an_epoch_is_changed_anew(examples_of):
    dataset = {"name": "salt", "label": "salt", "weight": 2}
    examples, _ = examples_of(dataset=dataset, augment={"noise": 0.2})
    seen = {}
    with examples.feed(range(examples.order.steps_per_epoch), faults=STOP) as feed:
        for _ in range(examples.order.steps_per_epoch):
            windows, batch = feed.next_step()
            for window, amplitude in zip(windows.tolist(), batch.input.numpy(), strict=True):
                if window != PADDING:
                    seen.setdefault(window, []).append(amplitude)
    for first, second in seen.values():
        assert not first.any() or not np.array_equal(first, second)


@pytest.mark.parametrize("kept", ["tensor", "array"])
def test_memory_is_used_again_only_when_nothing_refers_to_it(kept):
    memory = ReusedMemory()
    first, array = memory.tensor((4, 3), dtype=np.dtype("float32"))
    first.fill_(1)
    view, address = (first[2] if kept == "tensor" else array[2].view(np.int32)[:2]), first.data_ptr()
    del first, array
    second, _ = memory.tensor((4, 3), dtype=np.dtype("float32"))
    assert second.data_ptr() != address
    second.fill_(2)
    assert (torch.as_tensor(view).view(torch.float32) == 1).all()
    del view
    third, _ = memory.tensor((6, 2), dtype=np.dtype("float32"))
    assert third.data_ptr() == address
