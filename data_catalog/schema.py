"""The catalog entry as pydantic models: what both halves know about a prepared dataset.

SPEC.md says the same in words. Shapes, boxes and chunks are in index space; ranges are half-open.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from data_catalog import layout

SPEC_VERSION: Literal["1.4"] = "1.4"

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Names are file names too: no separators, no leading dot, nothing that a path could abuse."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Size = Annotated[int, Field(gt=0, lt=2**63)]


def holds_password(url: str) -> bool:
    """Whether a URL has a password in it. Not by urlsplit, which finds none where a key holds a slash."""
    credentials, at, _ = url.partition("://")[2].partition("@")
    return bool(at) and ":" in credentials


def _without_credentials(url: str) -> str:
    if holds_password(url):
        raise ValueError("a URL in the catalog must not hold a password; leave it to the environment")
    return url


def _without_credentials_inside(settings: dict[str, JsonValue]) -> dict[str, JsonValue]:
    left: list[JsonValue] = [settings]
    while left:
        value = left.pop()
        if isinstance(value, str):
            _without_credentials(value)
        elif isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value
    return settings


Url = Annotated[str, AfterValidator(_without_credentials)]
Settings = Annotated[dict[str, JsonValue], AfterValidator(_without_credentials_inside)]
"""What something was made with; files may be named in it, and no password."""
Box = dict[Name, tuple[int, int]]
"""Index ranges by dimension, half-open; a dimension not named is taken whole."""


class Model(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(StrEnum):
    """What the main variable's dimensions mean (SPEC.md, "Kinds")."""

    STACK3D = "stack3d"
    STACK2D = "stack2d"
    GATHERS = "gathers"
    SHOTS = "shots"
    PASSIVE = "passive"
    FLAT = "flat"
    EXAMPLES = "examples"


class Role(StrEnum):
    """What a variable is to a trainer."""

    INPUT = "input"
    CLASS_LABEL = "class_label"
    TARGET = "target"
    PICK = "pick"
    PREDICTION = "prediction"
    COORDINATE = "coordinate"


class Variable(Model):
    """One Zarr array of the dataset.

    Attributes:
        role: What it is to a trainer.
        dims: Dimension names, slowest first.
        shape: Sizes along ``dims``.
        dtype: Zarr v3 data type name, e.g. ``float32``.
        chunk_shape: Inner chunk, the unit of reading and of the manifest.
        shard_shape: Storage object, the unit of writing; equals ``chunk_shape`` where unsharded.
        units: CF units; None for a pure number.
        long_name: CF long name.
        flag_values: Class numbers of a ``class_label``, in the order of ``flag_meanings``.
        flag_meanings: One word for each class.
        ignore_value: Label value that enters neither loss nor metric.
    """

    role: Role
    dims: tuple[Name, ...]
    shape: tuple[Size, ...]
    dtype: str
    chunk_shape: tuple[Size, ...]
    shard_shape: tuple[Size, ...]
    units: str | None = None
    long_name: str | None = None
    flag_values: tuple[int, ...] | None = None
    flag_meanings: tuple[str, ...] | None = None
    ignore_value: int | None = None


class Source(Model):
    """A file that the dataset was made from.

    Attributes:
        url: Where it was; credentials never enter.
        nbytes: Its size.
        trace_count: Traces in it.
        first_trace: Number of its first trace in the dataset's running trace numbers.
        sample_format: SEG-Y sample format code (binary header bytes 3225-3226).
        byte_order: Of headers and samples; ``pairwise``: big endian, with the bytes of each pair swapped.
        variable: The variable that its samples became.
        version: What told that it was still the same file, e.g. its time of modification; empty where nothing did.
    """

    url: Url
    nbytes: Annotated[int, Field(ge=0)]
    version: str = ""
    trace_count: Annotated[int, Field(ge=0)]
    first_trace: Annotated[int, Field(ge=0)]
    sample_format: int
    byte_order: Literal["big", "little", "pairwise"]
    variable: Name


class Derived(Model):
    """A group made later from the dataset, e.g. a prediction.

    Attributes:
        variables: Its variables, on the dataset's own dimensions.
        made_by: What made it, in a few words, e.g. ``trainer predict``.
        created: When, with time zone.
        boxes: Index boxes that hold values; empty means everywhere.
        provenance: Settings and files it came from.
    """

    variables: dict[Name, Variable]
    made_by: str
    created: AwareDatetime
    boxes: tuple[Box, ...] = ()
    provenance: Settings = {}


class Entry(Model):
    """A complete, verified dataset: the entry exists if and only if its store can be used.

    Attributes:
        spec_version: Version of SPEC.md that it keeps to; `migration` brings earlier ones to it.
        name: Name in the catalog, and of its file.
        revision: Counts from 1; each replacement adds one.
        kind: What the dimensions mean.
        url: The Zarr group; a path or an fsspec URL.
        created: When revision 1 was published, with time zone.
        main_variable: The variable with role ``input`` that training reads by default.
        sizes: Size of each dimension.
        variables: Variables of the root group.
        splits: Index boxes by split name, ``train`` and so on.
        split_by: How they were made, where it was later than the dataset: dimension, shares, guard band, seed.
        sources: Files it was made from.
        recipe: Settings it was made with, enough to make it again.
        warnings: What was odd and how it was handled.
        fates: How many traces of the main variable's sources met which fate; empty where it is not known.
        derived: Groups made from it later, by id.
    """

    spec_version: Literal["1.4"] = SPEC_VERSION
    name: Name
    revision: Annotated[int, Field(ge=1)] = 1
    kind: Kind
    url: Url
    created: AwareDatetime
    main_variable: Name
    sizes: dict[Name, Size]
    variables: dict[Name, Variable]
    splits: dict[Name, tuple[Box, ...]] = {}
    split_by: Settings = {}
    sources: tuple[Source, ...] = ()
    recipe: Settings = {}
    warnings: tuple[str, ...] = ()
    fates: dict[Name, Annotated[int, Field(ge=0)]] = {}
    derived: dict[Name, Derived] = {}

    def dimensions(self) -> str:
        """Those of the main variable with their sizes, in words."""
        main = self.variables[self.main_variable]
        return ", ".join(f"{dim} {size}" for dim, size in zip(main.dims, main.shape, strict=True))

    def all_variables(self) -> dict[str, Variable]:
        """Variables by their path in the store: those of the root, and ``derived/ID/NAME``."""
        return self.variables | {
            f"{layout.derived_path(derived_id)}/{name}": variable
            for derived_id, group in self.derived.items()
            for name, variable in group.variables.items()
        }
