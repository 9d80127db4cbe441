"""Conversions that stop and go on, at signals, refusals, changes: each shard is written once, and nothing is lost."""

import io
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from distributed import Client
from numpy.typing import NDArray

from data_catalog import Catalog, Entry, InputError, Kind, hold_lease, layout, live_lease
from pipeline.convert import Conduct, convert
from pipeline.recipe import load_recipe
from pipeline.segy.fields import FILE_HEADER_NBYTES, TRACE_HEADER_NBYTES
from pipeline.segy.file import SegyFile
from pipeline.segy.read import FileState
from pipeline.status import read_status
from pipeline.store.ledger import Ledger
from pipeline.store.stored_plan import read_plan
from pipeline.survey.files import Survey
from pipeline.survey.order import sampled_numbers
from pipeline.telemetry import Telemetry
from pipeline.work.window import TASKS_IN_FLIGHT_PER_THREAD

INLINES, CROSSLINES, SAMPLES = 40, 30, 50
SHARD_COUNT = 12
IN_FLIGHT = 2 * TASKS_IN_FLIGHT_PER_THREAD
RECIPE = {"chunk_nbytes": 4096, "shard_nbytes": 4096}
TRACE = np.dtype(
    {
        "names": ["cdp", "inline", "crossline", "samples"],
        "formats": [">i4", ">i4", ">i4", f"({SAMPLES},)>u4"],
        "offsets": [20, 188, 192, TRACE_HEADER_NBYTES],
    }
)


def url_of(values: str = "", *, inlines: int = INLINES) -> str:
    shape = f"inlines={inlines},crosslines={CROSSLINES},samples={SAMPLES}"
    return f"rehearsal://{shape},{values or 'first_inline=1'}/survey.sgy"


class Lines(io.StringIO):
    """Takes telemetry, and lets something happen whenever a shard is written, told how many that makes."""

    def __init__(self, happening: Callable[[int], Any] = lambda count: None) -> None:
        super().__init__()
        self.shards: list[tuple[int, ...]] = []
        self._happening = happening

    def write(self, text: str) -> int:
        event = json.loads(text)
        if event["event"] == "shard":
            self.shards.append(tuple(event["shard"]))
            self._happening(len(self.shards))
        return len(text)


class Resumed:
    """A dataset that is converted in this process, call after call."""

    def __init__(self, folder: Path, client: Client, paths: tuple[str, ...]) -> None:
        self.catalog = Catalog(folder / "catalog")
        self.store = folder / "made.zarr"
        self.paths = paths
        self._client = client

    def call(self, lines: Lines | None = None, *, conduct: dict[str, Any] | None = None, **changes: Any) -> Entry:
        values = {"name": "made", "out": str(self.store), "paths": self.paths, **RECIPE, **changes}
        telemetry = Telemetry(lines or Lines())
        return convert(
            load_recipe(**values),
            client=self._client,
            catalog=self.catalog,
            conduct=Conduct(telemetry=telemetry, **(conduct or {})),
        )

    def stop_after(self, count: int) -> list[tuple[int, ...]]:
        """A call that ends as if Ctrl-C were pressed; returns the shards that it heard of."""
        lines = Lines(lambda written: interrupt() if written == count else None)
        with pytest.raises(KeyboardInterrupt):
            self.call(lines)
        assert not self.catalog.names()
        return lines.shards

    def records(self) -> set[tuple[int, ...]]:
        return Ledger(str(self.store)).completed()

    def objects(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.store)): path.read_bytes() for path in files_in(self.store)}

    def check_complete(self, expected: dict[str, bytes]) -> None:
        assert self.catalog.open("made").revision == 1
        assert self.objects() == expected
        assert not (self.store / layout.WORK_GROUP).exists()
        assert self.catalog.unfinished_names() == []


def interrupt() -> None:
    raise KeyboardInterrupt


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def make_resumed(client: Client, tmp_path: Path) -> Callable[..., Resumed]:
    def make(*paths: str | Path) -> Resumed:
        return Resumed(tmp_path / "resumed", client, tuple(map(str, paths)) or (url_of(),))

    return make


@pytest.fixture(scope="module")
def undisturbed(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes]]:
    """A function that gives the objects of a store made in one go, all headers read before any sample."""
    found: dict[tuple[str, ...], dict[str, bytes]] = {}

    def make(*paths: str | Path, **changes: Any) -> dict[str, bytes]:
        key = tuple(map(str, (*paths, changes)))
        if key not in found:
            made = Resumed(tmp_path_factory.mktemp("undisturbed"), client, tuple(map(str, paths)) or (url_of(),))
            made.call(conduct={"header_scan": "full"}, **changes)
            found[key] = made.objects()
        return found[key]

    return make


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a survey to disk, its traces changed or in another order."""

    def write(
        name: str = "survey.sgy", *, change: Callable[[NDArray[Any]], Any] = np.asarray, values: str = ""
    ) -> Path:
        with fsspec.open(url_of(values), "rb") as file:
            content = file.read()
        traces = np.frombuffer(content, TRACE, offset=FILE_HEADER_NBYTES).copy()
        path = tmp_path / name
        path.write_bytes(content[:FILE_HEADER_NBYTES] + change(traces).tobytes())
        return path

    return write


@pytest.mark.parametrize(
    ("number", "status", "scheduler"),
    [(signal.SIGINT, 130, ("--scheduler", "processes")), (signal.SIGTERM, 143, ())],
)
def test_a_signal_stops_with_a_sentence_and_the_same_call_goes_on(
    number: signal.Signals, status: int, scheduler: tuple[str, ...], make_conversion, undisturbed
) -> None:
    conversion = make_conversion({"paths": [url_of()], **RECIPE}, options=(*scheduler, "--workers", "2"))
    call = conversion.start()
    while len(conversion.records()) < 3:
        assert call.poll() is None, conversion.ended(call)
    os.killpg(call.pid, number)  # to the whole group, as a terminal does
    ended = conversion.ended(call)
    done = conversion.records()
    assert ended.status == status, ended
    assert f"stopped; {len(done)} of {SHARD_COUNT} shards are kept: the same command goes on" in ended.said
    assert len(done) < SHARD_COUNT
    found = conversion.status()
    assert (found["state"], found["completed"], found["shards"]) == ("stopped", len(done), SHARD_COUNT)
    assert conversion.catalog.names() == []
    before = conversion.written()
    assert conversion.call().status == 0
    again = conversion.written()[len(before) :]
    assert Counter(again) == Counter(set(np.ndindex(4, 3)) - done)
    conversion.check_complete(undisturbed())


def test_a_second_writer_is_refused_while_the_first_is_at_work(make_conversion, client: Client, undisturbed) -> None:
    conversion = make_conversion({"paths": [url_of()], **RECIPE}, options=("--scheduler", "threads"))
    call = conversion.start()
    while len(conversion.records()) < 2:
        assert call.poll() is None, conversion.ended(call)
    call.send_signal(signal.SIGSTOP)
    try:
        assert conversion.catalog.names() == [], "too late"
        recipe = load_recipe(**conversion.recipe)
        with pytest.raises(InputError, match=rf"is in use by \w+@\S+, process {call.pid} \(convert made\), since"):
            convert(recipe, client=client, catalog=conversion.catalog)
        found = read_status("made", catalog=conversion.catalog)
        assert (found["state"], found["writer"]["pid"]) == ("running", call.pid)
    finally:
        call.send_signal(signal.SIGCONT)
    assert conversion.ended(call).status == 0
    assert Counter(conversion.written()) == Counter(np.ndindex(4, 3))
    conversion.check_complete(undisturbed())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"codec": "zstd"}, r'codec was "lz4" and is "zstd"'),
        ({"chunk_nbytes": 8192}, r"chunk_nbytes was 4096 and is 8192"),
        ({"splits": {"train": ("inline:0%:50%",)}}, r"splits was \{\} and is \{.*train"),
        ({"paths": (url_of("first_inline=2"),)}, r"paths was \[.*first_inline=1.* and is \[.*first_inline=2"),
        ({"header_bytes": {"inline": 9}}, r'header_bytes was \{"inline": null.* and is \{"inline": 9'),
        ({"name": "other"}, r"where dataset 'made' lies"),
        ({"out": "/elsewhere.zarr"}, r"was begun at .*made.zarr"),
    ],
)
def test_other_options_are_refused_and_nothing_is_lost(make_resumed, undisturbed, changes, sentence: str) -> None:
    resumed = make_resumed()
    resumed.stop_after(4)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files_in(resumed.store)}
    records = resumed.records()
    with pytest.raises(InputError, match=sentence):
        resumed.call(**changes)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files_in(resumed.store)}
    assert after == before
    assert resumed.catalog.unfinished_names() == ["made"]
    lines = Lines()
    resumed.call(lines)
    assert Counter(lines.shards) == Counter(set(np.ndindex(4, 3)) - records)
    resumed.check_complete(undisturbed())


@pytest.mark.parametrize("change", ["size", "time"])
@pytest.mark.parametrize("when", ["between calls", "during a call"])
def test_a_source_that_changes_is_refused_and_nothing_is_lost(
    make_resumed, on_disk, undisturbed, change: str, when: str
) -> None:
    path = on_disk()
    content, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)

    def change_it() -> None:
        if change == "size":
            with path.open("ab") as file:  # never shorter in between: that would be noticed, too
                file.write(content[-(TRACE_HEADER_NBYTES + 4 * SAMPLES) * CROSSLINES :])
        os.utime(path, ns=(times[0], times[1] + 10**9))

    resumed = make_resumed(path)
    if when == "between calls":
        resumed.stop_after(4)
        change_it()
    else:
        with pytest.raises(InputError, match=r"survey.sgy changed since it was opened"):
            resumed.call(Lines(lambda written: change_it() if written == 4 else None))
    records = resumed.records()
    assert len(records) >= 4
    with pytest.raises(InputError, match=r"was begun otherwise: \S+survey.sgy changed"):
        resumed.call()
    assert resumed.records() == records
    path.write_bytes(content)
    os.utime(path, ns=times)
    lines = Lines()
    resumed.call(lines)
    assert not records & set(lines.shards)
    resumed.check_complete(undisturbed(path))


def test_what_a_kill_after_publishing_left_is_removed(make_resumed, undisturbed) -> None:
    """A call that was killed between its last two steps has succeeded, and so has the next one."""
    resumed = make_resumed()
    entry = resumed.call()
    with hold_lease(str(resumed.store), purpose="convert made") as lease:
        record = lease.record.model_copy(update={"process_started": 1})  # a process that had this one's number
    left = dict.fromkeys(("ledger/0.0.npz", "unfinished/.1.tmp", "plan.json", "index/x.zarr/zarr.json"), "{}")
    for name, text in (left | {"lease.json": record.model_dump_json()}).items():
        path = resumed.store / layout.WORK_GROUP / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert resumed.call() == entry
    resumed.check_complete(undisturbed())


def test_a_repeated_call_leaves_the_lease_of_another_writer(make_resumed) -> None:
    """Who adds to a published dataset holds its lease: it must not be swept away as a leftover."""
    resumed = make_resumed()
    entry = resumed.call()
    with hold_lease(str(resumed.store), purpose="predict") as lease:
        assert resumed.call() == entry
        assert live_lease(str(resumed.store)).token == lease.record.token


def test_an_unfinished_dataset_is_removed_and_made_anew(make_conversion, make_resumed, undisturbed) -> None:
    resumed = make_resumed()
    resumed.stop_after(4)
    conversion = make_conversion({"name": "made", "out": str(resumed.store)})
    ended = conversion.command("data_catalog", "remove", "made", "--yes", "--catalog", resumed.catalog.place)
    assert ended.status == 0, ended
    assert not resumed.store.exists()
    assert resumed.catalog.unfinished_names() == []
    lines = Lines()
    resumed.call(lines, codec="zstd")
    assert Counter(lines.shards) == Counter(np.ndindex(4, 3))
    resumed.check_complete(undisturbed(codec="zstd"))


def both_ways(traces: NDArray[Any]) -> NDArray[Any]:
    return traces[::-1]


def inlines_falling(traces: NDArray[Any]) -> NDArray[Any]:
    return traces.reshape(INLINES, CROSSLINES)[::-1]


def crossline_by_crossline(traces: NDArray[Any]) -> NDArray[Any]:
    return traces.reshape(INLINES, CROSSLINES).swapaxes(0, 1)


def crosslines_falling(traces: NDArray[Any]) -> NDArray[Any]:
    return crossline_by_crossline(traces)[:, ::-1]


@pytest.mark.parametrize(
    "order",
    [np.asarray, both_ways, inlines_falling, crossline_by_crossline, crosslines_falling],
    ids=lambda f: f.__name__,
)
def test_a_sample_of_the_headers_makes_the_same_store(make_resumed, on_disk, undisturbed, order) -> None:
    path = on_disk(change=order)
    resumed = make_resumed(path)
    resumed.call(Lines(lambda written: check_is_predicted(resumed)))
    resumed.check_complete(undisturbed(path))


@pytest.mark.parametrize("firsts", [(1, 21), (21, 1)], ids=["rising", "falling"])
@pytest.mark.parametrize("order", ["inline", "crossline"])
def test_a_sample_of_the_headers_of_two_files_makes_the_same_store(
    make_resumed, undisturbed, firsts: tuple[int, int], order: str
) -> None:
    urls = tuple(url_of(f"first_inline={first},order={order}", inlines=INLINES // 2) for first in firsts)
    resumed = make_resumed(*urls)
    resumed.call(Lines(lambda written: check_is_predicted(resumed)))
    resumed.check_complete(undisturbed(*urls))


def check_is_predicted(resumed: Resumed) -> None:
    """Sees that no index of all headers was needed: else the test would compare a thing with itself."""
    plan = read_plan(str(resumed.store))
    assert plan is not None
    assert plan.design.main.order.name == "line by line"


SWAPPED = url_of("swap=661")  # crosslines 2 and 3 of inline 23, which the sample of headers misses
SWAPPED_SHARD = (2, 0)


def is_second_design(resumed: Resumed) -> bool:
    plan = read_plan(str(resumed.store))
    assert plan is not None
    return plan.is_second_design


def test_a_wrong_prediction_keeps_the_shards_that_were_right(make_resumed, undisturbed) -> None:
    resumed = make_resumed(SWAPPED)
    designs: list[bool] = []
    lines = Lines(lambda written: designs.append(is_second_design(resumed)))
    resumed.call(lines)
    by_design = [{shard for shard, own in zip(lines.shards, designs, strict=True) if own is d} for d in (False, True)]
    assert by_design[0] >= {(0, 0), (0, 1), (0, 2)}
    assert SWAPPED_SHARD in by_design[1]
    assert max(Counter(lines.shards).values()) == 1
    in_flight = set(np.ndindex(4, 3)) - set(lines.shards)  # when the prediction failed: what became of them is in the
    assert len(in_flight) < IN_FLIGHT  # ledger alone
    resumed.check_complete(undisturbed(SWAPPED))


def test_a_stop_after_a_wrong_prediction(make_resumed, undisturbed) -> None:
    """Also the call that goes on looks at each shard that the first design made, and writes none of them again."""
    resumed = make_resumed(SWAPPED)
    with pytest.raises(KeyboardInterrupt):
        resumed.call(Lines(lambda written: interrupt() if is_second_design(resumed) else None))
    assert is_second_design(resumed)
    records = resumed.records()
    assert SWAPPED_SHARD in records
    lines = Lines()
    resumed.call(lines)
    assert Counter(lines.shards) == Counter(set(np.ndindex(4, 3)) - records)
    resumed.check_complete(undisturbed(SWAPPED))


STRAY = 1137
"""A trace that the sample of headers misses, of the last row and the last column of shards."""


def with_stray(traces: NDArray[Any]) -> NDArray[Any]:
    """One trace lies elsewhere, so that the grid has another row of shards before all others, empty but for it."""
    traces["inline"][STRAY] -= INLINES + 7
    return traces


def with_stray_and_swap(traces: NDArray[Any]) -> NDArray[Any]:
    """And two traces of the first shard are in each other's place."""
    traces[[91, 92]] = traces[[92, 91]]
    return with_stray(traces)


def test_a_wrong_prediction_leaves_nothing_where_there_is_no_trace(make_resumed, on_disk, undisturbed) -> None:
    """The main volume's part of the first shard is written before the other volume's is found to be wrong."""
    main, far = on_disk("main.sgy", change=with_stray), on_disk("far.sgy", change=with_stray_and_swap)
    changes, seen = {"volumes": {"far": (str(far),)}}, list[bool]()
    resumed = make_resumed(main)
    resumed.call(Lines(lambda written: seen.append(is_second_design(resumed))), **changes)
    assert True in seen
    resumed.check_complete(undisturbed(main, **changes))


def with_stray_and_cdp(traces: NDArray[Any]) -> NDArray[Any]:
    """And CDP numbers that differ in that trace alone."""
    traces["cdp"] = 7
    traces["cdp"][STRAY] = 8
    return with_stray(traces)


def test_a_wrong_prediction_is_forgotten_in_the_metadata(make_resumed, on_disk, undisturbed) -> None:
    path = on_disk(change=with_stray_and_cdp)
    resumed = make_resumed(path)
    resumed.call()
    resumed.check_complete(undisturbed(path))


def with_wild_lines(traces: NDArray[Any]) -> NDArray[Any]:
    """A tenth of the traces, none of which is in the sample, lies far off: this is no grid after all."""
    missed = np.setdiff1d(np.arange(INLINES * CROSSLINES), sampled_numbers(survey_of(INLINES * CROSSLINES)))
    traces["inline"][missed[-120:]] = 1_000_000 * (1 + np.arange(120))
    return traces


def survey_of(trace_count: int) -> Survey:
    """A survey of which only the number of traces is known."""
    file = SegyFile("x", 0, "segy", "big", (1, 0), 1, 1, 1.0, 3600, 240, trace_count)
    return Survey((file,), (FileState(0, ""),), ({},))


def test_a_prediction_of_another_kind_leaves_nothing(make_resumed, on_disk, undisturbed) -> None:
    path, seen = on_disk(change=with_wild_lines), []
    resumed = make_resumed(path)
    entry = resumed.call(Lines(lambda written: seen.append(len(read_plan(str(resumed.store)).design.axes))))
    assert set(seen) == {1, 2}
    assert entry.kind is not Kind.STACK3D
    resumed.check_complete(undisturbed(path))


WIDE = {"inlines": 20, "crosslines": 600}
"""So wide, and its traces so short, that sorting them into heaps costs less than to jump from line to line."""


def wide(tmp_path: Path, change: Callable[[NDArray[Any]], Any]) -> Path:
    path = tmp_path / "wide.sgy"
    with fsspec.open("rehearsal://inlines=20,crosslines=600,samples=50/survey.sgy", "rb") as file:
        content = file.read()
    traces = np.frombuffer(content, TRACE, offset=FILE_HEADER_NBYTES).copy()
    path.write_bytes(content[:FILE_HEADER_NBYTES] + change(traces).tobytes())
    return path


def wide_stray(traces: NDArray[Any]) -> NDArray[Any]:
    traces["inline"][WIDE_STRAY] -= 29
    return traces


def wide_swap(traces: NDArray[Any]) -> NDArray[Any]:
    traces[[WIDE_STRAY, WIDE_STRAY + 1]] = traces[[WIDE_STRAY + 1, WIDE_STRAY]]
    return traces


WIDE_STRAY = 19 * 600 + 300


@pytest.mark.parametrize("change", [wide_stray, wide_swap], ids=lambda change: change.__name__)
def test_a_wrong_prediction_of_sorted_traces(make_resumed, tmp_path, undisturbed, change) -> None:
    path, seen = wide(tmp_path, change), []
    chunks = {"chunk_nbytes": 4096, "shard_nbytes": 40000}

    def look(written: int) -> None:
        plan = read_plan(str(resumed.store))
        seen.append((plan.is_second_design, plan.reads["amplitude"].strategy))

    resumed = make_resumed(path)
    resumed.call(Lines(look), **chunks)
    print(Counter(seen))
    assert (False, "sort") in seen
    assert (True, "sort") in seen
    resumed.check_complete(undisturbed(path, **chunks))


@pytest.mark.parametrize("wait_s", [0, 0.5])
@pytest.mark.parametrize("scheduler", [(), ("--scheduler", "processes")])
def test_ctrl_c_while_it_is_loaded_ends_it_without_a_traceback(
    wait_s: float, scheduler: tuple[str, ...], make_conversion
) -> None:
    conversion = make_conversion({"paths": [url_of()], **RECIPE}, options=(*scheduler, "--workers", "2"))
    call = conversion.start()
    while "numpy" not in Path(f"/proc/{call.pid}/maps").read_text():  # before that, it is Python that is interrupted
        time.sleep(0.01)
    time.sleep(wait_s)
    os.killpg(call.pid, signal.SIGINT)
    ended = conversion.ended(call)
    assert ended.status in (130, -signal.SIGINT), ended
    assert "Traceback" not in ended.said
    if conversion.catalog.unfinished_names():
        assert "stopped; no shard was written: the same command begins anew" in ended.said
