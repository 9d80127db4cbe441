"""Files whose headers lie or are noise: opened, and judged, or refused; how long the slowest takes, and in what memory.

Small files in shared memory, on all processors. Any error but a refusal ends it with the seed of the file that did it.
--repeats is how many.
"""

import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from call import CONSOLE, parse_call
from rich.table import Table

from data_catalog import InputError
from pipeline.recipe import HeaderBytes
from pipeline.survey.files import open_survey
from pipeline.survey.headers import sample_evidence
from pipeline.synthetic.hostile import hostile_file

BATCH = 500
LIMIT_NBYTES = 4 * 2**30
"""Of address space, of which stacks of threads take much, above what a process begins with: more is refused."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of some files."""

    count: int
    refused: int
    slowest_s: float
    grown_mib: float


def main() -> None:
    call = parse_call(__doc__, repeats=1_000_000)
    count = 4 * BATCH if call.is_small else call.repeats
    begun = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(initializer=limit_memory) as pool:
        batches: list[Batch] = []
        for batch in pool.imap_unordered(try_batch, range(count // BATCH)):
            batches.append(batch)
            if len(batches) % (10_000 // BATCH) == 0:  # a long run says how far it is
                slowest_s = max(each.slowest_s for each in batches)
                CONSOLE.print(f"{len(batches) * BATCH} files, {slowest_s:.2f} s at most")
    table = Table("files", "refused", "opened", "slowest, s", "memory grown by, MiB", "seconds")
    table.add_row(
        str(sum(batch.count for batch in batches)),
        str(sum(batch.refused for batch in batches)),
        str(sum(batch.count - batch.refused for batch in batches)),
        f"{max(batch.slowest_s for batch in batches):.2f}",
        f"{max(batch.grown_mib for batch in batches):.0f}",
        f"{time.perf_counter() - begun:.0f}",
    )
    CONSOLE.print(table)


def limit_memory() -> None:
    """Makes an allocation that goes beyond the bound fail."""
    status = Path("/proc/self/status")
    if status.exists():
        held = int(status.read_text().partition("VmSize:")[2].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (held + LIMIT_NBYTES, resource.RLIM_INFINITY))


def try_batch(seed: int) -> Batch:
    """Opens some files, one after another."""
    random = np.random.default_rng(seed)
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    refused, slowest = 0, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "hostile.sgy"
        for number in range(BATCH):
            path.write_bytes(hostile_file(random))
            begun = time.perf_counter()
            try:
                survey = open_survey((str(path),), HeaderBytes())
                assert sample_evidence(survey).proposals
            except InputError:
                refused += 1
            except Exception as error:
                raise RuntimeError(f"file {number} of seed {seed}") from error
            slowest = max(slowest, time.perf_counter() - begun)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Batch(BATCH, refused, slowest, (after - before) / 1024)


if __name__ == "__main__":
    main()
