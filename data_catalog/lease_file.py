"""The file of a lease: a record of who is writing, created exclusively and replaced as a whole on any file system."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import fsspec
from pydantic import AwareDatetime, ConfigDict, Field, ValidationError

from data_catalog import layout
from data_catalog.schema import Model
from data_catalog.storage import is_local, open_storage, write_atomically

SETTLE_S = 1.0
"""Pause before an object is read back: some stores let two exclusive creations pass, of which the last one stays."""


class LeaseRecord(Model):
    """Who is writing a store.

    Attributes:
        token: Tells one lease from all others.
        purpose: What it is held for, e.g. ``convert survey``.
        user: Who runs the process.
        host: Name of the machine.
        machine: What ``pid`` is unique in; see ``process.machine``.
        pid: The process.
        process_started: Its start, in clock ticks since boot; None where that cannot be known.
        since: When the lease was taken.
        renewed: When it was last renewed.
    """

    model_config = ConfigDict(extra="ignore")  # a lease of a later version holds this one off as well

    token: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    purpose: str
    user: str
    host: str
    machine: str
    pid: Annotated[int, Field(gt=0)]
    process_started: int | None
    since: AwareDatetime
    renewed: AwareDatetime

    def __str__(self) -> str:
        return (
            f"{self.user}@{self.host}, process {self.pid} ({self.purpose}), since {self.since:%Y-%m-%d %H:%M:%S %Z}, "
            f"last renewed {self.renewed:%Y-%m-%d %H:%M:%S %Z}"
        )


_EPOCH = datetime.fromtimestamp(0, UTC)
UNREADABLE = LeaseRecord(
    token="0" * 32,
    purpose="unknown",
    user="unknown",
    host="unknown",
    machine="unknown",
    pid=1,
    process_started=None,
    since=_EPOCH,
    renewed=_EPOCH,
)
"""What a file that is no record counts as: its writer was killed at once, or it is no longer than an instant old."""


@dataclass(frozen=True)
class LeaseFile:
    """The file of a lease, on any file system."""

    filesystem: fsspec.AbstractFileSystem
    path: str

    def beside(self, name: str) -> "LeaseFile":
        """Another file in the same folder."""
        return LeaseFile(self.filesystem, f"{self.path.rpartition('/')[0]}/{name}")

    def read(self) -> LeaseRecord | None:
        """The record; None where there is no file."""
        try:
            return LeaseRecord.model_validate_json(self.filesystem.cat_file(self.path))
        except FileNotFoundError:
            return None
        except ValidationError:
            return UNREADABLE

    def is_held_by(self, record: LeaseRecord) -> bool:
        """Whether the lease in the file is this one."""
        present = self.read()
        return present is not None and present.token == record.token

    def create(self, record: LeaseRecord) -> bool:
        """Makes the file; False if another process was faster."""
        if is_local(self.filesystem):
            self._create_local_file(record)
        else:
            self._create_object(record)
        return self.is_held_by(record)

    def _create_local_file(self, record: LeaseRecord) -> None:
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The folder may be gone again: a holder that leaves removes it.
        with suppress(FileExistsError, FileNotFoundError), open(path, "xb") as file:
            file.write(_encoded(record))

    def _create_object(self, record: LeaseRecord) -> None:
        try:
            self.filesystem.pipe_file(self.path, _encoded(record), mode="create")
        except OSError:  # S3 says 412 (exists) or 409 (being made): what lies there decides
            if self.read() is None:
                raise
        time.sleep(SETTLE_S)

    def replace(self, record: LeaseRecord) -> None:
        """Puts a record in the place of the present one, as a whole."""
        if is_local(self.filesystem):
            write_atomically(Path(self.path), _encoded(record).decode())
        else:
            self.filesystem.pipe_file(self.path, _encoded(record))

    def delete(self) -> None:
        """Deletes the file, and its local folder if nothing else is in it."""
        with suppress(FileNotFoundError):
            self.filesystem.rm_file(self.path)
        if is_local(self.filesystem):
            with suppress(OSError):
                Path(self.path).parent.rmdir()


def lease_file(url: str) -> LeaseFile:
    """The file of the lease on a store."""
    filesystem, path = open_storage(url)
    return LeaseFile(filesystem, f"{path}/{layout.LEASE}")


def _encoded(record: LeaseRecord) -> bytes:
    return f"{record.model_dump_json(indent=2)}\n".encode()
