import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data_catalog import InputError
from trainer.reads.shelf import ChunkShelf


def make(shelf, key, nbytes=100):
    assert shelf.hold(key) is None
    memory = shelf.room(nbytes)
    memory[:] = key
    shelf.put(key, memory, memory=memory)
    return memory


def test_announced_chunks_stay_until_their_last_use():
    shelf = ChunkShelf(budget_nbytes=300)
    shelf.announce([(1, 2)])
    for key in (1, 2, 3, 4, 5):
        make(shelf, key)
        shelf.let_go(key)
    held = shelf.hold(1)
    assert held is not None
    assert (held == 1).all()
    shelf.let_go(1)
    for _ in range(2):
        shelf.end_use(1)
    assert shelf.uses(1) == 0
    for key in (6, 7, 8):
        make(shelf, key)
        shelf.let_go(key)
    assert shelf.hold(1) is None
    assert shelf.peak_nbytes == 300


def test_what_nobody_announced_stays_while_there_is_room():
    shelf = ChunkShelf(budget_nbytes=300)
    for key in (1, 2, 3):
        make(shelf, key)
        shelf.let_go(key)
    assert shelf.hold(1) is not None
    shelf.let_go(1)
    make(shelf, 4)  # takes the place of 2, which was used longest ago
    shelf.let_go(4)
    assert shelf.hold(3) is not None
    assert shelf.hold(1) is not None
    assert shelf.hold(2) is None


def test_memory_of_one_size_makes_room_for_another():
    shelf = ChunkShelf(budget_nbytes=300)
    for key, nbytes in ((1, 100), (2, 200), (3, 150), (4, 150), (5, 300)):
        make(shelf, key, nbytes)
        shelf.let_go(key)
        assert shelf.taken_nbytes <= 300
    assert shelf.hold(4) is None


def test_announced_chunks_that_leave_no_room_go_and_come_again():
    shelf = ChunkShelf(budget_nbytes=200)
    shelf.announce([(1, 1), (2, 1), (3, 1)])
    for key in (1, 2, 3):
        make(shelf, key)
        shelf.let_go(key)
    make(shelf, 1)
    shelf.let_go(1)
    for key in (1, 2, 3):
        shelf.end_use(key)


def test_a_chunk_is_made_by_one_thread_for_all():
    shelf, made = ChunkShelf(budget_nbytes=1000), []

    def use(_):
        samples = shelf.hold(7)
        if samples is None:
            made.append(threading.get_ident())
            time.sleep(0.05)
            memory = shelf.room(100)
            memory[:] = 7
            shelf.put(7, memory, memory=memory)
            samples = memory
        assert (samples == 7).all()
        shelf.let_go(7)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(use, range(8)))
    assert len(made) == 1


def test_whoever_waits_tries_again_when_a_maker_gives_up():
    shelf, outcomes = ChunkShelf(budget_nbytes=1000), []

    def use(_):
        if shelf.hold(7) is None:
            memory = shelf.room(100)
            time.sleep(0.01)
            outcomes.append("gave up")
            shelf.withdraw(7, memory=memory)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(use, range(4)))
    assert outcomes == ["gave up"] * 4
    assert shelf.taken_nbytes == 100, "its memory was used again"


def test_many_threads_within_a_budget_of_one_chunk():
    shelf = ChunkShelf(budget_nbytes=100)
    generator = np.random.default_rng(0)
    keys = generator.integers(5, size=400).tolist()
    shelf.announce([(key, keys.count(key)) for key in set(keys)])

    def use(key):
        samples = shelf.hold(key)
        if samples is None:
            samples = memory = shelf.room(100)
            memory[:] = key
            shelf.put(key, samples, memory=memory)
        correct = (samples == key).all()
        shelf.let_go(key)
        shelf.end_use(key)
        return correct

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(use, keys, timeout=60))
    assert shelf.peak_nbytes == 100
    assert not any(shelf.uses(key) for key in range(5))


def test_room_comes_from_a_chunk_that_was_let_go_with_uses_to_come():
    shelf = ChunkShelf(budget_nbytes=100)
    shelf.announce([(1, 2)])
    make(shelf, 1)
    maker = threading.Thread(target=make, args=(shelf, 2), daemon=True)
    maker.start()
    maker.join(0.1)
    assert maker.is_alive(), "there is no room yet"
    shelf.let_go(1)
    maker.join(10)
    assert not maker.is_alive()


@pytest.mark.parametrize("announced", [True, False])
def test_chunks_of_mapped_files_take_no_memory_and_are_forgotten(announced):
    shelf = ChunkShelf(budget_nbytes=0)
    if announced:
        shelf.announce([(1, 1)])
    assert shelf.hold(1) is None
    shelf.put(1, np.arange(4), memory=None)
    shelf.let_go(1)
    if announced:
        assert shelf.hold(1) is not None
        shelf.let_go(1)
        shelf.end_use(1)
    assert shelf.hold(1) is None


def test_a_chunk_that_never_has_room_is_refused():
    with pytest.raises(InputError, match="a chunk alone takes 300 bytes"):
        ChunkShelf(budget_nbytes=200).room(300)
