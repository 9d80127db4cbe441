"""One writer at a time: a file in a store's ``work/`` that says who is writing, and is renewed while that goes on.

A lease is *taken* by creating its file exclusively, *renewed* by replacing the file, and *given back* by deleting it.
It is *dead*, and taken over by the next who asks, when

- its process ran on this machine and runs no more, whatever the clock says, or
- this machine cannot ask for that process, and the lease neither looks renewed within the last ``EXPIRY_S`` by this
  machine's clock nor changes while it is watched for ``WATCH_S``: clocks of two machines may differ, renewals show.

Of several that find the same lease dead, the one that creates ``lease.TOKEN.json`` first, TOKEN being the dead one's,
may replace it. That file is a lease like any other: should its holder die in these moments, it is taken over as well.

A writer that slept too long may have been taken over without knowing: it learns from its next renewal, by the token.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from data_catalog import process
from data_catalog.errors import InputError, WorkError
from data_catalog.lease_file import LeaseFile, LeaseRecord, lease_file
from data_catalog.storage import reached

RENEW_S = 10.0
"""Time between renewals."""

EXPIRY_S = 60.0
"""A lease of another machine that was not renewed for so long may be dead."""

WATCH_S = 3 * RENEW_S
"""How long a lease that may be dead is watched for a renewal before it is taken over."""

ATTEMPTS = 5
"""How often a lease is asked for when it changes hands meanwhile."""


class Lease:
    """A lease that this process holds; made by ``hold_lease``."""

    def __init__(self, url: str, file: LeaseFile, record: LeaseRecord) -> None:
        self.record = record
        self._url = url
        self._file = file
        self._lost: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_renewing, name=f"lease on {url}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether this process may not write any more."""
        return self._lost is not None

    def check(self) -> None:
        """Sees that the lease is still held, as of its last renewal.

        Raises:
            WorkError: If another process took over.
        """
        if self._lost is not None:
            raise WorkError(self._lost)

    def give_back(self) -> None:
        """Ends the lease.

        Raises:
            WorkError: If its file cannot be deleted.
        """
        self._ended.set()
        self._thread.join()
        try:
            if self._file.is_held_by(self.record):
                self._file.delete()
        except Exception as error:
            raise WorkError(
                f"the lease on {self._url} could not be given back ({type(error).__name__}: {error}): "
                f"it ends with this process, for other machines {EXPIRY_S:.0f} s later."
            ) from error

    def _keep_renewing(self) -> None:
        last_success = time.monotonic()
        while self._lost is None and not self._ended.wait(RENEW_S):
            try:
                self._lost = self._renew()
                last_success = time.monotonic()
            except Exception as error:  # a network may come back; until the lease looks dead to others, nothing is lost
                if time.monotonic() - last_success > EXPIRY_S:
                    self._lost = (
                        f"the lease on {self._url} could not be renewed for {EXPIRY_S:.0f} s "
                        f"({type(error).__name__}: {error}), and another process may have taken over: "
                        "repeat the command once the store can be reached."
                    )

    def _renew(self) -> str | None:
        """Renews the lease; returns why that may not be done, if so."""
        present = self._file.read()
        if present is None:
            return f"the lease on {self._url} is gone, so the store is no longer this process's: was it deleted?"
        if present.token != self.record.token:
            return f"another process took over {self._url}: {present}. Repeat the command once it is done."
        self._file.replace(self.record.model_copy(update={"renewed": _now()}))
        return None


@contextmanager
def hold_lease(url: str, *, purpose: str) -> Iterator[Lease]:
    """Makes this process the only writer of a store while the block lasts.

    Args:
        url: The store. A local folder that does not exist is made.
        purpose: What it is held for, for others to read, e.g. ``convert survey``.

    Yields:
        The lease: call its ``check`` before what must not be done by two.

    Raises:
        InputError: If another process holds it: who, since when, and what to do; or if the store cannot be written.
    """
    record = _new_record(purpose)
    with reached(url):
        file = lease_file(url)
        try:
            _acquire(file, record)
        except _HeldError as held:
            raise InputError(
                f"{url} is in use by {held.record}. Repeat the command once that is done, or end that process. "
                f"If it was killed, {held.record.host} can take over at once, and any other machine after "
                f"{EXPIRY_S:.0f} s without a renewal."
            ) from None
    lease = Lease(url, file, record)
    try:
        yield lease
    finally:
        lease.give_back()


def live_lease(url: str) -> LeaseRecord | None:
    """Who is writing a store; None where nobody is, by this machine's clock.

    Raises:
        InputError: If the store cannot be read.
    """
    with reached(url):
        record = lease_file(url).read()
    return record if record is not None and _looks_alive(record) else None


class _HeldError(Exception):
    """Another process holds the lease."""

    def __init__(self, record: LeaseRecord) -> None:
        self.record = record
        super().__init__(str(record))


def _acquire(file: LeaseFile, mine: LeaseRecord) -> None:
    """Puts a record into a lease's file, if nobody alive has one there."""
    for _ in range(ATTEMPTS):
        present = file.read()
        if present is None:
            if file.create(mine):
                return
        elif not _is_dead(file, present):
            raise _HeldError(file.read() or present)
        elif _take_over(file, present, mine):
            return
    raise InputError(f"{file.path} changed hands {ATTEMPTS} times while it was asked for: repeat the command.")


def _take_over(file: LeaseFile, dead: LeaseRecord, mine: LeaseRecord) -> bool:
    """Replaces a dead record; False if another process did so before."""
    claim = file.beside(f"lease.{dead.token}.json")
    _acquire(claim, mine)
    try:
        if not file.is_held_by(dead):
            return False
        file.replace(mine)
        return file.is_held_by(mine)
    finally:
        claim.delete()


def _is_dead(file: LeaseFile, record: LeaseRecord) -> bool:
    if _looks_alive(record):
        return False
    if _process_runs(record) is False:
        return True
    watched_until = time.monotonic() + WATCH_S
    while time.monotonic() < watched_until:
        time.sleep(RENEW_S / 10)
        if file.read() != record:
            return False
    return True


def _looks_alive(record: LeaseRecord) -> bool:
    runs = _process_runs(record)
    return abs((_now() - record.renewed).total_seconds()) <= EXPIRY_S if runs is None else runs


def _process_runs(record: LeaseRecord) -> bool | None:
    """Whether the holder still runs; None where this machine cannot tell."""
    if record.machine != process.machine():
        return None
    return process.is_running(record.pid, start_time=record.process_started)


def _new_record(purpose: str) -> LeaseRecord:
    pid, now = os.getpid(), _now()
    return LeaseRecord(
        token=uuid.uuid4().hex,
        purpose=purpose,
        user=process.user(),
        host=socket.gethostname(),
        machine=process.machine(),
        pid=pid,
        process_started=process.start_time_ticks(pid),
        since=now,
        renewed=now,
    )


def _now() -> datetime:
    return datetime.now(UTC)
