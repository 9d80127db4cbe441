"""``python -m trainer``, but that one rank, $SLOW_RANK, takes ten times as long to read a chunk."""

import os
import time
from pathlib import Path

from trainer.__main__ import main
from trainer.reads.readers import DirectReader

TIMES = 10
LEAST_S = 0.01
"""A chunk of a test is read in no time."""

if os.environ["RANK"] == os.environ["SLOW_RANK"]:
    fetch = DirectReader.fetch

    def fetch_slowly(self, chunk):
        begun = time.perf_counter()
        content = fetch(self, chunk)
        time.sleep(max(LEAST_S, (TIMES - 1) * (time.perf_counter() - begun)))
        return content

    DirectReader.fetch = fetch_slowly
    Path(os.environ["TRACEMILL_CATALOG"], "a-rank-was-slow").touch()

main()
