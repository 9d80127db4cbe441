"""The judge: every breach of SPEC.md in an entry, or between an entry and its store, each with its place."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain, combinations

from pydantic import ValidationError

from data_catalog import layout
from data_catalog.errors import ConformanceError
from data_catalog.migration import VERSIONS, migrated
from data_catalog.problem import Problem
from data_catalog.schema import SPEC_VERSION, Box, Entry, Kind, Role, Variable
from data_catalog.zarr_metadata import is_group, read_array_metadata

LEADING_DIMS = {
    Kind.STACK3D: (("inline", "crossline"),),
    Kind.STACK2D: (("trace",),),
    Kind.FLAT: (("trace",),),
    Kind.EXAMPLES: (("example",),),
    Kind.PASSIVE: (("record",), ("trace",)),
    Kind.SHOTS: (("shot", "channel"), ("shot", "cable", "channel"), ("trace",)),
    Kind.GATHERS: (("inline", "crossline", "offset"), ("cdp", "offset"), ("trace",)),
}
"""Dimensions that the main variable of a kind may begin with."""

MOST_BOXES = 100_000
"""Of all splits together."""

FLOAT_ROLES = {Role.INPUT, Role.TARGET}


def parse_entry(text: str | bytes, *, place: str) -> Entry:
    """Reads an entry and judges it.

    Args:
        text: The entry's JSON.
        place: What to call it in messages, e.g. its path.

    Raises:
        ConformanceError: With every problem found.
    """
    try:
        document = migrated(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ConformanceError(place, [Problem("entry", "no-json", f"expected JSON, {error}")]) from None
    if isinstance(document, dict) and (version := document.get("spec_version", SPEC_VERSION)) != SPEC_VERSION:
        known = f"found {str(version)!r:.20}, known are {', '.join(VERSIONS)}: it was made by a later Tracemill"
        raise ConformanceError(place, [Problem("entry.spec_version", "unknown-version", known)])
    try:
        entry = Entry.model_validate(document)
    except ValidationError as error:
        raise ConformanceError(place, problems_of(error, root="entry")) from None
    if problems := check_entry(entry):
        raise ConformanceError(place, problems)
    return entry


def _without_credentials(text: str) -> str:
    return re.sub(r"(://)[^@\s]*@", r"\1", text)


_SAYS_ALL = {"missing", "json_invalid", "value_error"}
"""Kinds of errors whose message needs no value beside it."""


def problems_of(error: ValidationError, *, root: str) -> list[Problem]:
    """A pydantic error as problems, each placed as ``root.field[index].field``."""
    problems = []
    for detail in error.errors():
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step:.120}" for step in detail["loc"])
        found = "" if detail["type"] in _SAYS_ALL else f", found {_without_credentials(repr(detail['input'])):.80}"
        problems.append(Problem(f"{root}{steps}", detail["type"], f"{detail['msg']}{found}"))
    return problems


def check_entry(entry: Entry) -> list[Problem]:
    """Every contradiction inside an entry, without looking at its store."""
    problems: list[Problem] = []
    for name, variable in entry.variables.items():
        problems += _check_variable(variable, entry.sizes, place=f"entry.variables.{name}")
    for derived_id, derived in entry.derived.items():
        for name, variable in derived.variables.items():
            problems += _check_variable(variable, entry.sizes, place=f"entry.derived.{derived_id}.variables.{name}")
        for index, box in enumerate(derived.boxes):
            problems += _check_box(box, entry.sizes, place=f"entry.derived.{derived_id}.boxes[{index}]")
    problems += _check_main_variable(entry)
    problems += check_splits(entry.splits, entry.sizes)
    return problems


def check_store(entry: Entry) -> list[Problem]:
    """Every difference between an entry and the store that it names; reads metadata, no samples."""
    store_url = entry.url.rstrip("/")
    if not is_group(store_url):
        return [Problem(f"store {entry.url}", "no-store", "expected a Zarr v3 group here, found none")]
    problems = _check_group(store_url, entry.variables, place="store")
    dims = {dim for variable in entry.variables.values() for dim in variable.dims}
    for dim in sorted(dims - {layout.TRACE_HEADER_BYTE} - entry.variables.keys()):
        problems.append(Problem(f"store/{dim}", "no-coordinate", f"dimension {dim!r} has no coordinate variable"))
    for derived_id, derived in entry.derived.items():
        path = layout.derived_path(derived_id)
        if is_group(f"{store_url}/{path}"):
            problems += _check_group(f"{store_url}/{path}", derived.variables, place=f"store/{path}")
        else:
            problems.append(Problem(f"store/{path}", "no-group", "expected a Zarr v3 group here, found none"))
    return problems


def _check_variable(variable: Variable, sizes: dict[str, int], *, place: str) -> Iterator[Problem]:
    ranks = {len(variable.dims), len(variable.shape), len(variable.chunk_shape), len(variable.shard_shape)}
    if len(ranks) > 1:
        yield Problem(place, "rank-differs", "dims, shape, chunk_shape and shard_shape differ in length")
        return
    for dim, size in zip(variable.dims, variable.shape, strict=True):
        if dim not in sizes:
            yield Problem(f"{place}.dims", "unknown-dimension", f"{dim!r} is not in entry.sizes")
        elif sizes[dim] != size:
            yield Problem(f"{place}.shape", "size-differs", f"{dim!r} is {size} here and {sizes[dim]} in entry.sizes")
    for dim, chunk, shard in zip(variable.dims, variable.chunk_shape, variable.shard_shape, strict=True):
        if shard % chunk:
            message = f"{shard} along {dim!r} is no multiple of chunk {chunk}"
            yield Problem(f"{place}.shard_shape", "shard-unaligned", message)
    yield from _check_role(variable, place=place)


def _check_role(variable: Variable, *, place: str) -> Iterator[Problem]:
    if variable.role is Role.CLASS_LABEL:
        yield from _check_class_label(variable, place=place)
    if variable.role is Role.TARGET and not variable.dtype.startswith("float"):
        yield Problem(f"{place}.dtype", "wrong-dtype", f"a {variable.role} is float, found {variable.dtype}")
    if variable.role is Role.INPUT and not variable.dtype.startswith(("float", "int", "uint")):
        yield Problem(f"{place}.dtype", "wrong-dtype", f"an input is float or integer, found {variable.dtype}")


def _check_class_label(variable: Variable, *, place: str) -> Iterator[Problem]:
    if variable.dtype != "uint8":
        yield Problem(f"{place}.dtype", "wrong-dtype", f"a class_label is uint8, found {variable.dtype}")
    if not variable.flag_values or not variable.flag_meanings:
        yield Problem(place, "no-classes", "a class_label needs flag_values and flag_meanings")
    elif len(variable.flag_values) != len(variable.flag_meanings):
        yield Problem(place, "classes-differ", "flag_values and flag_meanings differ in length")
    elif variable.ignore_value in variable.flag_values:
        yield Problem(
            f"{place}.ignore_value", "ignore-is-class", f"{variable.ignore_value} is one of the classes as well"
        )
    if variable.ignore_value is None:
        yield Problem(place, "no-ignore-value", "a class_label needs an ignore_value")


def _check_main_variable(entry: Entry) -> Iterator[Problem]:
    main = entry.variables.get(entry.main_variable)
    if main is None:
        yield Problem("entry.main_variable", "no-variable", f"{entry.main_variable!r} is not in entry.variables")
        return
    if main.role is not Role.INPUT:
        yield Problem("entry.main_variable", "wrong-role", f"the main variable is an input, found {main.role}")
    live = entry.variables.get(layout.LIVE)
    if entry.sources and (live is None or live.dims != main.dims[:-1]):
        yield Problem("entry.variables.live", "no-live", f"expected `live` on ({', '.join(main.dims[:-1])})")
    allowed = LEADING_DIMS[entry.kind]
    if not any(main.dims[: len(leading)] == leading for leading in allowed):
        yield Problem(
            f"entry.variables.{entry.main_variable}.dims",
            "wrong-dims",
            f"kind {entry.kind} begins with {' or '.join(map(', '.join, allowed))}, found {', '.join(main.dims)}",
        )


def _check_box(box: Box, sizes: Mapping[str, int], *, place: str) -> Iterator[Problem]:
    for dim, (start, stop) in box.items():
        if dim not in sizes:
            yield Problem(f"{place}.{dim}", "unknown-dimension", f"{dim!r} is not in entry.sizes")
        elif not 0 <= start < stop <= sizes[dim]:
            yield Problem(f"{place}.{dim}", "outside", f"[{start}, {stop}) is not a range inside [0, {sizes[dim]})")


def check_splits(splits: Mapping[str, tuple[Box, ...]], sizes: Mapping[str, int]) -> list[Problem]:
    """Boxes that do not lie in the dataset, and splits that share samples."""
    problems: list[Problem] = []
    if (count := sum(map(len, splits.values()))) > MOST_BOXES:
        return [Problem("entry.splits", "too-many-boxes", f"{count} boxes, at most {MOST_BOXES} are compared")]
    for name, boxes in splits.items():
        for index, box in enumerate(boxes):
            problems += _check_box(box, sizes, place=f"entry.splits.{name}[{index}]")
    for first, second in _meeting(splits, sizes):
        problems.append(Problem("entry.splits", "splits-overlap", f"splits {first!r} and {second!r} share samples"))
    return problems


def _meeting(splits: Mapping[str, tuple[Box, ...]], sizes: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of splits that share samples. There may be thousands of ranges along one dimension: each is compared with
    those alone that reach to where it begins."""
    ranges: dict[str, set[tuple[int, int]]] = {}
    for box in chain.from_iterable(splits.values()):
        for dim in box.keys() & sizes.keys():
            ranges.setdefault(dim, set()).add(box[dim])
    if not ranges:
        return list(combinations([name for name, boxes in splits.items() if boxes], 2))
    along = max(ranges, key=lambda dim: len(ranges[dim]))
    whole = (0, sizes[along])
    places = [(box.get(along, whole), name, box) for name, boxes in splits.items() for box in boxes]
    found: set[frozenset[str]] = set()
    reaching: dict[str, list[tuple[int, Box]]] = {name: [] for name in splits}
    for (start, stop), name, box in sorted(places, key=lambda place: place[0]):
        for other in reaching.keys() - {name}:
            reaching[other] = [(end, each) for end, each in reaching[other] if end > start]
            if any(_boxes_meet(box, each, sizes) for _, each in reaching[other]):
                found.add(frozenset((name, other)))
        reaching[name].append((stop, box))
    return [pair for pair in combinations(splits, 2) if frozenset(pair) in found]


def _boxes_meet(one: Box, other: Box, sizes: Mapping[str, int]) -> bool:
    for dim, size in sizes.items():
        start_one, stop_one = one.get(dim, (0, size))
        start_other, stop_other = other.get(dim, (0, size))
        if stop_one <= start_other or stop_other <= start_one:
            return False
    return True


def _check_group(group_url: str, variables: dict[str, Variable], *, place: str) -> list[Problem]:
    problems: list[Problem] = []
    for name, variable in variables.items():
        problems += _check_array(f"{group_url}/{name}", variable, place=f"{place}/{name}")
        if variable.role in FLOAT_ROLES | {Role.CLASS_LABEL}:
            problems += _check_manifest(group_url, name, variable, place=place)
    return problems


def _check_array(array_url: str, variable: Variable, *, place: str) -> Iterator[Problem]:
    stored = read_array_metadata(array_url)
    if stored is None:
        yield Problem(place, "no-array", "expected a Zarr v3 array here, found none")
        return
    for field in ("dims", "shape", "dtype", "chunk_shape", "shard_shape"):
        found, expected = getattr(stored, field), getattr(variable, field)
        if found != expected:
            yield Problem(place, f"{field.replace('_', '-')}-differs", f"{field} is {found}, the entry says {expected}")
    if stored.attributes.get("role") != variable.role.value:
        yield Problem(
            place, "role-differs", f"role is {stored.attributes.get('role')!r}, the entry says {variable.role}"
        )
    if stored.attributes.get("ignore_value") != variable.ignore_value or (
        tuple(stored.attributes.get("flag_values") or ()) != (variable.flag_values or ())
    ):
        yield Problem(place, "classes-differ", "flag_values or ignore_value are not what the entry says")
    if variable.units is not None and stored.attributes.get("units") != variable.units:
        yield Problem(
            place, "units-differ", f"units are {stored.attributes.get('units')!r}, the entry says {variable.units!r}"
        )


def _check_manifest(group_url: str, name: str, variable: Variable, *, place: str) -> Iterator[Problem]:
    grid = tuple(-(-size // chunk) for size, chunk in zip(variable.shape, variable.chunk_shape, strict=True))
    is_label = variable.role is Role.CLASS_LABEL
    required = {layout.CLASS_COUNTS} if is_label else layout.STATISTICS.keys()
    for statistic, (dtype, extra) in layout.manifest_arrays(is_label=is_label, is_rounded=True).items():
        path, shape = layout.manifest_path(name, statistic), (*grid, *extra)
        stored = read_array_metadata(f"{group_url}/{path}")
        if stored is None:
            if statistic in required:
                yield Problem(f"{place}/{path}", "no-array", "expected a Zarr v3 array here, found none")
        elif (stored.dtype, stored.shape) != (dtype, shape):
            yield Problem(
                f"{place}/{path}",
                "manifest-differs",
                f"{stored.dtype} {stored.shape}, expected {dtype} {shape} on the inner-chunk grid",
            )
