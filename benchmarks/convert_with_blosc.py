"""`python -m pipeline convert` with another Blosc level and shuffle, for a comparison: LEVEL SHUFFLE ARGUMENT...

What is compressed with is not for users to choose at this depth, so the method that does it is replaced. That holds in
this process alone: with `--scheduler threads`. The array's metadata still name our own level, which no reader needs.
"""

import sys
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from data_catalog import command_line
from pipeline.__main__ import app
from pipeline.storage.codec import Codec

SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


def main() -> None:
    level, shuffle = int(sys.argv[1]), SHUFFLES[sys.argv[2]]

    def encode(self: Codec, block: NDArray[Any]) -> bytes:
        content = block.reshape(-1).view(np.uint8)
        encoded: bytes = blosc.compress(content, self.name.encode(), level, shuffle, blosc.AUTOBLOCKS, self.itemsize)
        return encoded

    Codec.encode = encode  # type: ignore[method-assign]
    del sys.argv[1:3]
    command_line.run(app, name="python -m pipeline")


if __name__ == "__main__":
    main()
