"""Files of JSON objects, one a line, that are only added to; a process that is killed may cut its last line short."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class JsonLines:
    """Adds to such a file."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet.

        Args:
            path: Of the file; it is made with the first line.
        """
        self._path, self._goes_on = path, path.exists()

    def write(self, values: Mapping[str, Any]) -> None:
        """Adds a line; JSON knows no numbers that are not finite, they become null."""
        with open(self._path, "a+b") as file:
            if self._goes_on and file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            self._goes_on = False
            file.write(json.dumps({name: or_none(value) for name, value in values.items()}).encode() + b"\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of such a file, without those that were cut short; none where there is no file."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            found.append(values)
    return found


def or_none(value: Any) -> Any:
    """None in place of a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
