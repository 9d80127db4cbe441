"""A folder of JSON entries, one file each, replaced atomically."""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from data_catalog.conformance import check_entry, check_store, parse_entry
from data_catalog.errors import ConformanceError, InputError
from data_catalog.schema import NAME_PATTERN, Entry

CATALOG_VARIABLE = "TRACEMILL_CATALOG"
DEFAULT_FOLDER = Path(__file__).parent / "entries"


class Catalog:
    """The entries in one folder.

    An entry is visible exactly when its file is: it is written beside its place, flushed, and renamed. A lock on
    the folder, held while comparing and renaming and released by the kernel with the process, makes replacing an
    entry a compare-and-swap on its revision.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        """Args: folder: Where the entries are; by default ``$TRACEMILL_CATALOG``, then ``data_catalog/entries``."""
        self.folder = Path(folder or os.environ.get(CATALOG_VARIABLE) or DEFAULT_FOLDER)

    def names(self) -> list[str]:
        """Names of all entries, sorted; empty where the folder does not exist yet."""
        return sorted(path.stem for path in self.folder.glob("*.json") if re.fullmatch(NAME_PATTERN, path.stem))

    def read(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            InputError: If there is none; names the closest ones.
            ConformanceError: If it breaks the contract.
        """
        path = self._path(name)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            near = get_close_matches(name, self.names(), n=3) or self.names()[:5]
            known = f"did you mean {', '.join(near)}?" if near else "the catalog is empty."
            raise InputError(
                f"no dataset named {name!r} in the catalog at {self.folder}: {known} "
                "`python -m data_catalog list` shows all of them; --catalog names another folder."
            ) from None
        entry = parse_entry(text, place=str(path))
        if entry.name != name:
            raise InputError(f"{path} holds an entry named {entry.name!r}; rename the file or the entry.")
        return entry

    def open(self, name: str) -> Entry:
        """The entry of that name, once its store has been judged as well.

        Raises:
            InputError: If there is no such entry.
            ConformanceError: If the entry or the store breaks the contract.
        """
        entry = self.read(name)
        if problems := check_store(entry):
            raise ConformanceError(f"dataset {name!r}", problems)
        return entry

    def publish(self, entry: Entry) -> None:
        """Makes an entry visible: revision 1 where there is none, else exactly one after the present revision.

        Raises:
            ConformanceError: If the entry or its store breaks the contract.
            InputError: If another revision was published meanwhile, or the folder cannot be written.
        """
        if problems := check_entry(entry) + check_store(entry):
            raise ConformanceError(f"dataset {entry.name!r}", problems)
        with self._locked():
            path = self._path(entry.name)
            present = self.read(entry.name).revision if path.exists() else 0
            if entry.revision != present + 1:
                raise InputError(
                    f"dataset {entry.name!r} is at revision {present} in {self.folder}, and revision {entry.revision} "
                    "cannot follow it: choose another --name, or read the entry again and repeat the change."
                )
            _write_atomically(path, entry.model_dump_json(indent=2, exclude_none=True) + "\n")

    def check_writable(self) -> None:
        """Makes the folder and proves that an entry could be written.

        Raises:
            InputError: If it cannot.
        """
        with self._locked():
            pass

    def _path(self, name: str) -> Path:
        if not re.fullmatch(NAME_PATTERN, name):
            raise InputError(
                f"{name!r} is not a dataset name: letters, digits, '.', '_' and '-', at most 100, "
                "beginning with a letter or digit."
            )
        return self.folder / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / ".lock", "a")  # noqa: SIM115 (closed below, after the lock is released)
        except OSError as error:
            raise InputError(
                f"the catalog folder {self.folder} cannot be written ({error.strerror}): "
                "name another one with --catalog or $TRACEMILL_CATALOG."
            ) from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _write_atomically(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp gives 0600; colleagues read the catalog too
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
