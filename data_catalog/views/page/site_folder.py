"""The folder of a site: written file by file, each replaced as a whole, and never anybody else's."""

import os
from pathlib import Path

from data_catalog.errors import InputError

MARK = ".tracemill-page"
"""The file that says that a folder is a site's."""

_MARK_TEXT = "Made by `python -m data_catalog page`, whose next run replaces what is here.\n"

DATASETS, PICTURES = "datasets", "pictures"


class SiteFolder:
    """Where a site is written.

    Readers find each file as it was or as it is to be. The list comes last, and files that are no longer named by it
    go after that: a run that was interrupted leaves an old list whose pages are all there.

    Attributes:
        path: Where it is.
        written: Names of all that was written, relative to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: set[str] = set()

    def take(self) -> None:
        """Makes the folder a site's.

        Raises:
            InputError: If something else is in it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            is_taken = not (self.path / MARK).exists() and any(self.path.iterdir())
        except OSError as error:
            raise self._unwritable(error) from None
        if is_taken:
            raise InputError(
                f"{self.path} is not empty, and was not made by `python -m data_catalog page`: name another folder "
                "with --out, or empty it."
            )
        self.write(MARK, _MARK_TEXT.encode())

    def write(self, name: str, content: bytes) -> str:
        """Writes or replaces a file; returns its name, relative to the folder, with ``/`` between its parts.

        Raises:
            InputError: If it cannot be written.
        """
        path = self.path / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            raise self._unwritable(error) from None
        self.written.add(name)
        return name

    def sweep(self) -> None:
        """Deletes pages and pictures of an earlier run that this one has not written."""
        for kind, pattern in ((DATASETS, "*"), (PICTURES, "*/*")):
            for path in (self.path / kind).glob(pattern):
                if path.is_file() and path.relative_to(self.path).as_posix() not in self.written:
                    path.unlink(missing_ok=True)
        for path in (self.path / PICTURES).glob("*"):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"{self.path} cannot be written ({error.strerror}): name another folder with --out.")
