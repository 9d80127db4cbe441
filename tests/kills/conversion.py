"""Kills a conversion at one of the changes that it makes to files, and lets another call finish; again and again.

It is a program, and never imported: `conversion.py FOLDER URL SCAN FIRST STEP` converts the survey at URL,
its headers read by SCAN (sample or full), and kills it just before the FIRST change, the one STEP later, and so on
until a call gets to its end. Each call runs in a forked process, which has one thread only at that moment.
"""

import shutil
import sys
from itertools import count
from pathlib import Path
from typing import Any

from killed_at_change import killed_at_change

from data_catalog import Catalog
from pipeline.convert import Conduct, convert
from pipeline.recipe import load_recipe
from pipeline.work.cluster import THREADS, dask_client


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
        left = {str(path.relative_to(catalog.place)) for path in Path(catalog.place).rglob("*")}
        assert left == {"made.json", ".lock", "unfinished"}, (number, stage, left)
        if not killed:
            break


def objects(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
