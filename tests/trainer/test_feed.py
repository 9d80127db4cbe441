import threading

import numpy as np
import pytest

from data_catalog import InputError
from trainer.config import FeedConfig
from trainer.config_file import read_config
from trainer.experiment import prepare
from trainer.feed import ExampleSource, Feed
from trainer.order import PADDING, global_batch, steps_per_epoch
from trainer.ranks import Ranks


@pytest.fixture
def source_of(stores, salt_stack, write_recipe):
    """Makes the training source of the salt recipe; keyword arguments replace its sections."""

    def make(**changes):
        experiment = prepare(read_config(write_recipe(**changes)), catalog=stores.catalog)
        order = experiment.training_order()
        return ExampleSource(experiment.reader(), order, experiment.task, experiment.network_axes, seed=0), experiment

    return make


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_are_cut_from_the_store(source_of, threads):
    source, experiment = source_of()
    steps = range(2 * steps_per_epoch(source.order, batch_size=8))
    amplitude = experiment.stored.array[...]
    live, salt = experiment.dataset.live(experiment.stored.variable)[...], experiment.label.array[...]
    with Feed(source, config=FeedConfig(threads=threads), batch_size=8, ranks=Ranks(), steps=steps) as feed:
        count = 0
        for step, batch in zip(steps, feed, strict=True):
            for place, window in enumerate(global_batch(source.order, step=step, batch_size=8)[1]):
                if window == PADDING:
                    assert not batch.weight[place].any()
                    continue
                inline, *corner = source.order.plan.origin(int(window))
                cut = (inline, *(slice(first, first + 16) for first in corner))
                recorded = np.broadcast_to(live[cut[:-1]][:, None], (16, 16))
                expected = np.where(recorded, experiment.normalisation.apply(amplitude[cut]), 0)
                np.testing.assert_array_equal(batch.input[place, 0], expected)
                np.testing.assert_array_equal(batch.weight[place], recorded)
                np.testing.assert_array_equal(batch.target[place], np.where(recorded, salt[cut], 0))
            count += 1
    assert count == len(steps)


def test_two_ranks_are_fed_the_halves_of_one(source_of):
    source, _ = source_of()
    config, steps = FeedConfig(), range(3)
    alone = list(Feed(source, config=config, batch_size=8, ranks=Ranks(), steps=steps))
    for rank in (0, 1):
        ranks = Ranks(rank=rank, world_size=2)
        for whole, part in zip(alone, Feed(source, config=config, batch_size=8, ranks=ranks, steps=steps), strict=True):
            np.testing.assert_array_equal(part.input, whole.input[4 * rank : 4 * rank + 4])


def test_decoded_chunks_stay_within_a_budget_smaller_than_the_store(source_of):
    budget_nbytes = 64 * 1024
    source, _ = source_of(feed={"budget_nbytes": budget_nbytes, "threads": 4})
    cache = source.reader.cache
    with Feed(source, config=FeedConfig(threads=4), batch_size=8, ranks=Ranks(), steps=range(40)) as feed:
        assert sum(1 for _ in feed) == 40
    stored_nbytes = sum(array.nbytes for array in cache.arrays.values())
    assert 0 < cache.peak_nbytes <= budget_nbytes < stored_nbytes


def test_a_budget_below_one_window_is_refused_with_the_figure(source_of):
    needed = (4 * 32 * 40) * (4 + 1) + 4 * 32  # amplitude and salt; live
    with pytest.raises(InputError, match=f"can take {needed} bytes: allow at least that"):
        source_of(feed={"budget_nbytes": needed - 1})
    source_of(feed={"budget_nbytes": needed})


def test_an_error_in_a_reader_thread_surfaces_and_threads_end(source_of, stores):
    source, _ = source_of()
    for chunk in (stores.folder / "salt.zarr/amplitude/c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:-40])
    with (
        pytest.raises(InputError, match=r"chunk .* of .*salt.zarr/amplitude cannot be read"),
        Feed(source, config=FeedConfig(), batch_size=8, ranks=Ranks(), steps=range(20)) as feed,
    ):
        list(feed)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


def test_closing_early_ends_the_threads(source_of):
    source, _ = source_of()
    with Feed(source, config=FeedConfig(), batch_size=8, ranks=Ranks(), steps=range(10**9)) as feed:
        next(feed)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed")]
