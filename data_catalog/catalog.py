"""Entries by name, on a disk or in an object store; and beside them what is not finished yet."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from data_catalog import layout
from data_catalog.conformance import check_entry, check_store, parse_entry
from data_catalog.errors import ConformanceError, InputError
from data_catalog.folder import MOST_ENTRY_NBYTES, Folder, Standing
from data_catalog.lease import hold_lease
from data_catalog.local_folder import LocalFolder
from data_catalog.object_folder import ObjectFolder
from data_catalog.removal import empty_store, remove_empty_folder, store_exists
from data_catalog.schema import NAME_PATTERN, Derived, Entry, holds_password
from data_catalog.storage import is_local, open_storage, overlap, same_place
from data_catalog.unfinished import Unfinished, begin_unfinished

CATALOG_VARIABLE = "TRACEMILL_CATALOG"
DEFAULT_FOLDER = Path(__file__).parent / "entries"

MOST_TRIES = 5
"""Of publishing a revision, where several of one dataset end together."""


class Listing(NamedTuple):
    """What a catalog has, in the order of names.

    Attributes:
        entries: Of datasets that are finished.
        unfinished: Records of those that are not.
        broken: What is wrong with those that cannot be read, by name.
    """

    entries: list[Entry]
    unfinished: list[Unfinished]
    broken: dict[str, str]


class Catalog:
    """The entries in one place, a folder or an fsspec URL.

    An entry is visible exactly when it is whole: how a name stands is changed in one step, which compares the present
    revision and fails where another writer was faster.

    A dataset without an entry yet has a record instead, so that it can be found and removed.

    Attributes:
        place: Path or URL.
    """

    def __init__(self, place: str | Path | None = None) -> None:
        """Args: place: Where the entries are; by default ``$TRACEMILL_CATALOG``, then ``data_catalog/entries``.

        Raises:
            InputError: If it is a URL that nothing installed can open, or one with a password in it.
        """
        self._folder = _open_folder(str(place or os.environ.get(CATALOG_VARIABLE) or DEFAULT_FOLDER))
        self.place = self._folder.place

    def names(self) -> list[str]:
        """Names of all entries, sorted; empty where the place does not exist yet."""
        return self._folder.names()

    def read(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            InputError: If there is none; names the closest ones.
            ConformanceError: If it breaks the contract.
        """
        text = self._standing(name).entry
        if text is None:
            raise self._no_entry(name)
        return self._parse(name, text)

    def exists(self) -> bool:
        """Whether anything was ever listed there."""
        return self._folder.is_there()

    def read_all(self) -> Listing:
        """All that there is, each name asked for once."""
        listing = Listing([], [], {})
        for name, standing in self._folder.standings():
            try:
                if isinstance(standing, InputError):
                    raise standing
                if standing.entry is not None:
                    listing.entries.append(self._parse(name, standing.entry))
                elif standing.unfinished is not None:
                    listing.unfinished.append(standing.unfinished)
            except InputError as error:
                listing.broken[name] = str(error)
        return listing

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
            InputError: If another revision was published meanwhile, or the place cannot be written.
        """
        if problems := check_entry(entry) + check_store(entry):
            raise ConformanceError(f"dataset {entry.name!r}", problems)
        text = f"{entry.model_dump_json(indent=2, exclude_none=True)}\n".encode()
        if len(text) > MOST_ENTRY_NBYTES:
            raise InputError(
                f"the entry of {entry.name!r} takes {len(text) >> 20} MiB, and at most {MOST_ENTRY_NBYTES >> 20} can "
                "be read: convert fewer files together."
            )

        def replaced(present: Standing) -> Standing:
            revision = 0 if present.entry is None else self._parse(entry.name, present.entry).revision
            if entry.revision != revision + 1:
                raise InputError(
                    f"dataset {entry.name!r} is at revision {revision} in {self.place}, and revision {entry.revision} "
                    "cannot follow it: choose another --name, or read the entry again and repeat the change."
                )
            return Standing(entry=text)

        self._change(entry.name, replaced)

    def begin(self, name: str, url: str) -> Unfinished:
        """Records that a dataset is about to be made; again for the same store, that it goes on.

        Args:
            name: Name that its entry will have.
            url: Where its store will be.

        Returns:
            The record; its URL is absolute if it is a local path.

        Raises:
            InputError: If the name is taken, the store belongs to another dataset or to an earlier attempt elsewhere,
                the URL holds a password, or the place cannot be written.
        """
        record, is_new = begin_unfinished(name, url), False

        def begun(present: Standing) -> Standing:
            nonlocal is_new
            is_new = present == Standing()
            if present.entry is not None:
                raise self.taken(name)
            if present.unfinished is None:
                self._check_unshared(name, record.url)
                return Standing(unfinished=record)
            if not same_place(present.unfinished.url, record.url):
                raise InputError(
                    f"dataset {name!r} was begun at {present.unfinished.url} and is unfinished, so it cannot be made "
                    f"at {record.url} as well: name that place again to go on with it, discard it with "
                    f"`python -m data_catalog remove {name}`, or choose another name."
                )
            return present

        self._change(name, begun)
        if is_new:
            try:  # where names are changed one by one, two of them may have begun at one place in the same moment
                self._check_unshared(name, record.url)
            except InputError:
                self.forget(name)
                raise
        return self.unfinished(name) or record

    def taken(self, name: str) -> InputError:
        """Says that there is an entry of that name already."""
        return InputError(f"{self.place} already has a dataset named {name!r}: choose another --name.")

    def forget(self, name: str) -> None:
        """Drops the record of a dataset that was begun and refused before anything of it was made."""
        self._change(name, lambda present: Standing(entry=present.entry))

    def unfinished(self, name: str) -> Unfinished | None:
        """The record of a dataset that has no entry yet; None where there is none, or an entry.

        Raises:
            InputError: If what is there is no such record.
        """
        return self._standing(name).unfinished

    def unfinished_names(self) -> list[str]:
        """Names of all datasets that have a record and no entry, sorted."""
        return self._folder.unfinished_names()

    def remove(self, name: str) -> bool:
        """Deletes a dataset, finished or not: first its entry, so that none sees half of it, then its store.

        A record is kept until all is gone: a removal that was interrupted is finished by another.

        Returns:
            Whether there was a store; False if it was gone before.

        Raises:
            InputError: If there is no such dataset, its store is in use, is another dataset's or is no store.
            WorkError: If something in the store could not be deleted.
        """
        url = self.store_of(name)
        if other := self._sharing(name, url):
            raise InputError(
                f"{url} is where dataset {other!r} lies as well, so {name!r} cannot be removed without it: "
                f"see which of {self._folder.path_of(name)} and {self._folder.path_of(other)} is wrong, and give it "
                "another url."
            )
        existed = store_exists(url)
        if existed:
            with hold_lease(url, purpose=f"remove {name}") as lease:
                self._withdraw(name, url)
                empty_store(url, lease=lease)
        else:
            self._withdraw(name, url)
        remove_empty_folder(url)
        self.forget(name)
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
            InputError: If the entry has such a group by now, or the place cannot be written.
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
            InputError: If there is no such dataset, or the place cannot be written.
        """
        for _ in range(MOST_TRIES):
            entry = self.read(name)
            revised = change(entry).model_copy(update={"revision": entry.revision + 1})
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
            raise InputError(f"dataset {name!r} has no derived group {derived_id!r}, nor a begun one: {known}.")
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
        return self._url(name, self._standing(name))

    def check_writable(self) -> None:
        """Makes the folder where there is none, and proves that an entry could be written.

        Raises:
            InputError: If it cannot.
        """
        self._folder.check_writable()

    def _standing(self, name: str) -> Standing:
        return self._folder.read(_checked_name(name))

    def _change(self, name: str, step: Callable[[Standing], Standing]) -> None:
        self._folder.change(_checked_name(name), step)

    def _parse(self, name: str, text: bytes) -> Entry:
        place = self._folder.path_of(name)
        entry = parse_entry(text, place=place)
        if entry.name != name:
            raise InputError(f"{place} holds an entry named {entry.name!r}; rename the file or the entry.")
        return entry

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
            nothing = "it is empty." if self.exists() else "there is nothing."
            hint = f"it has {', '.join(known[:5])}{' and others' * (len(known) > 5)}." if known else nothing
        return InputError(
            f"no dataset named {name!r} in the catalog at {self.place}: {hint} "
            "`python -m data_catalog list` shows all of them; --catalog names another place."
        )

    def _check_unshared(self, name: str, url: str) -> None:
        if other := self._sharing(name, url):
            raise InputError(
                f"{url} is where dataset {other!r} lies: choose another --out, or discard that dataset with "
                f"`python -m data_catalog remove {other}`."
            )

    def _sharing(self, name: str, url: str) -> str | None:
        """Which other dataset has its store there, around it or inside; None where none has."""
        for other, standing in self._folder.standings():
            if other != name and isinstance(standing, Standing):  # `list` tells of what cannot be read
                with suppress(InputError):
                    if overlap(url, self._url(other, standing)):
                        return other
        return None

    def _url(self, name: str, standing: Standing) -> str:
        if standing.entry is not None:
            return self._parse(name, standing.entry).url
        if standing.unfinished is not None:
            return standing.unfinished.url
        raise self._no_entry(name)

    def _withdraw(self, name: str, url: str) -> None:
        """Replaces an entry by a record: the dataset is out of sight, and not forgotten."""
        record = begin_unfinished(name, url)
        self._change(name, lambda present: present if present.entry is None else Standing(unfinished=record))


def _open_folder(place: str) -> Folder:
    if holds_password(place):
        raise InputError("the catalog's URL holds a password: leave it to the environment.")
    filesystem, path = open_storage(place)
    if not is_local(filesystem):
        return ObjectFolder(place)
    if Path(path).is_file():
        raise InputError(f"{path} is a file, and a catalog is a folder: see to --catalog or ${CATALOG_VARIABLE}.")
    return LocalFolder(Path(path))


def _checked_name(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(
            f"{name!r} is not a dataset name: letters, digits, '.', '_' and '-', at most 100, "
            "beginning with a letter or digit."
        )
    return name
