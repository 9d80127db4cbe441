"""Runs every benchmark, or the ones named, and prints their tables. Each works in a temporary folder of its own.

Usage: python benchmarks/run.py [NAME ...]
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "run")
    wanted = sys.argv[1:] or known
    if unknown := set(wanted) - set(known):
        sys.exit(f"no benchmark named {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in wanted:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, FOLDER / f"{name}.py"], check=True)


if __name__ == "__main__":
    main()
