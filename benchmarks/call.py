"""How a benchmark is called, and where it works: the options that all of them share.

``--folder`` (or $TRACEMILL_BENCH_FOLDER) names a folder on the disk that is to be measured; files to convert stay there
in ``sources/`` and are used again by the next benchmark. Without it everything lies in a temporary folder.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

GB = 10**9
MIB = 2**20
SMALL_NBYTES = 8_000_000
"""Of the largest input in a quick check that a benchmark works; others in proportion."""
SMALL_REPEATS = 2
FOLDER_VARIABLE = "TRACEMILL_BENCH_FOLDER"

CONSOLE = Console(width=None if sys.stdout.isatty() else 150)


@dataclass(frozen=True)
class Place:
    """Where a benchmark works.

    Attributes:
        sources: SEG-Y files to convert.
        scratch: Everything else; removed at the end.
    """

    sources: Path
    scratch: Path


@dataclass(frozen=True)
class Call:
    """What was asked for.

    Attributes:
        sizes: Bytes of each input.
        repeats: How often everything is timed.
        is_small: Whether it is only a check that the benchmark works.
        folder: Where to work; None takes a temporary folder.
    """

    sizes: tuple[int, ...]
    repeats: int
    is_small: bool
    folder: Path | None

    @contextmanager
    def place(self, *, room_nbytes: int = 0) -> Iterator[Place]:
        """A scratch folder for the time of the benchmark; ends the program where there is too little room for it."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tracemill-bench-", dir=self.folder) as name:
            scratch = Path(name)
            free = shutil.disk_usage(scratch).free
            if free < room_nbytes:
                sys.exit(
                    f"{scratch.parent} has {free / GB:.1f} GB free and {room_nbytes / GB:.1f} GB are needed: "
                    "choose another --folder, or a smaller --size."
                )
            sources = (self.folder or scratch) / "sources"
            sources.mkdir(exist_ok=True)
            yield Place(sources, scratch)


def parse_call(description: str | None, *, sizes_gb: tuple[float, ...] = (), repeats: int = 1) -> Call:
    """Reads the command line.

    Args:
        description: The benchmark's docstring.
        sizes_gb: Default sizes of the inputs in GB (10^9 bytes); none where there is nothing to choose.
        repeats: How often everything is timed by default.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=os.environ.get(FOLDER_VARIABLE), help="where to work")
    parser.add_argument("--small", action="store_true", help="a quick check with a few megabytes: figures mean nothing")
    parser.add_argument("--repeats", type=int, help=f"how often everything is timed [{repeats}]")
    if sizes_gb:
        listed = " ".join(f"{size:g}" for size in sizes_gb)
        parser.add_argument("--size", type=float, nargs="+", metavar="GB", help=f"of the inputs [{listed}]")
    given = parser.parse_args()
    wanted = getattr(given, "size", None) or sizes_gb
    if given.small and wanted:
        wanted = tuple(size / max(wanted) * SMALL_NBYTES / GB for size in wanted)
    return Call(
        sizes=tuple(round(size * GB) for size in wanted),
        repeats=given.repeats or (min(SMALL_REPEATS, repeats) if given.small else repeats),
        is_small=given.small,
        folder=None if given.folder is None else given.folder.absolute(),
    )
