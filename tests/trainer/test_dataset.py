import hashlib

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data_catalog import InputError
from trainer import WindowDataset
from trainer.config import FeedConfig, OrderConfig
from trainer.ranks import Ranks
from trainer.reads.objects import FileSystemObjects

WINDOW = {"crossline": 16, "time": 16}


@pytest.fixture
def open_windows(stores, salt_stack):
    def open_(**settings):
        return WindowDataset(
            "salt", catalog=stores.catalog.place, **({"window": WINDOW, "batch_size": 8, "label": "salt"} | settings)
        )

    return open_


@pytest.fixture
def arrays(stores, salt_stack):
    import zarr

    group = zarr.open_group(salt_stack.url, mode="r")
    return {name: group[name][...] for name in ("amplitude", "salt", "live")}


def cut_of(dataset, window):
    (first,), (end,) = dataset.plan.ranges(np.array([window]))
    return first[0], *(slice(a, b) for a, b in zip(first[1:], end[1:], strict=True))


def test_a_batch_is_what_the_store_holds(open_windows, arrays):
    dataset = open_windows(normalise=False, stride={"crossline": 7, "time": 7})
    batches = list(dataset)
    assert len(batches) == len(dataset)
    for batch in batches:
        assert {name: (tuple(part.shape), part.dtype) for name, part in batch.items()} == {
            "input": ((8, 16, 16), torch.float32),
            "live": ((8, 16), torch.bool),
            "label": ((8, 16, 16), torch.uint8),
            "window": ((8,), torch.int64),
        }
        for place, window in enumerate(batch["window"].tolist()):
            if window < 0:
                assert not any(batch[name][place].any() for name in ("input", "live"))
                assert (batch["label"][place] == 255).all(), "the ignore value"
                continue
            cut = cut_of(dataset, window)
            np.testing.assert_array_equal(batch["input"][place], arrays["amplitude"][cut])
            np.testing.assert_array_equal(batch["label"][place], arrays["salt"][cut])
            np.testing.assert_array_equal(batch["live"][place], arrays["live"][cut[:-1]])
    seen = np.concatenate([batch["window"] for batch in batches])
    assert sorted(seen[seen >= 0]) == list(range(len(dataset.plan)))
    assert (seen < 0).any(), "the case should have a tail"


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8", "float64"])
def test_inputs_may_have_the_type_of_their_source(stores, dtype):
    import zarr

    entry = stores.make_salt("own", dtype=dtype) if dtype != "uint8" else stores.make_line("own", dtype=dtype)
    window = {"crossline": 16, "time": 16} if dtype != "uint8" else {"trace": 16, "time": 16}
    stored = zarr.open_group(entry.url, mode="r")["amplitude"][...].astype(np.float32)
    settings = {"catalog": stores.catalog.place, "window": window, "batch_size": 4}
    datasets = [WindowDataset("own", normalise=normalise, **settings) for normalise in (False, True)]
    raw, normalised = (next(iter(dataset)) for dataset in datasets)
    assert raw["input"].dtype == normalised["input"].dtype == torch.float32
    (first,), (end,) = datasets[0].plan.ranges(np.array([int(raw["window"][0])]))
    expected = stored[tuple(slice(a, b) for a, b in zip(first, end, strict=True))]
    np.testing.assert_array_equal(raw["input"][0], expected.reshape(raw["input"][0].shape))
    live = raw["live"].numpy()
    before, after = raw["input"].numpy()[live].ravel(), normalised["input"].numpy()[live].ravel()
    slope, shift = np.polyfit(before.astype(np.float64), after.astype(np.float64), 1)
    np.testing.assert_allclose(after, slope * before + shift, atol=1e-4)
    assert 0.3 < after.std() < 3


def test_inputs_and_labels_may_share_the_examples_alone(stores):
    import zarr

    group = zarr.open_group(stores.make_examples("shots").url, mode="r")
    dataset = WindowDataset(
        "shots",
        catalog=stores.catalog.place,
        window={"shot": 2, "time": 20, "receiver": 6},
        batch_size=4,
        label="velocity",
        normalise=False,
    )
    seen = []
    for batch in dataset:
        assert batch["input"].shape == (4, 2, 20, 6)
        assert batch["label"].shape == (4, 7, 9)
        for place, window in enumerate(batch["window"].tolist()):
            if window >= 0:
                seen.append(window)
                np.testing.assert_array_equal(batch["input"][place], group["gathers"][window])
                np.testing.assert_array_equal(batch["label"][place], group["velocity"][window])
                assert batch["live"][place].all()
    assert sorted(seen) == list(range(19))


def test_splits_are_normalised_alike(open_windows):
    normalisations = {open_windows(split=split).reader.normalisation for split in ("train", "validation")}
    assert len(normalisations) == 1


@pytest.mark.parametrize("edges", ["shift", "pad"])
def test_inputs_are_normalised_and_0_where_nothing_was_recorded(open_windows, arrays, edges):
    dataset = open_windows(window={"crossline": 20, "time": 24}, edges=edges, shuffle=False)
    normalisation = dataset.reader.normalisation
    for batch in dataset:
        for place, window in enumerate(batch["window"].tolist()):
            cut = cut_of(dataset, window) if window >= 0 else (slice(0, 0), slice(0, 0))
            expected = np.zeros((20, 24), np.float32)
            if window >= 0:
                samples = np.where(arrays["live"][cut[:-1]][:, None], normalisation.apply(arrays["amplitude"][cut]), 0)
                expected[: samples.shape[0], : samples.shape[1]] = samples
            np.testing.assert_array_equal(batch["input"][place], expected)


def test_batches_stay_as_they_are(open_windows):
    """Memory is used again, but not under the feet of whoever keeps a batch."""
    kept = list(open_windows(feed=FeedConfig(look_ahead_batches=1)))
    for batch, again in zip(kept, open_windows(), strict=True):
        for name, part in batch.items():
            assert torch.equal(part, again[name])


def test_each_iteration_is_the_next_epoch(open_windows):
    dataset = open_windows()
    first, second = ([batch["window"] for batch in dataset] for _ in range(2))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    dataset.set_epoch(0)
    assert torch.equal(torch.cat(first), torch.cat([batch["window"] for batch in dataset]))


EPOCHS = 2


@pytest.fixture
def open_ranks(open_windows):
    """The part of each rank, for a number of them."""

    def open_(world_size):
        return [open_windows(ranks=Ranks(rank=rank, world_size=world_size)) for rank in range(world_size)]

    return open_


def global_batches(parts, *, epoch=0, samples_seen=0):
    """What all ranks together are fed from a place on, (step, slot)."""
    of_ranks = []
    for part in parts:
        state = part.state_dict() | {"epoch": epoch, "samples_seen": samples_seen}
        part.load_state_dict(state)
        of_ranks.append(torch.stack([batch["window"] for _ in range(EPOCHS - epoch) for batch in part]).numpy())
    merged = np.empty((len(of_ranks[0]), 8), np.int64)
    for rank, windows in enumerate(of_ranks):
        merged[:, rank :: len(parts)] = windows
    return merged


def test_any_number_of_ranks_is_fed_the_same_global_batches(open_ranks):
    hashes = {}
    for world_size in (1, 2, 3, 4, 5, 8):
        parts = open_ranks(world_size)
        windows = global_batches(parts)
        hashes[world_size] = hashlib.sha256(windows.tobytes()).hexdigest()
        for of_epoch in np.split(windows, EPOCHS):
            assert sorted(of_epoch[of_epoch >= 0]) == list(range(len(parts[0].plan))), "each window once"
            assert (of_epoch[:-1] >= 0).all(), "padding in the last batch alone"
    assert len(set(hashes.values())) == 1


def test_fifty_resumes_at_random_steps_on_other_numbers_of_ranks(open_ranks):
    ranks = {world_size: open_ranks(world_size) for world_size in (1, 2, 3, 5)}
    whole, generator = global_batches(ranks[1]), np.random.default_rng(0)
    for step in generator.integers(len(whole), size=50).tolist():
        epoch, place = divmod(step, len(whole) // EPOCHS)
        parts = ranks[int(generator.choice(list(ranks)))]
        np.testing.assert_array_equal(global_batches(parts, epoch=epoch, samples_seen=8 * place), whole[step:])


@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_a_state_goes_on_on_any_number_of_ranks(open_windows, world_size):
    whole = open_windows()
    expected = [batch["window"] for _ in range(2) for batch in whole]
    for steps in (1, len(whole) - 1, len(whole), len(whole) + 2):
        dataset = open_windows()
        iterator = (batch for _ in range(2) for batch in dataset)
        for _ in range(steps):
            next(iterator)
        iterator.close()
        state = dataset.state_dict()
        assert state.keys() == {"version", "seed", "epoch", "samples_seen", "plan"}
        for rank in range(world_size):
            other = open_windows(ranks=Ranks(rank=rank, world_size=world_size))
            other.load_state_dict(state)
            rest = [batch["window"] for _ in range(2 - state["epoch"]) for batch in other]
            for ours, of_all in zip(rest, expected[steps:], strict=True):
                assert torch.equal(ours, of_all[rank::world_size])


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"stride": {"time": 3}}, {"batch_size": 9}, {"order": OrderConfig(lanes=1)}]
)
def test_a_state_of_another_order_is_refused(open_windows, changes):
    state = open_windows().state_dict()
    with pytest.raises(InputError, match="of other windows or of another order"):
        open_windows(**changes).load_state_dict(state)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 7}, r"state.version: Input should be 1, found 7"),
        ({"epoch": -3}, r"state.epoch: .* found -3"),
        ({"samples_seen": 10**7}, "has seen 10000000 windows of an epoch of"),
        ({"place": 3}, "state.place"),
        ({"plan": None}, "state.plan"),
    ],
)
def test_a_state_that_cannot_be_is_refused(open_windows, changes, sentence):
    dataset = open_windows()
    with pytest.raises(InputError, match=sentence):
        dataset.load_state_dict(dataset.state_dict() | changes)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"window": {"crosline": 16, "time": 16}}, "config.window: crosline is no dimension of"),
        ({"stride": {"tyme": 3}}, "config.stride: tyme is no dimension of"),
        ({"stride": {"time": 0}}, "WindowDataset.stride.time: Input should be greater than 0, found 0"),
        ({"window": {"crossline": 16.5, "time": 16}}, "WindowDataset.window.crossline"),
        ({"edges": "foo"}, "WindowDataset.edges: Input should be 'shift', 'drop' or 'pad'"),
        ({"batch_size": 0}, "WindowDataset.batch_size"),
        ({"seed": -1}, "WindowDataset.seed"),
        ({"feed": {"threads": 2, "thread": 3}}, "WindowDataset.feed.thread"),
        ({"select": {"min_live": 2}}, "WindowDataset.select.min_live"),
    ],
)
def test_what_makes_no_windows_is_refused_with_a_sentence(open_windows, asked, sentence):
    with pytest.raises(InputError, match=sentence):
        open_windows(**asked)


def test_sections_may_be_given_as_in_a_configuration(open_windows):
    dataset = open_windows(feed={"threads": 1}, select={"min_live": 0.1}, order={"lanes": 2})
    assert dataset.order.lanes == 2


def test_a_limit_of_faults_is_that_of_all_epochs(open_windows, stores):
    shards = (path for path in (stores.folder / "salt.zarr/amplitude/c").rglob("*") if path.is_file())
    min(shards).unlink()
    dataset = open_windows(feed={"faults": {"policy": "skip", "limit": 30}})

    def read_on():
        for _ in range(100):
            list(dataset)

    with pytest.raises(InputError, match="more than 30 windows could not be read"):
        read_on()


def test_a_piece_of_live_that_is_gone_is_no_dead_trace(open_windows, stores):
    dataset = open_windows()
    for path in (stores.folder / "salt.zarr/live/c").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(InputError, match=r"salt.zarr/live cannot be read \(missing\)"):
        list(dataset)


def test_a_data_loader_passes_batches_through_without_workers(open_windows):
    direct = [batch["window"] for batch in open_windows()]
    through = [batch["window"] for batch in DataLoader(open_windows(), batch_size=None)]
    assert torch.equal(torch.cat(direct), torch.cat(through))


def test_workers_of_a_data_loader_are_refused(open_windows):
    loader = DataLoader(open_windows(), batch_size=None, num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(InputError, match="num_workers=0"):
        next(iter(loader))


def test_more_ranks_than_windows_are_refused(open_windows):
    with pytest.raises(InputError, match="too few for 9 processes"):
        open_windows(ranks=Ranks(rank=0, world_size=9))


def test_a_dataset_on_an_object_store_is_kept_on_disk(
    open_windows, stores, salt_stack, bucket_url, tmp_path, monkeypatch
):
    from s3fs import S3FileSystem

    S3FileSystem().put(salt_stack.url, f"{bucket_url}/salt.zarr", recursive=True)
    stores.catalog.publish(salt_stack.model_copy(update={"name": "remote", "url": f"{bucket_url}/salt.zarr"}))
    feed = FeedConfig(cache={"folder": tmp_path / "cache"}, threads=4)

    def open_remote():
        return WindowDataset(
            "remote", catalog=stores.catalog.place, window=WINDOW, batch_size=8, label="salt", feed=feed
        )

    expected = list(open_windows())
    for attempt in range(2):
        for batch, local in zip(open_remote(), expected, strict=True):
            assert all(torch.equal(batch[name], part) for name, part in local.items())
        if not attempt:
            monkeypatch.setattr(FileSystemObjects, "_read", None)  # all comes from the disk now
    assert list((tmp_path / "cache").glob("*/*"))


def test_an_object_store_that_fails_now_and_then_is_asked_again(stores, salt_stack, bucket_url, monkeypatch):
    from s3fs import S3FileSystem

    S3FileSystem().put(salt_stack.url, f"{bucket_url}/salt.zarr", recursive=True)
    stores.catalog.publish(salt_stack.model_copy(update={"name": "flaky", "url": f"{bucket_url}/salt.zarr"}))
    dataset = WindowDataset("flaky", catalog=stores.catalog.place, window=WINDOW, batch_size=8)
    read, calls = FileSystemObjects._read, []

    def fails_every_third_time(self, *arguments, **settings):
        calls.append(arguments)
        if len(calls) % 3 == 0:
            raise OSError("[Errno 5] 500 internal error")
        return read(self, *arguments, **settings)

    monkeypatch.setattr(FileSystemObjects, "_read", fails_every_third_time)
    seen = torch.cat([batch["window"] for batch in dataset])
    assert sorted(seen[seen >= 0].tolist()) == list(range(len(dataset.plan)))
    assert len(calls) > 10
