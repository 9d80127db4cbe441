"""QuakeML into masks in time: written by ObsPy, read as files from strangers are."""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st
from obspy import UTCDateTime
from obspy.core.event import Arrival, Event, Origin, Pick, WaveformStreamID
from obspy.core.event import Catalog as Events
from typer.testing import CliRunner

from data_catalog import Catalog, Entry, InputError, check_store
from pipeline.__main__ import app
from pipeline.convert import convert
from pipeline.ingest.run import ingest, load_ingest_recipe
from pipeline.label import label, load_label_recipe
from pipeline.labels.phases import class_numbers
from pipeline.labels.quakeml import quakeml_table
from pipeline.recipe import load_recipe
from pipeline.store.publish import describe_variable

Label = Callable[..., tuple[Entry, np.ndarray]]

BEGINS = UTCDateTime("2017-09-18T23:59:00")
RECORD_S, INTERVAL_S = 10, 0.05


def pick(station: str, seconds: float, hint: str | None = "P", **more: Any) -> Pick:
    """A pick so long after the first record begins."""
    place = WaveformStreamID(network_code=more.pop("network", "XX"), station_code=station, channel_code="HHZ")
    return Pick(time=BEGINS + seconds, waveform_id=place, phase_hint=hint, **more)


def event(*picks: Pick, origins: tuple[Origin, ...] = (), preferred: int | None = None, **more: Any) -> Event:
    found = Event(picks=list(picks), origins=list(origins), **more)
    if preferred is not None:
        found.preferred_origin_id = origins[preferred].resource_id
    return found


def origin(**phases: Pick) -> Origin:
    arrivals = [Arrival(pick_id=each.resource_id, phase=phase) for phase, each in phases.items()]
    return Origin(time=BEGINS, longitude=0.0, latitude=0.0, arrivals=arrivals)


def written(*events: Event) -> bytes:
    buffer = io.BytesIO()
    Events(list(events)).write(buffer, format="QUAKEML")
    return buffer.getvalue()


@pytest.fixture
def records(write_headers: Any, client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    """Twelve records of five receivers, 10 s each, over midnight."""
    begins = np.repeat(86340 + RECORD_S * np.arange(12), 5)
    words = {"year": 2017, "day_of_year": 261 + begins // 86400, "hour": begins // 3600 % 24}
    words |= {"minute": begins // 60 % 60, "second": begins % 60, "channel": np.tile(np.arange(1, 6), 12)}
    path = write_headers(samples=np.ones((60, 200), np.float32), interval_us=50000, **words)
    entry = convert(
        load_recipe(name="made", paths=(str(path),), out=str(tmp_path / "made.zarr")), client=client, catalog=Catalog()
    )
    assert entry.variables["amplitude"].dims == ("record", "receiver", "time")
    return entry


@pytest.fixture
def label_it(client: Client, catalog_folder: Path, tmp_path: Path) -> Label:
    def label_with(*contents: bytes | str, **labels: Any) -> tuple[Entry, np.ndarray]:
        paths = []
        for number, content in enumerate(contents):
            path = tmp_path / (f"{number}.csv" if isinstance(content, str) else f"{number}.xml")
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            paths.append(str(path))
        options = {"source": "arrivals", "phases": ["P", "S"], "width": 100.0, "paths": paths} | labels
        entry = label(load_label_recipe(name="made", id="picks", labels=options), client=client, catalog=Catalog())
        assert check_store(entry) == []
        return entry, xr.open_zarr(f"{entry.url}/derived/picks", mask_and_scale=False)["label"].values

    return label_with


@pytest.fixture
def stations(tmp_path: Path) -> str:
    path = tmp_path / "stations.csv"
    path.write_text("network,station,receiver\nXX,AAA,4\nYY,AAA,2\nXX,0003,3\nXX,NA,5\n")
    return str(path)


def mask(*picks: tuple[tuple[int, ...], float, int], shape: tuple[int, ...] = (12, 5, 200)) -> np.ndarray:
    """0, and the class of each pick within 50 ms of it."""
    found = np.zeros(shape, np.uint8)
    for cell, seconds, phase in picks:
        found[cell][np.abs(np.arange(shape[-1]) - seconds / INTERVAL_S) <= 1 + 1e-9] = phase
    return found


def test_picks_of_quakeml_lie_where_stations_and_dates_say(records: Entry, label_it: Label, stations: str) -> None:
    """Over midnight, on receivers by a table; the same code in another network is another station."""
    picks = [pick("AAA", 73.25), pick("AAA", 0.0, "S", network="YY"), pick("0003", 119.9), pick("NA", 55.0, "S")]
    entry, found = label_it(written(event(*picks)), stations=stations)
    places = [((7, 3), 3.25, 1), ((0, 1), 0.0, 2), ((11, 2), 9.9, 1), ((5, 4), 5.0, 2)]
    np.testing.assert_array_equal(found, mask(*places))
    assert entry.derived["picks"].provenance["picks"] == {"P": 2, "S": 2}
    assert {Path(source["url"]).name for source in entry.derived["picks"].provenance["sources"]} == {  # type: ignore[union-attr, call-overload, index]
        "0.xml",
        "stations.csv",
    }


def test_the_command(records: Entry, stations: str, tmp_path: Path) -> None:
    path = tmp_path / "events.xml"
    path.write_bytes(written(event(pick("AAA", 73.25, "Pg"), pick("BBB", 1.0))))
    options = ["--as", "arrivals", "--id", "picks", "--phases", "P,S", "--width", "100", "--stations", stations]
    told = CliRunner().invoke(app, ["label", "made", str(path), *options], catch_exceptions=False)
    assert told.exit_code == 0
    assert "picks: P 1, S 0" in told.output
    assert "skipped_most: station XX.BBB 1" in told.output


def test_what_is_passed_over_is_told(records: Entry, label_it: Label, stations: str) -> None:
    picks = [
        pick("AAA", 1.0),
        pick("AAA", 2.0, "PmP"),
        pick("AAA", 3.0, None),
        pick("BBB", 4.0),
        pick("AAA", 500.0),
        pick("AAA", 5.0, evaluation_status="rejected"),
        Pick(time=BEGINS + 6, phase_hint="P"),
    ]
    none = event(pick("AAA", 7.0), event_type="not existing")
    entry, found = label_it(written(event(*picks), none), stations=stations)
    np.testing.assert_array_equal(found, mask(((0, 3), 1.0, 1)))
    provenance = entry.derived["picks"].provenance
    expected = {"other_phases": 2, "other_traces": 1, "other_times": 1, "rejected_picks": 2, "no_time_or_station": 1}
    assert provenance["skipped"] == expected
    assert provenance["skipped_most"] == {"phase PmP": 1, "phase ": 1, "station XX.BBB": 1}


def test_stations_may_be_numbers_of_receivers(records: Entry, label_it: Label) -> None:
    """And tables of comma-separated values say stations in the same way, leading zeros and all."""
    table = "station,phase,time\n0004,S,2017-09-19T00:00:13.25Z\n"
    _, found = label_it(written(event(pick("2", 21.0), pick("9", 22.0))), table)
    np.testing.assert_array_equal(found, mask(((2, 1), 1.0, 1), ((7, 3), 3.25, 2)))


def add_texts(entry: Entry, dim: str, **texts: list[str] | np.ndarray) -> None:
    """What another program that prepares datasets might write: coordinates along a dimension, of text or of numbers."""
    group, variables = zarr.open_group(entry.url, mode="r+", use_consolidated=False), {}
    for name, values in texts.items():
        dtype = values.dtype if isinstance(values, np.ndarray) else str
        array = group.create_array(
            name,
            shape=(len(values),),
            dtype=dtype,
            dimension_names=(dim,),
            attributes={"role": "coordinate", "long_name": name},
        )
        array[:] = np.array(values)
        variables[name] = describe_variable(array)
    Catalog().revise(
        entry.name, lambda found: found.model_copy(update={"variables": found.variables | variables}), what="texts"
    )


def test_text_coordinates_of_receivers_are_their_stations(records: Entry, label_it: Label) -> None:
    add_texts(records, "receiver", station=["A", "B", "C", "A", "E"], location=["00", "", "", "10", "--"])
    at_ten = pick("A", 31.0)
    at_ten.waveform_id.location_code = "10"
    _, found = label_it(written(event(pick("E", 12.0), at_ten, pick("F", 12.0))))
    np.testing.assert_array_equal(found, mask(((1, 4), 2.0, 1), ((3, 3), 1.0, 1)))


def test_a_station_at_several_receivers_is_refused(records: Entry, label_it: Label) -> None:
    add_texts(records, "receiver", station=["A", "B", "C", "A", "E"])
    with pytest.raises(InputError, match=r"station XX.A, which is at several places \(A at 1, A at 4\)"):
        label_it(written(event(pick("A", 12.0))))


@pytest.fixture
def examples(client: Client, catalog_folder: Path, tmp_path: Path) -> Entry:
    """Four examples of 10 s that begin a minute after one another, named a to d."""
    folder = tmp_path / "records"
    folder.mkdir()
    for row, name in enumerate("abcd"):
        start = (BEGINS + 60 * row).timestamp
        np.savez(folder / f"{name}.npz", data=np.ones((200, 3)), start_time=start, number=row)
    asked = {"format": "numpy", "paths": [str(folder)], "array": "data", "dims": ["time", "component"]}
    recipe = load_ingest_recipe(
        name="made", out=str(tmp_path / "made.zarr"), files=asked | {"samples": {"interval": 50}}
    )
    return ingest(recipe, client=client, catalog=Catalog())


def test_examples_are_found_by_station_and_start(examples: Entry, label_it: Label) -> None:
    """Of those of its station, a pick belongs to the one that began last."""
    add_texts(examples, "example", network=["XX"] * 4, station=["A", "B", "A", "A"])
    picks = [pick("A", 1.0), pick("B", 63.0, "S"), pick("A", 64.0), pick("A", 185.0), pick("B", 1.0)]
    entry, found = label_it(written(event(*picks)))
    places = [((0,), 1.0, 1), ((1,), 3.0, 2), ((3,), 5.0, 1)]
    np.testing.assert_array_equal(found, mask(*places, shape=(4, 200)))
    assert entry.derived["picks"].provenance["skipped"] == {
        "rejected_picks": 0,
        "no_time_or_station": 0,
        "other_phases": 0,
        "other_traces": 1,
        "other_times": 1,
    }


def test_dates_without_stations_say_too_little_of_examples(examples: Entry, label_it: Label) -> None:
    with pytest.raises(InputError, match="'made' has no coordinate such as station or name along example"):
        label_it(written(event(pick("A", 1.0))))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0.xml is no well-formed XML: no element found"),
        (b"<a><b></a>", "0.xml is no well-formed XML: mismatched tag"),
        (b"<?xml version='1.0' encoding='none-such'?><a/>", "0.xml is no well-formed XML: unknown encoding"),
        (b"<html><body/></html>", r"XML whose root is html, and picks are read from QuakeML \(root quakeml\)"),
        (b"<quakeml><nothing/></quakeml>", "is XML, but no QuakeML 1.2 that ObsPy reads"),
        (written(Event()), "no pick lies on 'made': there are none"),
        (written(event(pick("AAA", 1.0))), "stations such as XX.AAA, and 'made' knows receivers by number: say with"),
        (written(event(pick("77", 1.0))), r"no pick lies on 'made': 1 of other traces"),
    ],
)
def test_what_cannot_be_used_is_refused(content: bytes, message: str, records: Entry, label_it: Label) -> None:
    with pytest.raises(InputError, match=message):
        label_it(content)
    assert not (Path(records.url) / "derived/picks").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("code,receiver\nAAA,1\n", "stations.csv needs a column station: there are code, receiver"),
        ("station,receiver\nAAA,first\n", "stations.csv holds receiver 'first': whole numbers are expected"),
        ("station,receiver\nAAA,1.5\n", "holds receiver '1.5': whole numbers"),
        ("station,receiver\nAAA,1\nAAA,2\n", "is at several places"),
        ("station,receiver\nBBB,1\n", r"1 of other traces, station XX.AAA \(1\)"),
        ("", "is no table of comma-separated values"),
    ],
)
def test_tables_of_stations_that_cannot_be_used(
    table: str, message: str, records: Entry, label_it: Label, tmp_path: Path
) -> None:
    path = tmp_path / "stations.csv"
    path.write_text(table)
    with pytest.raises(InputError, match=message):
        label_it(written(event(pick("AAA", 1.0))), stations=str(path))
    with pytest.raises(InputError, match=r"none\.csv cannot be opened \(No such file"):
        label_it(written(event(pick("AAA", 1.0))), stations=str(tmp_path / "none.csv"))


def test_dates_do_not_lie_on_what_has_none(
    write_headers: Any, client: Client, label_it: Label, stations: str, tmp_path: Path
) -> None:
    cells = np.array([(s, c) for s in (101, 103, 104) for c in range(1, 9)])
    samples = np.random.default_rng(1).normal(size=(24, 50)).astype(np.float32)
    path = write_headers(shot=cells[:, 0], channel=cells[:, 1], offset=cells[:, 1] * 25, samples=samples)
    convert(
        load_recipe(name="made", paths=(str(path),), out=str(tmp_path / "made.zarr")), client=client, catalog=Catalog()
    )
    content = written(event(pick("AAA", 1.0)))
    with pytest.raises(InputError, match=r"by date and time, and 'made' \(shot, channel, time\) has no dates"):
        label_it(content)
    with pytest.raises(InputError, match=r"stations.csv says which receivers stations are, and 'made' has no"):
        label_it(content, stations=stations)


ENTITY = "<!ENTITY x SYSTEM '{url}'>"
LAUGHS = "<!ENTITY x0 'ha'>" + "".join(f"<!ENTITY x{n} '{f'&x{n - 1};' * 10}'>" for n in range(1, 10))


@pytest.mark.parametrize(
    "declaration",
    [
        f"<!DOCTYPE q [{ENTITY}]>",
        f"<!DOCTYPE q [{LAUGHS} <!ENTITY x '&x9;'>]>",
        "<!DOCTYPE q [<!ENTITY x 'P'>]>",
        "<!DOCTYPE q [<!ENTITY % y SYSTEM '{url}'> %y;]>",
        "<!DOCTYPE q SYSTEM '{url}'>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_before_they_are_read(declaration: str, encoding: str, tmp_path: Path) -> None:
    """Neither a file that the XML names, nor what grows without end, is ever looked at."""
    (tmp_path / "secret").write_text("P")
    text = written(event(pick("AAA", 1.0))).decode().partition("?>")[2]
    text = text.replace("<phaseHint>P<", "<phaseHint>&x;<")
    assert "&x;" in text
    header = f"<?xml version='1.0' encoding='{encoding}'?>"
    content = header + declaration.replace("{url}", (tmp_path / "secret").as_uri()) + text
    with pytest.raises(InputError, match=r"events\.xml declares a document type"):
        quakeml_table(content.encode(encoding), path="events.xml")


def test_files_are_told_apart_by_what_they_begin_with(records: Entry, label_it: Label) -> None:
    """Not by their names: QuakeML in UTF-16, called a table."""
    text = written(event(pick("2", 21.0))).decode().partition("?>")[2]
    _, found = label_it("<?xml version='1.0'?>" + text, b"\xef\xbb\xbf  " + b"<!-- none -->" + text.encode())
    np.testing.assert_array_equal(found, mask(((2, 1), 1.0, 1)))


def phases_of(*events: Event) -> list[str]:
    table, _ = quakeml_table(written(*events), path="events.xml")
    return table["phase"].tolist()


def test_an_origin_s_phase_counts_more_than_a_hint() -> None:
    first, second = pick("AAA", 1.0, "P"), pick("BBB", 2.0, "S")
    origins = (origin(Sg=first), origin(Pn=first))
    assert phases_of(event(first, second, origins=origins, preferred=1)) == ["Pn", "S"]
    assert phases_of(event(first, second, origins=origins, preferred=0)) == ["Sg", "S"]
    assert phases_of(event(first, second, origins=origins)) == ["P", "S"]  # none is preferred: hints
    assert phases_of(event(first, second, origins=origins[1:])) == ["Pn", "S"]  # the only one


def test_values_that_obspy_cannot_use_are_left_out_quietly() -> None:
    content = written(event(pick("AAA", 1.0), pick("BBB", 2.0))).replace(b"2017-09-18T23:59:01", b"yesterday")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table, left_out = quakeml_table(content, path="events.xml")
    assert table["station"].tolist() == ["BBB"]
    assert left_out == {"rejected_picks": 0, "no_time_or_station": 1}


def test_a_pick_without_an_identifier_has_its_hint() -> None:
    content = QUAKEML.replace(b"<pick publicID", b"<pick otherID")
    assert b"otherID" in content
    table, _ = quakeml_table(content, path="events.xml")
    assert table["phase"].tolist() == ["P", "S"]


def refusal(content: bytes) -> str:
    """Why a file is refused; nothing where it is not."""
    try:
        quakeml_table(content, path="events.xml")
    except InputError as refused:
        return str(refused)
    return ""


@given(st.binary(max_size=60), st.integers(0, 4000), st.integers(0, 60))
def test_damaged_files_are_refused_in_a_sentence(noise: bytes, at: int, cut: int) -> None:
    reason = refusal(QUAKEML[:at] + noise + QUAKEML[at + cut :])
    assert reason == "" or reason.startswith("events.xml ")


_FIRST = pick("AAA", 1.0)
QUAKEML = written(event(_FIRST, pick("BBB", 2.0, "S"), origins=(origin(Pg=_FIRST),), preferred=0))

REAL = {
    "io/cnv/tests/data/obspyck_20141020150701.xml": {"P": 4, "S": 4},
    "io/seiscomp/tests/data/westaus_events.xml": None,
    "io/iaspei/tests/data/19670130012028.xml": {"P*": 2, "S": 2},
}
"""Files that come with ObsPy, and the phases of the first."""


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str) -> None:
    path = files("obspy").joinpath(name)
    if not path.is_file():
        pytest.skip(f"this ObsPy has no {name}")
    table, left_out = quakeml_table(path.read_bytes(), path=name)
    numbers = table["phase"].map(class_numbers(["P", "S"]))
    assert len(table) > 0
    assert numbers.notna().all()
    assert sum(left_out.values()) == 0
    if REAL[name] is not None:
        assert table["phase"].value_counts().to_dict() == REAL[name]


def test_obspy_is_imported_for_quakeml_alone() -> None:
    program = "import sys, pipeline.__main__, pipeline.labels.arrivals; print('obspy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
