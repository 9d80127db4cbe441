"""A process that adds, replaces, lists and removes entries until it is killed; never imported.

Arguments: place of the catalog, a store that all entries of ``shared`` name, folder for stores of its own, its number,
and the file that it notes in what has been done, each line only when the call has returned.
"""

import itertools
import os
import random
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from data_catalog import Catalog, Entry, InputError

place, template, stores, number, notes = sys.argv[1:]
catalog, chance = Catalog(place), random.Random(os.getpid())
example = catalog.read("shared")


def note(*words: str) -> None:
    with open(notes, "a") as file:
        file.write(" ".join(words) + "\n")
        file.flush()
        os.fsync(file.fileno())


def add(count: int) -> None:
    name = f"own-{number}-{os.getpid()}-{count}"
    store = Path(stores) / name
    shutil.copytree(template, store)
    update = {"name": name, "url": str(store), "revision": 1, "created": datetime.now(UTC), "split_by": {}}
    catalog.publish(example.model_copy(update=update))
    note("added", name)


def replace(count: int) -> None:
    token = f"{number}-{os.getpid()}-{count}"

    def with_token(entry: Entry) -> Entry:
        return entry.model_copy(update={"split_by": {"tokens": [*entry.split_by["tokens"], token]}})  # type: ignore[misc]

    catalog.revise("shared", with_token, what="a token")
    note("replaced", token)


def list_all(count: int) -> None:
    broken = catalog.read_all().broken  # judged: a torn one is told
    for sentence in broken.values():
        note("torn", *sentence.split())
    note("listed", str(count))


def remove(count: int) -> None:
    own = [name for name in catalog.names() if name.startswith(f"own-{number}-")]
    if own:
        name = chance.choice(own)
        note("removing", name)
        catalog.remove(name)
        note("removed", name)


for count in itertools.count():
    action = chance.choices([add, replace, list_all, remove], weights=[3, 4, 2, 1])[0]
    try:
        action(count)
    except InputError as error:
        if "was replaced by others" not in str(error) and "is in use" not in str(error):
            note("failed", action.__name__, str(error))
