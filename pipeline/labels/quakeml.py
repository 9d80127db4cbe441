"""QuakeML as a table of picks, read by ObsPy.

Files come from strangers. Those that declare a document type are refused before anything of them is read: QuakeML has
none, and entities, which are declared there, can name other files or grow without end.
"""

import io
import warnings
from collections import Counter
from typing import Any
from xml.parsers import expat

import pandas as pd

from data_catalog import InputError

REJECTED = "rejected"
"""Evaluation status of a pick that an analyst has thrown out."""

NOT_EXISTING = "not existing"
"""Type of an event that was none."""


def quakeml_table(content: bytes, *, path: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """All picks of a file that are worth something.

    Args:
        content: The file.
        path: What to call it.

    Returns:
        A row for each pick: ``phase``, ``time`` (with its zone), ``network``, ``station``, ``location``; and how many
        were left out because they were rejected, or lack a time or a station.

    Raises:
        InputError: If it is no QuakeML.
    """
    _check_xml(content, path)
    rows: list[dict[str, Any]] = []
    left_out = Counter({"rejected_picks": 0, "no_time_or_station": 0})
    for event in _events(content, path):
        phases = _associated_phases(event)
        for pick in event.picks:
            place = pick.waveform_id
            if pick.evaluation_status == REJECTED or event.event_type == NOT_EXISTING:
                left_out["rejected_picks"] += 1
            elif pick.time is None or place is None or not place.station_code:
                left_out["no_time_or_station"] += 1
            else:
                rows.append(
                    {
                        "phase": phases.get(_named(pick.resource_id)) or pick.phase_hint or "",
                        "time": pick.time.ns // 1000,
                        "network": place.network_code or "",
                        "station": place.station_code,
                        "location": place.location_code or "",
                    }
                )
    table = pd.DataFrame(rows, columns=["phase", "time", "network", "station", "location"])
    return table.assign(time=pd.to_datetime(table["time"].astype("int64"), unit="us", utc=True)), dict(left_out)


def _associated_phases(event: Any) -> dict[str, str]:
    """What the preferred origin, or the only one, takes each pick for.

    Origins are looked for in the event itself: ObsPy's own look-up remembers those of other files that were read.
    """
    preferred = _named(event.preferred_origin_id)
    origins = event.origins
    if len(origins) > 1:
        origins = [origin for origin in origins if preferred and _named(origin.resource_id) == preferred]
    arrivals = [arrival for origin in origins for arrival in origin.arrivals if arrival.pick_id]
    return {_named(arrival.pick_id): arrival.phase for arrival in arrivals}


def _named(resource_id: Any) -> str:
    """An identifier as text; blank where a file leaves it out, though QuakeML asks for it."""
    return "" if resource_id is None else str(resource_id.id)


def _events(content: bytes, path: str) -> Any:
    # Imported here: ObsPy takes a second, and only QuakeML needs it.
    from obspy import read_events

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a value that it cannot use ObsPy warns, and leaves it out
        try:
            return read_events(io.BytesIO(content), format="QUAKEML")
        except Exception as error:  # of XML that is no QuakeML it raises whatever comes
            raise InputError(
                f"{path} is XML, but no QuakeML 1.2 that ObsPy reads ({type(error).__name__}: {str(error)[:120]})."
            ) from None


def _check_xml(content: bytes, path: str) -> None:
    """Sees that a file is well-formed, begins as QuakeML does, and declares no document type."""
    parser = expat.ParserCreate(namespace_separator=" ")
    roots: list[str] = []

    def refuse(*_: object) -> None:
        raise InputError(
            f"{path} declares a document type (<!DOCTYPE ...>), through which XML can name other files or grow without "
            "end; QuakeML has none: take the declaration out if you trust the file."
        )

    def begin(name: str, _: object) -> None:
        roots.append(name.rpartition(" ")[2])
        parser.StartElementHandler = None  # the first one is the root

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begin
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: an encoding that is none
        raise InputError(f"{path} is no well-formed XML: {error}.") from None
    if roots != ["quakeml"]:
        raise InputError(f"{path} is XML whose root is {roots[0]}, and picks are read from QuakeML (root quakeml).")
