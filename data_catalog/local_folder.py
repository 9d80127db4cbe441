"""A catalog on a file system: a JSON file for each entry, replaced atomically under a lock."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_catalog.errors import InputError
from data_catalog.folder import MOST_ENTRY_NBYTES, UNFINISHED_FOLDER, Standing, Step
from data_catalog.schema import NAME_PATTERN
from data_catalog.storage import read_small_file, remove_leftovers, write_atomically
from data_catalog.unfinished import read_unfinished, write_unfinished


class LocalFolder:
    """``NAME.json`` for each entry, ``unfinished/NAME.json`` for each record; see `data_catalog.folder.Folder`.

    A file is written beside its place, flushed, and renamed. A lock on the folder, held from reading to renaming and
    released by the kernel with the process, makes one step of it. Where there are both files, the entry counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)

    def is_there(self) -> bool:
        """Whether there is such a folder."""
        return self.path.is_dir()

    def names(self) -> list[str]:
        """Names that have a file."""
        return _names(self.path)

    def unfinished_names(self) -> list[str]:
        """Names that have a record and no file."""
        return sorted(set(_names(self.path / UNFINISHED_FOLDER)) - set(self.names()))

    def standings(self) -> Iterator[tuple[str, Standing | InputError]]:
        """Reads all files, one after another."""
        for name in sorted({*self.names(), *self.unfinished_names()}):
            try:
                yield name, self.read(name)
            except InputError as error:
                yield name, error

    def path_of(self, name: str) -> str:
        """The entry's file."""
        return str(self._entry(name))

    def read(self, name: str) -> Standing:
        """The entry's file, or the record where there is none."""
        for _ in range(2):  # of a dataset that is published in between, the entry is looked for too early
            with suppress(FileNotFoundError):
                return Standing(entry=read_small_file(self._entry(name), limit_nbytes=MOST_ENTRY_NBYTES))
            if (record := read_unfinished(self._record(name))) is not None:
                return Standing(unfinished=record)
        return Standing()

    def change(self, name: str, step: Step) -> None:
        """Takes a step under the lock. Killed at any moment, it leaves the old standing or the new one."""
        with self._locked():
            present = self.read(name)
            new = step(present)
            entry, record = self._entry(name), self._record(name)
            if new.entry is not None and new.entry != present.entry:
                write_atomically(entry, new.entry.decode())
            elif new.unfinished is not None and new.unfinished != present.unfinished:
                write_unfinished(record, new.unfinished)
            if new.entry is None:
                entry.unlink(missing_ok=True)
            if new.unfinished is None:
                record.unlink(missing_ok=True)
            remove_leftovers(entry)
            remove_leftovers(record)

    def check_writable(self) -> None:
        """Makes the folder, and takes the lock."""
        with self._locked():
            pass

    def _entry(self, name: str) -> Path:
        return self.path / f"{name}.json"

    def _record(self, name: str) -> Path:
        return self.path / UNFINISHED_FOLDER / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / ".lock", "a")  # noqa: SIM115 (closed below, after the lock is released)
        except OSError as error:
            raise InputError(
                f"the catalog folder {self.path} cannot be written ({error.strerror}): "
                "name another one with --catalog or $TRACEMILL_CATALOG."
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.json") if re.fullmatch(NAME_PATTERN, path.stem))
