"""The folder of a site: written file by file, each replaced as a whole, and nothing of anybody else's."""

import os
from collections.abc import Iterable
from pathlib import Path

from data_catalog.errors import InputError
from data_catalog.views.page.site_mark import MARK, note, unwritable

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

    def write(self, name: str, content: bytes) -> str:
        """Writes or replaces a file; returns its name, relative to the folder, with ``/`` between its parts.

        Raises:
            InputError: If it cannot be written.
        """
        path, temporary = self.path / name, self.path / f"{MARK}.{os.getpid()}.tmp"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._check_inside(path.parent)
            note(self.path, name)
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            raise unwritable(self.path, error) from None
        self.written.add(name)
        return name

    def clear(self) -> None:
        """Deletes what runs that were killed left half-written.

        Raises:
            InputError: If the folder is no place to write into.
        """
        for kind in (DATASETS, PICTURES):
            self._check_inside(self.path / kind)
        try:
            for path in self.path.glob(f"{MARK}.*.tmp"):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from None

    def sweep(self, names: Iterable[str]) -> None:
        """Deletes those of the files that an earlier run wrote that this one has not written.

        Raises:
            InputError: If that is not allowed.
        """
        try:
            for path in [self.path / name for name in sorted(set(names) - self.written)]:
                if self._is_inside(path.parent) and path.is_file() and not path.is_symlink():
                    path.unlink(missing_ok=True)
                    if path.parent.parent.name == PICTURES and not any(path.parent.iterdir()):
                        path.parent.rmdir()
        except OSError as error:
            raise unwritable(self.path, error) from None

    def _is_inside(self, folder: Path) -> bool:
        """Whether no link leads from the site to somewhere else on the way to a folder."""
        return folder.resolve() == self.path.resolve() / folder.relative_to(self.path)

    def _check_inside(self, folder: Path) -> None:
        if not self._is_inside(folder):
            raise InputError(f"{folder} is a link to another folder, which is not the site's to write: remove it.")
