"""Which section or example a picture is, by the number at the end of its name."""

import re
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from data_catalog import InputError


def section_numbers(urls: tuple[str, ...]) -> NDArray[np.int64]:
    """The last number in each file's name, int64.

    Raises:
        InputError: If a name has none, or two have the same.
    """
    found = []
    for url in urls:
        digits = re.findall(r"\d+", PurePosixPath(url).stem)
        if not digits:
            raise InputError(f"{url} has no number in its name, which should say which section it is.")
        found.append(int(digits[-1]))
    numbers = np.array(found, np.int64)
    if np.unique(numbers).size != numbers.size:
        raise InputError("two pictures have the same number at the end of their names: each is a section of its own.")
    return numbers
