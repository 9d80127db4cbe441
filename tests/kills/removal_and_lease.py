"""Kills a process at each change that it makes to files, one after another, and lets another call finish.

It is a program, and never imported: the first argument, ``removal`` or ``lease``, says what is tried, the second names
an empty folder for it. Every attempt runs in a forked process, which has one thread only at that moment.
"""

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from killed_at_change import killed_at_change

from data_catalog import Catalog, Entry, Kind, Variable, hold_lease, layout, lease
from data_catalog.lease_file import UNREADABLE, LeaseFile, lease_file

lease.WATCH_S = 0.2


def try_removal(folder: Path) -> None:
    store, catalog = folder / "store.zarr", Catalog(folder / "catalog")
    one = {"role": "input", "dims": ["trace", "time"], "shape": [1, 1], "dtype": "float32"}
    entry = Entry(
        name="x",
        kind=Kind.FLAT,
        url=str(store),
        created=datetime.now(UTC),
        main_variable="a",
        sizes={"trace": 1, "time": 1},
        variables={"a": Variable.model_validate(one | {"chunk_shape": [1, 1], "shard_shape": [1, 1]})},
    )
    for number in count():
        for name in ("a/c/0", "a/c/1", "manifest/a/count/c/0", f"{layout.LEDGER}/1", f"{layout.LEDGER}/2"):
            (store / name).parent.mkdir(parents=True, exist_ok=True)
            (store / name).write_bytes(b"1")
        (store / layout.PLAN).write_text("{}")
        (store / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group"}))
        Path(catalog.place).mkdir(exist_ok=True)
        Path(catalog.place, "x.json").write_text(entry.model_dump_json())
        killed = killed_at_change(number, folder, lambda: catalog.remove("x"))
        entries, records, left = catalog.names(), catalog.unfinished_names(), {p.name for p in store.rglob("*")}
        assert entries != records or not left, f"{number}: the store is left, and forgotten: {left}"
        whole = {"0", "1", "2", "count", "plan.json", "zarr.json"} <= left
        assert not entries or whole, f"{number}: the entry shows what is half-deleted: {left}"
        ledger_is_gone = not {"1", "2"} & {p.name for p in (store / layout.LEDGER).glob("*")}
        assert ledger_is_gone or (store / "a/c/1").exists(), f"{number}: the ledger lists what is deleted"
        if entries or records:
            catalog.remove("x")
        assert not store.exists(), f"{number}: {list(store.rglob('*'))}"
        assert catalog.names() == catalog.unfinished_names() == []
        if not killed:
            break
    print(number, "kills")
    assert number > 10


def try_lease(folder: Path) -> None:
    dead_pid = os.fork()
    if dead_pid == 0:
        os._exit(0)
    os.waitpid(dead_pid, 0)
    dead = UNREADABLE.model_copy(update={"token": "d" * 32, "pid": dead_pid, "machine": lease.process.machine()})
    for first in (None, dead):
        for number in count():
            if first is not None:
                (folder / layout.WORK_GROUP).mkdir(parents=True, exist_ok=True)
                file: LeaseFile = lease_file(str(folder))
                file.replace(first)
            killed = killed_at_change(number, folder, lambda: hold(folder))
            hold(folder)
            shutil.rmtree(folder, ignore_errors=True)
            if not killed:
                break
        print(number, "kills")
        assert number > 2


def hold(folder: Path) -> None:
    with hold_lease(str(folder), purpose="test") as held:
        held.check()


{"removal": try_removal, "lease": try_lease}[sys.argv[1]](Path(sys.argv[2]))
