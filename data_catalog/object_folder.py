"""A catalog in an object store: a new object for each change of a name, which only one writer can make."""

import json
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated

import fsspec
from fsspec.asyn import AsyncFileSystem
from pydantic import ConfigDict, Field, JsonValue, ValidationError

from data_catalog.errors import InputError
from data_catalog.folder import MOST_ENTRY_NBYTES, Standing, Step
from data_catalog.schema import NAME_PATTERN, Model
from data_catalog.storage import open_storage, patiently, reached
from data_catalog.unfinished import Unfinished

MARK = "_catalog.json"
"""Object at the top, by which the store shows that it creates nothing twice; no name begins so."""

ENVELOPE_NBYTES = 4096
"""What an object holds beside an entry, at most."""

MOST_TRIES = 100
"""Of a step, each of which was forestalled by another writer's."""

ATTEMPTS = 3
"""To make an object, where the store says that another writer is at it and then none has made it (S3's status 409)."""

PAUSE_S = 0.05
"""Between them, on average."""


class Slot(Model):
    """What an object holds: a standing, all three absent where a name was removed.

    Attributes:
        token: Tells who made the object.
        entry: The entry.
        unfinished: The record.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    token: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    entry: dict[str, JsonValue] | None = None
    unfinished: Unfinished | None = None


class ObjectFolder:
    """``NAME/000001.json``, ``NAME/000002.json``, ...: one for each change; see `data_catalog.folder.Folder`.

    The object of the highest number counts, and none is ever changed or deleted: they are the name's history. Making
    one fails where it is there already (``If-None-Match: *``), so that of several writers who have seen the same
    standing one wins; the others see the new one, and take their step from there. No lock can be left behind, and a
    writer that sleeps between reading and writing cannot undo what others did meanwhile.
    """

    def __init__(self, url: str) -> None:
        self.place = url.rstrip("/")
        self._is_proven = False
        self._read: dict[str, Standing] = {}  # by path: no object ever changes
        with reached(self.place):
            self._filesystem, root = open_storage(self.place)
        self._root = root.rstrip("/")

    def is_there(self) -> bool:
        """Whether there is an object at all."""
        with reached(self.place):
            return bool(patiently(lambda: self._filesystem.exists(f"{self._root}/{MARK}")))

    def names(self) -> list[str]:
        """Names whose last object has an entry."""
        return [name for name, standing in self._standings() if standing.entry is not None]

    def unfinished_names(self) -> list[str]:
        """Names whose last object has a record."""
        return [name for name, standing in self._standings() if standing.unfinished is not None]

    def standings(self) -> Iterator[tuple[str, Standing | InputError]]:
        """Lists all objects at once, and reads the last ones of all names together."""
        yield from self._standings()

    def _standings(self) -> list[tuple[str, Standing]]:
        last: dict[str, str] = {}
        with reached(self.place):
            for path in sorted(patiently(lambda: self._filesystem.find(self._root))):
                name, slash, file = path[len(self._root) + 1 :].partition("/")
                if slash and re.fullmatch(NAME_PATTERN, name) and re.fullmatch(r"[0-9]{6}\.json", file):
                    last[name] = f"{name}/{file}"
            self._read_together([path for path in last.values() if path not in self._read])
            return [(name, self._standing(path)) for name, path in last.items()]

    def path_of(self, name: str) -> str:
        """The objects' common beginning."""
        return f"{self.place}/{name}/"

    def read(self, name: str) -> Standing:
        """What the last object holds."""
        with reached(self.place):
            return self._last(name)[0]

    def change(self, name: str, step: Step) -> None:
        """Makes the next object; after others have made it, the one after it."""
        with reached(self.place):
            self._prove_exclusive()
            for _ in range(MOST_TRIES):
                present, number = self._last(name)
                new = step(present)
                if new == present or self._create(f"{name}/{number + 1:06d}.json", new):
                    return
                time.sleep(random.uniform(0, 2 * PAUSE_S))
        raise InputError(f"{name!r} in {self.place} was changed by others {MOST_TRIES} times: repeat the command.")

    def check_writable(self) -> None:
        """Makes the topmost object, and tries to make it again."""
        with reached(self.place):
            self._prove_exclusive()

    def _prove_exclusive(self) -> None:
        """Sees that the store refuses to make an object that is there: without that, writers would undo each other.

        That fsspec looks first and writes then, as it does where a library has nothing better, is not enough.
        """
        if not self._is_proven and (
            not _creates_in_one_step(self._filesystem)
            or (self._create(MARK, Standing()) and self._create(MARK, Standing()))
        ):
            raise InputError(
                f"{self.place} makes an object again that is there already (no If-None-Match), so a catalog there "
                "is not safe: choose a store that has it, or a folder."
            )
        self._is_proven = True

    def _create(self, path: str, standing: Standing) -> bool:
        """Makes an object; False if it is there already."""
        entry = None if standing.entry is None else json.loads(standing.entry)
        mine = Slot(token=uuid.uuid4().hex, entry=entry, unfinished=standing.unfinished)
        content = mine.model_dump_json(exclude_none=True).encode()
        for attempt in range(ATTEMPTS):
            try:
                self._filesystem.pipe_file(f"{self._root}/{path}", content, mode="create")
            except Exception:  # each library raises kinds of its own: what lies there decides
                with suppress(FileNotFoundError):
                    # The same content: an attempt whose answer was lost.
                    return patiently(self._reading(path)) == content
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(PAUSE_S)
            else:
                return True
        raise AssertionError("the last attempt returns or raises")

    def _last(self, name: str) -> tuple[Standing, int]:
        """How a name stands, and the number of the object that says so; 0 where there is none."""
        try:
            found = patiently(lambda: self._filesystem.ls(f"{self._root}/{name}", detail=False))
        except FileNotFoundError:
            return Standing(), 0
        matches = [re.fullmatch(r"([0-9]{6})\.json", path.rpartition("/")[2]) for path in found]
        number = max((int(match[1]) for match in matches if match), default=0)
        return (self._standing(f"{name}/{number:06d}.json"), number) if number else (Standing(), 0)

    def _standing(self, path: str) -> Standing:
        """What an object says, which is read once."""
        if path not in self._read:
            self._read[path] = _standing(patiently(self._reading(path)))
        return self._read[path]

    def _read_together(self, paths: list[str]) -> None:
        """Reads objects at once; the store answers some of the requests side by side."""
        if paths:
            places = [f"{self._root}/{path}" for path in paths]
            ends = [MOST_ENTRY_NBYTES + ENVELOPE_NBYTES] * len(paths)
            contents = patiently(lambda: self._filesystem.cat_ranges(places, [0] * len(paths), ends, on_error="raise"))
            self._read |= {path: _standing(bytes(content)) for path, content in zip(paths, contents, strict=True)}

    def _reading(self, path: str) -> Callable[[], bytes]:
        """Reads an object, up to where it is too large for an entry."""
        end = MOST_ENTRY_NBYTES + ENVELOPE_NBYTES
        return lambda: bytes(self._filesystem.cat_file(f"{self._root}/{path}", start=0, end=end))


def _creates_in_one_step(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Whether a library has an exclusive creation of its own."""
    if isinstance(filesystem, AsyncFileSystem):
        return type(filesystem)._pipe_file is not AsyncFileSystem._pipe_file
    return type(filesystem).pipe_file is not fsspec.AbstractFileSystem.pipe_file


def _standing(content: bytes) -> Standing:
    """What an object says; one that is damaged counts as an entry, so that whoever reads it is told."""
    try:
        slot = Slot.model_validate_json(content)
    except ValidationError:
        return Standing(entry=content)
    entry = None if slot.entry is None else json.dumps(slot.entry).encode()
    return Standing(entry=entry, unfinished=slot.unfinished)
