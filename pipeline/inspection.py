"""What is in a file, what is odd, and which conversion would fit: for people as a table, for machines as JSON."""

import re
import shlex
from math import prod
from tempfile import TemporaryDirectory
from typing import Any

from distributed import Client
from rich.console import Console
from rich.table import Table

from pipeline.recipe import HeaderBytes
from pipeline.survey.axis import Axis, SampleAxis
from pipeline.survey.coordinates import header_warnings, sample_axis, trace_coordinates
from pipeline.survey.files import Survey
from pipeline.survey.geometry import Geometry, resolve_geometry
from pipeline.survey.header_words import HeaderSummary
from pipeline.survey.scan import scan


def inspect_survey(survey: Survey, *, header_bytes: HeaderBytes, index: str | None, client: Client) -> dict[str, Any]:
    """Reads all headers and says what they hold, as JSON values.

    Args:
        survey: Files of one survey.
        header_bytes: Where the geometry's words are.
        index: Folder where the index of the headers is kept for other calls; None keeps none.
        client: Where the headers are read.
    """
    with TemporaryDirectory(prefix="tracemill-") as scratch:
        found = scan(survey, keep=index or f"{scratch}/index", client=client)
        geometry = resolve_geometry(found, scratch=scratch, client=client)
    first = survey.files[0]
    samples = sample_axis(first, found.first, domain="time")
    coordinates = trace_coordinates(found.summary, found.first, feet=first.feet)
    axes: tuple[Axis | SampleAxis, ...] = (*geometry.axes, samples)
    return {
        "files": [
            {
                "url": file.url,
                "nbytes": file.nbytes,
                "traces": file.trace_count,
                "samples_per_trace": file.sample_count,
                "sample_interval_us": file.sample_interval_us,
                "sample_format": f"{file.format_code} ({file.sample_format.name})",
                "byte_order": file.byte_order,
                "revision": file.revision_major,
            }
            for file in survey.files
        ],
        "kind": geometry.kind.value,
        "reasons": list(geometry.reasons),
        "axes": {axis.name: {"size": axis.size, "first": axis.first, "last": axis.last} for axis in axes},
        "header_words": _ranges(found.summary, header_bytes),
        "odd": [
            *(f"{file.url}: {oddity}" for file in survey.files for oddity in file.oddities),
            *header_warnings(found.summary, coordinates),
            *_holes(geometry),
        ],
    }


def print_inspection(found: dict[str, Any], *, name: str, console: Console) -> None:
    """Prints what ``inspect_survey`` found, and the command that would convert it."""
    for file in found["files"]:
        console.print(
            f"{file['url']}: {file['nbytes']} bytes, {file['traces']} traces of "
            f"{file['samples_per_trace']} samples at {file['sample_interval_us'] / 1000:g} ms, "
            f"format {file['sample_format']}, {file['byte_order']} endian, revision {file['revision']}"
        )
    table = Table("header word", "first byte", "least", "greatest", "step", box=None)
    for word, summary in found["header_words"].items():
        table.add_row(word, *(str(summary[key]) for key in ("first_byte", "least", "greatest", "step")))
    console.print(table)
    for reason in found["reasons"]:
        console.print(f"  {reason}")
    axes = ", ".join(f"{axis} {found['axes'][axis]['size']}" for axis in found["axes"])
    console.print(f"kind: {found['kind']} ({axes})")
    for oddity in found["odd"]:
        console.print(f"odd: {oddity}")
    console.print(f"convert it: {_conversion(found, name=name)}")


def _conversion(found: dict[str, Any], *, name: str) -> str:
    paths = [file["url"] for file in found["files"]]
    shown = shlex.join(paths) if len(paths) <= 3 else "FILE..."
    usual = HeaderBytes().model_dump()
    header_bytes = "".join(
        f" --{word.replace('_', '-')}-byte {summary['first_byte']}"
        for word, summary in found["header_words"].items()
        if summary["first_byte"] != usual[word]
    )
    usable = re.sub(r"[^A-Za-z0-9._-]+", "", name).strip("._-") or "survey"  # for a pattern too
    return f"python -m pipeline convert {shown}{header_bytes} --name {usable} --out {usable}.zarr"


def _ranges(summary: HeaderSummary, header_bytes: HeaderBytes) -> dict[str, dict[str, int]]:
    return {
        name: {"first_byte": first_byte, **summary.ranges[name].model_dump()}
        for name, first_byte in header_bytes.model_dump().items()
    }


def _holes(geometry: Geometry) -> list[str]:
    cells = prod(geometry.shape)
    empty = cells - geometry.trace_count
    return [f"{empty} of {cells} grid cells hold no trace"] if empty else []
