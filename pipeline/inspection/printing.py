"""What inspection found, for people: tables, reasons, and the command that would convert it."""

import re
import shlex
from typing import Any

from rich.console import Console
from rich.table import Table

CANDIDATES_SHOWN = 8


def print_inspection(
    found: dict[str, Any], *, name: str, paths: list[str], options: dict[str, Any], console: Console
) -> None:
    """Prints what ``inspect_survey`` found.

    Args:
        found: As JSON values.
        name: What the dataset may be called.
        paths: Files or patterns, as they were given.
        options: Options that ``convert`` needs as well, by name.
        console: Where to.
    """
    for line in found["text_header"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for file in found["files"]:
        kind = "Seismic Unix" if file["format"] == "su" else f"SEG-Y revision {file['revision']}"
        console.print(
            f"{file['url']}: {kind}, {file['nbytes']} bytes, {file['traces']} traces of "
            f"{file['samples_per_trace']} samples at {file['sample_interval_us'] / 1000:g} ms, "
            f"format {file['sample_format']}, {file['byte_order']} endian",
            soft_wrap=True,
        )
    _print_words(found, console)
    _print_candidates(found, console)
    samples = found["samples"]
    if samples["rms"] is not None:
        console.print(
            f"samples of {samples['traces']} traces: {samples['minimum']:.6g} to {samples['maximum']:.6g}, "
            f"root mean square {samples['rms']:.6g}"
        )
    for reason in found["reasons"]:
        console.print(f"  {reason}", soft_wrap=True)
    axes = ", ".join(f"{axis} {found['axes'][axis]['size']}" for axis in found["axes"])
    console.print(f"kind: {found['kind']} ({axes})")
    for oddity in found["odd"]:
        console.print(f"odd: {oddity}", soft_wrap=True)
    console.print(f"convert it: {conversion(name, paths, options)}", soft_wrap=True, highlight=False)


def conversion(name: str, paths: list[str], options: dict[str, Any]) -> str:
    """The command that would convert it, with the options that were given."""
    shown = shlex.join(paths) if len(paths) <= 3 else "FILE..."
    said = ""
    for option, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            said += f" --{option} {shlex.quote(str(each))}"
    usable = usable_name(name)
    return f"python -m pipeline convert {shown}{said} --name {usable} --out {usable}.zarr"


def usable_name(name: str) -> str:
    """A name for a dataset, made of that of a file or of a pattern."""
    return re.sub(r"[^A-Za-z0-9._-]+", "", name).strip("._-") or "survey"


def _print_words(found: dict[str, Any], console: Console) -> None:
    table = Table("header word", "first byte", "least", "greatest", "step", box=None)
    for word, summary in found["header_words"].items():
        table.add_row(word, *(str(summary[key]) for key in ("first_byte", "least", "greatest", "step")))
    console.print(table)


def _print_candidates(found: dict[str, Any], console: Console) -> None:
    """Geometries that were considered, the ones that fit first."""
    table = Table("candidate", "words at bytes", "sizes", "filled", "repeated", "fits", "", box=None)
    ranked = sorted(found["candidates"], key=lambda candidate: not candidate["fits"])
    for candidate in ranked[:CANDIDATES_SHOWN]:
        table.add_row(
            candidate["kind"],
            ", ".join(f"{name} {position}" for name, position in candidate["words"].items()),
            " x ".join(map(str, candidate["sizes"])),
            f"{candidate['fill']:.0%}" if candidate["sizes"] else "",
            f"{candidate['repeats']:.0%}" if candidate["sizes"] else "",
            "yes" if candidate["fits"] else "no",
            candidate["why"],
        )
    console.print(table)
