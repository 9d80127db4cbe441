"""Kills a conversion at one of the changes that it makes to files, and lets another call finish; again and again.

It is a program, and never imported: `killed_at_each_change.py FOLDER URL SCAN FIRST STEP` converts the survey at URL,
its headers read by SCAN (sample or full), and kills it just before the FIRST change, the one STEP later, and so on
until a call gets to its end. Each call runs in a forked process, which has one thread only at that moment.
"""

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from data_catalog import Catalog
from pipeline.convert import Conduct, convert
from pipeline.recipe import load_recipe
from pipeline.work.cluster import THREADS, dask_client

CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}


def main(folder: Path, url: str, header_scan: Any, first: int, step: int) -> None:
    store, catalog = folder / "made.zarr", Catalog(folder / "catalog")
    recipe = load_recipe(name="made", paths=(url,), out=str(store), chunk_nbytes=4096, shard_nbytes=4096)

    def work() -> None:
        with dask_client(scheduler=THREADS, workers=2, memory="auto") as client:
            convert(recipe, client=client, catalog=catalog, conduct=Conduct(header_scan=header_scan))

    folder.mkdir()
    assert not killed_at_change(None, folder, work)
    expected = objects(store)
    for number in count(first, step):
        shutil.rmtree(folder)
        folder.mkdir()
        killed = killed_at_change(number, folder, work)
        stage = "published" if catalog.names() else f"{len(list(store.glob('work/ledger/*.npz')))} records"
        print(number, stage, flush=True)
        assert not killed_at_change(None, folder, work)
        found = objects(store)
        assert found.keys() == expected.keys(), (number, stage, found.keys() ^ expected.keys())
        assert found == expected, (number, stage, [path for path in found if found[path] != expected[path]])
        assert not (store / "work").exists(), (number, stage)
        left = {str(path.relative_to(catalog.folder)) for path in catalog.folder.rglob("*")}
        assert left == {"made.json", ".lock", "unfinished"}, (number, stage, left)
        if not killed:
            break


def killed_at_change(number: int | None, folder: Path, work: Callable[[], None]) -> bool:
    """Runs work in a process that is killed just before it changes files in a folder for the number-th time.

    Returns:
        Whether it got that far.
    """
    pid = os.fork()
    if pid == 0:
        left = number

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            opens_to_write = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if opens_to_write or event in CHANGES:
                path = str(arguments[0])
                # A name alone is something that rmtree deletes, by the descriptor of its folder.
                left -= "/" not in path or path.startswith(f"{folder}/")
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        if left is not None:
            sys.addaudithook(watch)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or status == 0, status
    return os.WIFSIGNALED(status)


def objects(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
