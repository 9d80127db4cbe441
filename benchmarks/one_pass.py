"""Conversion of a file that is not cached: in one pass, as a sample of headers allows, against two passes.

Two passes read all headers first, and then all samples. Whole commands with the file dropped from the page cache before
each; `sync` included.
"""

from call import CONSOLE, GB, parse_call
from conversion import Target, run
from page_cache import cached_share, drop, told
from rich.table import Table
from surveys import survey_of, write_survey
from timing import PAIR_COLUMNS, interleaved

from pipeline.work.cluster import THREADS

WORKERS = 2


def main() -> None:
    call = parse_call(__doc__, sizes_gb=(4.0,), repeats=3)
    (nbytes,) = call.sizes
    cached: list[float | None] = []
    with call.place(room_nbytes=9 * nbytes // 4) as place:
        source = write_survey(survey_of(nbytes), place.sources)
        target = Target(place.scratch / "target")
        in_one = target.command(source, "--scheduler", THREADS, "--workers", str(WORKERS))

        def prepare() -> None:
            target.clear()
            drop(source)
            cached.append(cached_share(source))

        pairs = interleaved(
            {"one pass": lambda: run(in_one)},
            reference=lambda: run([*in_one, "--full-scan"]),
            before=prepare,
            repeats=call.repeats,
        )
        table = Table(
            "reference: two passes (--full-scan)",
            *PAIR_COLUMNS,
            title=f"{source.stat().st_size / GB:.2f} GB, cold, {WORKERS} threads",
            caption=f"seconds: medians; still in the page cache of the file that was dropped: {told(cached)}",
        )
        table.add_row("one pass", *pairs["one pass"].cells())
        CONSOLE.print(table)


if __name__ == "__main__":
    main()
