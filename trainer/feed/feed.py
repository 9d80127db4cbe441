"""Batches read ahead by threads, in the order's sequence; memory holds those under way and no more.

    planner   step by step: which windows, and where they lie; announces stretches of lanes as they begin
    readers   window by window: copy from chunks that are decoded once, and make of it what the batch is made of
    consumer  batch by batch, in order

Threads, never processes: a forked child inherits the locks of codec libraries, and a copy of whatever is held. Readers
copy and decode outside the interpreter lock.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from data_catalog import InputError
from trainer.config import FeedConfig
from trainer.feed.audit import AuditFile
from trainer.feed.faulty_windows import FaultPolicy
from trainer.feed.sources import Sources
from trainer.feed.window_reader import Request, Samples
from trainer.plan.order import PADDING, Order, slots_of_rank
from trainer.plan.windows import Indices
from trainer.ranks import Ranks
from trainer.reads.faults import ChunkFaultError

Key = tuple[int, ...]
"""Epoch and window; and the place in the order, where an epoch may take that window several times."""

BatchT = TypeVar("BatchT")
MadeT = TypeVar("MadeT", covariant=True)


class Maker(Protocol[MadeT]):
    """Makes batches of windows; several threads fill them, each window by one of them."""

    @property
    def window_nbytes(self) -> int:
        """Bytes of one window in a batch."""

    def begin(self, windows: int) -> tuple[MadeT, Sequence[Samples]]:
        """A batch to be filled, and the arrays that its samples lie in, (window, ...) each."""

    def fill(self, into: Sequence[Samples], *, key: Key, request: Request, announced: bool) -> None:
        """Reads a window and puts it into its place, arrays without the first dimension.

        What is random about it follows from the key alone, and an epoch has each key once.

        Raises:
            ChunkFaultError: If a chunk cannot be used.
        """

    def leave_empty(self, into: Sequence[Samples]) -> None:
        """Puts no window into a place, so that it weighs nothing."""


@dataclass(slots=True)
class _Step(Generic[BatchT]):
    """A batch under way.

    Attributes:
        number: Of the step.
        epoch: That it belongs to.
        windows: Which ones, `PADDING` included.
        batch: What is filled.
        arrays: What its samples lie in.
        left: Windows that are not yet in their places.
        done: Set when there are none left.
        error: What stopped one of them.
        lock: Held while counting.
    """

    number: int
    epoch: int
    windows: Indices
    batch: BatchT
    arrays: Sequence[Samples]
    left: int
    done: Event = field(default_factory=Event)
    error: BaseException | None = None
    lock: Lock = field(default_factory=Lock)

    def count_one(self) -> None:
        with self.lock:
            self.left -= 1
            if not self.left:
                self.done.set()


@dataclass(frozen=True, slots=True)
class _Job(Generic[BatchT]):
    """One window to be put in its place."""

    step: _Step[BatchT]
    place: int
    window: int
    request: Request | None


class Feed(Generic[BatchT]):
    """An iterator over the batches of one rank; close it, or use it in a ``with``.

    Attributes:
        wait_s: Seconds that the consumer has waited for batches so far.
    """

    def __init__(  # noqa: PLR0913 (all but three by name)
        self,
        maker: Maker[BatchT],
        sources: Sources,
        order: Order,
        *,
        ranks: Ranks,
        steps: range,
        threads: int,
        look_ahead: int,
        faults: FaultPolicy,
        audit: AuditFile | None = None,
    ) -> None:
        """Starts reading.

        Args:
            maker: Makes batches.
            sources: Their windows.
            order: Which windows each step takes.
            ranks: Which part of them is this process's.
            steps: Steps of the run to feed, one after the other.
            threads: Readers.
            look_ahead: Batches under way or ready at any time.
            faults: What to do about chunks that cannot be used.
            audit: Takes down what is fed; None keeps nothing.
        """
        self.wait_s = 0.0
        self._maker, self._sources, self._order, self._faults, self._audit = maker, sources, order, faults, audit
        self._announces = not order.groups.are_single  # chunks for a single window are kept for nobody
        self._slots = np.array(slots_of_rank(order.batch_size, rank=ranks.rank, world_size=ranks.world_size))
        self._stretches: dict[int, deque[int]] = {}  # what is left of those that were announced, by lane
        self._unread: list[int] = []
        self._room = Semaphore(look_ahead)
        self._jobs: SimpleQueue[_Job[BatchT] | None] = SimpleQueue()
        self._ready: SimpleQueue[_Step[BatchT] | BaseException | None] = SimpleQueue()
        self._closed = False
        planner = Thread(target=self._plan, args=(steps,), name="feed-planner", daemon=True)
        readers = [Thread(target=self._read, name=f"feed-{number}", daemon=True) for number in range(threads)]
        self._threads = [planner, *readers]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[BatchT]:
        return self

    def __next__(self) -> BatchT:
        return self.next_step()[1]

    def next_step(self) -> tuple[Indices, BatchT]:
        """The next batch, and the numbers of its windows, `PADDING` where there is none; raises as ``next`` does."""
        if self._closed:
            raise StopIteration
        started = time.perf_counter()
        step = self._ready.get()
        if step is None or isinstance(step, BaseException):
            self.close()
            raise step or StopIteration
        step.done.wait()
        self._room.release()
        if step.error is not None:
            self.close()
            raise step.error
        self.wait_s += time.perf_counter() - started
        if self._audit:
            self._audit.write(step.number, epoch=step.epoch, slots=self._slots, windows=step.windows)
        return step.windows, step.batch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops reading; waits for the windows that are being read, and keeps no chunk for the others."""
        self._closed = True
        self._room.release()
        for thread in self._threads:
            thread.join()
        if self._announces:
            left = [window for stretch in self._stretches.values() for window in stretch]
            self._sources.withdraw(np.array(self._unread + left, dtype=np.int64))
            self._unread, self._stretches = [], {}

    def _plan(self, steps: range) -> None:
        try:
            for number in steps:
                self._room.acquire()
                if self._closed:
                    break
                self._begin(number)
            self._ready.put(None)
        except BaseException as error:  # the consumer's thread raises it
            self._ready.put(error)
        finally:
            for _ in self._threads[1:]:
                self._jobs.put(None)

    def _begin(self, number: int) -> None:
        epoch, place = divmod(number, self._order.steps_per_epoch)
        windows = self._windows(place, epoch=epoch)
        taken = np.flatnonzero(windows != PADDING)
        requests = dict(zip(taken.tolist(), self._sources.requests(windows[taken]), strict=True))
        step = _Step(number, epoch, windows, *self._maker.begin(len(windows)), left=len(windows))
        self._ready.put(step)  # nothing fails behind it: whoever has it waits for all of its windows
        for at, window in enumerate(windows.tolist()):
            self._jobs.put(_Job(step, at, window, requests.get(at)))

    def _windows(self, place: int, *, epoch: int) -> Indices:
        """The windows of this rank's slots; announces the stretches that begin with them."""
        lanes, places = (each[self._slots] for each in self._order.turns(place, epoch=epoch))
        if not self._announces:
            return self._order.single(lanes, places, epoch=epoch)
        windows = np.full(len(self._slots), PADDING)
        for at, (lane, of_lane) in enumerate(zip(lanes.tolist(), places.tolist(), strict=True)):
            if lane == PADDING:
                continue
            if not self._stretches.get(lane):
                stretch = self._order.stretch(lane, of_lane, epoch=epoch)
                self._sources.announce(stretch)
                self._stretches[lane] = deque(stretch.tolist())
            windows[at] = self._stretches[lane].popleft()
        return windows

    def _read(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if not self._closed:
                    self._do(job)
                elif job.request is not None:
                    self._unread.append(job.window)
            except BaseException as error:  # the consumer's thread raises it
                job.step.error = error
            job.step.count_one()

    def _do(self, job: _Job[BatchT]) -> None:
        step, place, window, request = job.step, job.place, job.window, job.request
        if request is not None:
            in_order = step.number * self._order.batch_size + int(self._slots[place])
            key = (step.epoch, window, in_order) if self._order.groups.repeat else (step.epoch, window)
            if self._fill(step, place, key=key, request=request, announced=self._announces):
                return
            for other in self._faults.substitutes(window, epoch=step.epoch, of=self._order.groups.taken):
                request = self._sources.requests(np.array([other]))[0]
                if self._fill(step, place, key=(step.epoch, other, in_order), request=request, announced=False):
                    step.windows[place] = other
                    return
        step.windows[place] = PADDING
        self._maker.leave_empty([array[place, ...] for array in step.arrays])

    def _fill(self, step: _Step[BatchT], place: int, *, key: Key, request: Request, announced: bool) -> bool:
        into = [array[place, ...] for array in step.arrays]
        try:
            self._maker.fill(into, key=key, request=request, announced=announced)
        except ChunkFaultError as fault:
            self._faults.record(fault, step=step.number, window=key[1])
            return False
        return True


def look_ahead_batches(config: FeedConfig, *, batch_nbytes: int) -> int:
    """Batches that may be under way: as many as wanted, as far as there is room beside the one that is worked on.

    Raises:
        InputError: With the bytes needed, if there is not even room for two.
    """
    room = config.in_flight_nbytes // batch_nbytes - 1
    if room < 1:
        raise InputError(
            f"config.feed.in_flight_nbytes is {config.in_flight_nbytes}, and two batches of a rank take "
            f"{2 * batch_nbytes} bytes: allow at least that, or choose a smaller batch_size, or more ranks."
        )
    return min(config.look_ahead_batches, room)
