"""A folder of JSON entries, one file each, replaced atomically; and beside them what is not finished yet."""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path

from data_catalog import layout
from data_catalog.conformance import check_entry, check_store, parse_entry
from data_catalog.errors import ConformanceError, InputError
from data_catalog.lease import hold_lease
from data_catalog.removal import empty_store, remove_empty_folder, store_exists
from data_catalog.schema import NAME_PATTERN, SPEC_VERSION, Derived, Entry
from data_catalog.storage import overlap, remove_leftovers, same_place, write_atomically
from data_catalog.unfinished import Unfinished, begin_unfinished, read_unfinished, write_unfinished

CATALOG_VARIABLE = "TRACEMILL_CATALOG"
DEFAULT_FOLDER = Path(__file__).parent / "entries"
UNFINISHED_FOLDER = "unfinished"

MOST_TRIES = 5
"""Of publishing a revision, where several of one dataset end together."""


class Catalog:
    """The entries in one folder.

    An entry is visible exactly when its file is: it is written beside its place, flushed, and renamed. A lock on
    the folder, held while comparing and renaming and released by the kernel with the process, makes replacing an
    entry a compare-and-swap on its revision.

    A dataset without an entry yet has a record in ``unfinished/``, so that it can be found and removed. Where there
    are both, the entry counts.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        """Args: folder: Where the entries are; by default ``$TRACEMILL_CATALOG``, then ``data_catalog/entries``."""
        place = str(folder or os.environ.get(CATALOG_VARIABLE) or DEFAULT_FOLDER)
        if "://" in place:
            raise InputError(f"{place} is a URL: a catalog is a folder of this machine, or one that it has mounted.")
        self.folder = Path(place)

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
            raise self._no_entry(name) from None
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
            write_atomically(path, entry.model_dump_json(indent=2, exclude_none=True) + "\n")
            unfinished = self._unfinished_path(entry.name)
            unfinished.unlink(missing_ok=True)
            remove_leftovers(path)
            remove_leftovers(unfinished)

    def begin(self, name: str, url: str) -> Unfinished:
        """Records that a dataset is about to be made; again for the same store, that it goes on.

        Args:
            name: Name that its entry will have.
            url: Where its store will be.

        Returns:
            The record; its URL is absolute if it is a local path.

        Raises:
            InputError: If the name is taken, the store belongs to another dataset or to an earlier attempt elsewhere,
                the URL holds a password, or the folder cannot be written.
        """
        path = self._unfinished_path(name)
        record = begin_unfinished(name, url)
        with self._locked():
            if self._path(name).exists():
                raise self.taken(name)
            if present := self.unfinished(name):
                if same_place(present.url, record.url):
                    return present
                raise InputError(
                    f"dataset {name!r} was begun at {present.url} and is unfinished, so it cannot be made at "
                    f"{record.url} as well: name that place again to go on with it, discard it with "
                    f"`python -m data_catalog remove {name}`, or choose another name."
                )
            if other := self._sharing(name, record.url, among=self.names() + self.unfinished_names()):
                raise InputError(
                    f"{record.url} is where dataset {other!r} lies: choose another --out, or discard that dataset with "
                    f"`python -m data_catalog remove {other}`."
                )
            write_unfinished(path, record)
        return record

    def taken(self, name: str) -> InputError:
        """Says that there is an entry of that name already."""
        return InputError(f"{self.folder} already has a dataset named {name!r}: choose another --name.")

    def forget(self, name: str) -> None:
        """Drops the record of a dataset that was begun and refused before anything of it was made."""
        self._unfinished_path(name).unlink(missing_ok=True)

    def unfinished(self, name: str) -> Unfinished | None:
        """The record of a dataset that has no entry yet; None where there is none, or an entry.

        Raises:
            InputError: If its file is not such a record.
        """
        return None if self._path(name).exists() else read_unfinished(self._unfinished_path(name))

    def unfinished_names(self) -> list[str]:
        """Names of all datasets that have a record and no entry, sorted."""
        found = {path.stem for path in (self.folder / UNFINISHED_FOLDER).glob("*.json")}
        return sorted(name for name in found - set(self.names()) if re.fullmatch(NAME_PATTERN, name))

    def remove(self, name: str) -> bool:
        """Deletes a dataset, finished or not: first its entry, so that none sees half of it, then its store.

        A record in ``unfinished/`` is kept until all is gone: a removal that was interrupted is finished by another.

        Returns:
            Whether there was a store; False if it was gone before.

        Raises:
            InputError: If there is no such dataset, its store is in use, is another dataset's or is no store.
            WorkError: If something in the store could not be deleted.
        """
        url = self.store_of(name)
        if other := self._sharing(name, url, among=self.names()):
            raise InputError(
                f"{url} is where dataset {other!r} lies as well, so {name!r} cannot be removed without it: "
                f"correct or delete the file of the wrong one in {self.folder} by hand."
            )
        existed = store_exists(url)
        if existed:
            with hold_lease(url, purpose=f"remove {name}") as lease:
                self._withdraw(name, url)
                empty_store(url, lease=lease)
        else:
            self._withdraw(name, url)
        remove_empty_folder(url)
        self._unfinished_path(name).unlink(missing_ok=True)
        return existed

    def check_derived_id(self, name: str, derived_id: str) -> None:
        """Sees that a group may have an id.

        Raises:
            InputError: If there is no such dataset, the id is no name, or the dataset has a group of that id.
        """
        entry = self.read(name)
        if not re.fullmatch(NAME_PATTERN, derived_id):
            raise InputError(
                f"{derived_id!r} is no name for a derived group: letters, digits, '.', '_' and '-', at most 100, "
                "beginning with a letter or digit; choose one with --id."
            )
        if derived_id in entry.derived:
            raise InputError(
                f"dataset {name!r} has a derived group {derived_id!r} already; choose another --id, or remove it with "
                f"`python -m data_catalog remove {name} --derived {derived_id}`."
            )

    def publish_derived(self, name: str, derived_id: str, group: Derived) -> Entry:
        """Makes a derived group visible: the entry's next revision, after those that others publish meanwhile.

        Args:
            name: Of the dataset.
            derived_id: Of the group.
            group: What lies there, complete.

        Returns:
            The new revision.

        Raises:
            ConformanceError: If the group breaks the contract.
            InputError: If the entry has such a group by now, or the folder cannot be written.
        """

        def with_group(entry: Entry) -> Entry:
            self.check_derived_id(name, derived_id)
            return entry.model_copy(update={"derived": {**entry.derived, derived_id: group}})

        return self.revise(name, with_group, what=repr(derived_id))

    def revise(self, name: str, change: Callable[[Entry], Entry], *, what: str) -> Entry:
        """Publishes the next revision of an entry, after those that others publish meanwhile.

        Args:
            name: Of the dataset.
            change: Makes the new entry of the present one; its revision is added.
            what: What is to be published, for a message.

        Returns:
            The new revision.

        Raises:
            ConformanceError: If the new entry breaks the contract.
            InputError: If there is no such dataset, or the folder cannot be written.
        """
        for _ in range(MOST_TRIES):
            entry = self.read(name)
            update = {"revision": entry.revision + 1, "spec_version": SPEC_VERSION}
            revised = change(entry).model_copy(update=update)
            try:
                self.publish(revised)
            except InputError:
                if self.read(name).revision == entry.revision:
                    raise
            else:
                return revised
        raise InputError(
            f"dataset {name!r} was replaced by others {MOST_TRIES} times while {what} was to be published: repeat the "
            "command when they are done."
        )

    def remove_derived(self, name: str, derived_id: str) -> bool:
        """Deletes a derived group, published or half-written: first its place in the entry, then what is in the store.

        Returns:
            Whether anything of it was in the store.

        Raises:
            InputError: If the dataset has no such group, it is being written, or another revision came in between.
            WorkError: If something of it could not be deleted.
        """
        entry = self.read(name)
        if not re.fullmatch(NAME_PATTERN, derived_id):
            raise InputError(f"{derived_id!r} is no name of a derived group.")
        url = f"{entry.url.rstrip('/')}/{layout.derived_path(derived_id)}"
        existed = store_exists(url)
        if not existed and derived_id not in entry.derived:
            known = ", ".join(entry.derived) or "none"
            raise InputError(f"dataset {name!r} has no derived group {derived_id!r}, nor half of one: {known}.")
        with hold_lease(url, purpose=f"remove {name} {derived_id}") as lease:
            if derived_id in entry.derived:
                left = {each: group for each, group in entry.derived.items() if each != derived_id}
                self.publish(entry.model_copy(update={"revision": entry.revision + 1, "derived": left}))
            empty_store(url, lease=lease)
        remove_empty_folder(url)
        return existed

    def store_of(self, name: str) -> str:
        """URL of the store of a dataset, finished or not.

        Raises:
            InputError: If there is no such dataset.
        """
        record = self.unfinished(name)
        return record.url if record else self.read(name).url

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

    def _unfinished_path(self, name: str) -> Path:
        return self.folder / UNFINISHED_FOLDER / self._path(name).name

    def _no_entry(self, name: str) -> InputError:
        if record := self.unfinished(name):
            return InputError(
                f"dataset {name!r} is unfinished since {record.begun:%Y-%m-%d %H:%M %Z}, its store is {record.url}: "
                f"`python -m pipeline status {name}` tells how far it is, the command that began it goes on with it, "
                f"`python -m data_catalog remove {name}` discards it."
            )
        known = self.names() + self.unfinished_names()
        if near := get_close_matches(name, known, n=3):
            hint = f"did you mean {', '.join(near)}?"
        else:
            nothing = "it is empty." if self.folder.is_dir() else "there is no such folder."
            hint = f"it has {', '.join(known[:5])}{' and others' * (len(known) > 5)}." if known else nothing
        return InputError(
            f"no dataset named {name!r} in the catalog at {self.folder}: {hint} "
            "`python -m data_catalog list` shows all of them; --catalog names another folder."
        )

    def _sharing(self, name: str, url: str, *, among: list[str]) -> str | None:
        """Which other dataset has its store there, around it or inside; None where none has."""
        for other in among:
            with suppress(InputError):  # `list` tells of what cannot be read
                if other != name and overlap(url, self.store_of(other)):
                    return other
        return None

    def _withdraw(self, name: str, url: str) -> None:
        """Replaces an entry by a record: the dataset is out of sight, and not forgotten."""
        with self._locked():
            path = self._path(name)
            if path.exists():
                write_unfinished(self._unfinished_path(name), begin_unfinished(name, url))
                path.unlink()

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
