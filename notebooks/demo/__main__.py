"""``make demo``: a synthetic salt survey from SEG-Y to prediction; ``make demo SEGY=path``: hidden traces of your file.

Every step is a command of the project, printed before it runs. All that it makes is in ``demo/``.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from commands import Commands
from own_file import restore_traces_of
from report import print_report
from salt import find_salt

FOLDER = Path("demo")


def main() -> None:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--segy", type=Path, nargs="+", help="one or more SEG-Y files of one survey")
    paths = parser.parse_args().segy
    if sys.stdout.isatty() is False:
        os.environ.setdefault("PYTHONUNBUFFERED", "1")
    folder = FOLDER / ("own" if paths else "salt")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    commands = Commands(catalog=folder / "catalog")
    results = (
        restore_traces_of(paths, commands=commands, folder=folder) if paths else find_salt(commands, folder=folder)
    )
    print_report(results, steps=commands.steps)


if __name__ == "__main__":
    main()
