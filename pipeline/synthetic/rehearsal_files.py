"""A read-only fsspec file system of surveys that are computed as they are read: ``rehearsal://SURVEY/survey.sgy``."""

import errno
import io
from functools import lru_cache
from typing import Any

import numpy as np
from fsspec import AbstractFileSystem
from pydantic import ValidationError

from data_catalog.conformance import problems_of
from pipeline.synthetic.rehearsal import ComputedSegy, RehearsalSurvey

FILE_NAME = "survey.sgy"
"""The one file of each survey."""


class RehearsalFile(io.RawIOBase):
    """A survey's file, open for reading.

    Args:
        segy: What computes its bytes.

    Attributes:
        size: Size of the file in bytes.
    """

    def __init__(self, segy: ComputedSegy) -> None:
        self._segy = segy
        self._position = 0
        self.size = segy.nbytes

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a position, as any file does; beyond the end there is nothing to read."""
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if position < 0:
            raise ValueError(f"position {position} is before the beginning of the file")
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        """Computes straight into a writable, contiguous buffer; returns how many bytes there were."""
        target = np.frombuffer(buffer, np.uint8)
        target = target[: max(0, self.size - self._position)]
        self._segy.fill(target, start=self._position)
        self._position += target.size
        return target.size

    def read(self, size: int | None = -1) -> bytes:
        """At most ``size`` bytes; all that are left where it is None or negative."""
        left = max(0, self.size - self._position)
        stream = io.BytesIO(bytes(left if size is None or size < 0 else min(size, left)))
        with stream.getbuffer() as buffer:  # the memory of the bytes that are returned: nothing is copied
            self.readinto(buffer)
        return stream.getvalue()


class RehearsalFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A folder for every possible survey, with its file in it; read-only. The module says what is in the file."""

    protocol = "rehearsal"

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Type, size and, for a file, an ETag that changes with its bytes.

        Raises:
            FileNotFoundError: If the path describes no survey.
        """
        path = self._strip_protocol(path)
        segy = _segy_of(path.partition("/")[0])
        if "/" not in path:
            return {"name": path, "type": "directory", "size": 0}
        _check_file_name(path)
        return {"name": path, "type": "file", "size": segy.nbytes, "ETag": segy.etag}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """The one file of a survey.

        Raises:
            FileNotFoundError: If the path describes no survey. The surveys themselves are too many to list.
        """
        entry = self.info(path)
        if entry["type"] == "directory":
            entry = self.info(f"{entry['name']}/{FILE_NAME}")
        return [entry if detail else entry["name"]]

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> RehearsalFile:
        if mode != "rb":
            raise OSError(errno.EROFS, "a rehearsal survey is computed and cannot be written", path)
        _check_file_name(path)
        return RehearsalFile(_segy_of(path.partition("/")[0]))


def _check_file_name(path: str) -> None:
    folder, _, name = path.partition("/")
    if name != FILE_NAME:
        raise FileNotFoundError(f"the one file of a rehearsal survey is {folder}/{FILE_NAME}, found {path}")


@lru_cache(maxsize=16)  # a file is opened for every few megabytes that are read of it
def _segy_of(folder: str) -> ComputedSegy:
    """What computes the file in a folder, whose name holds the survey's values."""
    pairs = [item.partition("=") for item in folder.split(",")]
    values = {key: value for key, _, value in pairs}
    if len(values) < len(pairs):
        raise _no_survey(folder, "a key is given twice")
    try:
        return ComputedSegy(RehearsalSurvey.model_validate_strings(values))
    except ValidationError as error:
        raise _no_survey(folder, "; ".join(map(str, problems_of(error, root="survey")))) from None


def _no_survey(folder: str, problems: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{folder!r} describes no rehearsal survey: {problems}; expected, for instance, "
        f"inlines=200,crosslines=100,samples=500/{FILE_NAME}; the keys are {', '.join(RehearsalSurvey.model_fields)}"
    )
