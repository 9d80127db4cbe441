"""The site: a list of all datasets, and a page about each, made by several processes where there are many."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from data_catalog.catalog import Catalog
from data_catalog.errors import InputError, WorkError
from data_catalog.schema import Entry
from data_catalog.views.page.rendering import render
from data_catalog.views.page.site_folder import SiteFolder
from data_catalog.views.page.site_mark import MARK, locked_mark, mark_of
from data_catalog.views.page.written_page import WrittenPage, write_dataset_page

INDEX = "index.html"

FOR_A_PROCESS = 8
"""Datasets that are worth starting a process for: it takes a second or two to import what it draws with."""


def write_site(catalog: Catalog, path: Path) -> Mapping[str, str]:
    """Writes the site.

    Args:
        catalog: Whose datasets.
        path: Its folder.

    Returns:
        What is wrong with datasets that could not be shown, or not wholly, a sentence by name.

    Raises:
        InputError: If there is no such catalog, or the folder is not to be written.
        WorkError: If a process that draws was ended.
    """
    if not catalog.exists():
        raise InputError(f"there is no catalog at {catalog.place}: name another place with --catalog.")
    with locked_mark(path) as earlier:
        return _write(catalog, SiteFolder(path), earlier)


def _write(catalog: Catalog, folder: SiteFolder, earlier: Set[str]) -> Mapping[str, str]:
    folder.clear()
    entries, unfinished, unreadable = catalog.read_all()
    pages = list(_write_pages(entries, folder.path))
    folder.written.update(*(page.written for page in pages))
    cards = [page.card for page in pages]
    folder.write(INDEX, render("index.html.j2", cards=cards, unfinished=unfinished, unreadable=unreadable))
    folder.sweep(earlier)
    folder.write(MARK, mark_of(folder.written))  # last of all: the new file is not locked
    return {page.card.name: page.wrong for page in pages if page.wrong} | unreadable


def _write_pages(entries: Sequence[Entry], path: Path) -> Iterator[WrittenPage]:
    write = partial(write_dataset_page, path=path)
    processes = min(os.cpu_count() or 1, len(entries) // FOR_A_PROCESS)
    if processes <= 1:
        yield from map(write, entries)
        return
    # Not forked: zarr has threads of its own by now. Ctrl-C is this process's to hear.
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
    try:
        yield from pool.map(write, entries)
    except BrokenProcessPool:
        raise WorkError(
            "a process that draws pages was ended, perhaps for want of memory: run the command again."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
