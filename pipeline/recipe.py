"""What the user asks of a conversion: one checked value, from the command line, from a YAML file, or from both."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import zarr
from pydantic import AfterValidator, Field, ValidationError, model_validator

from data_catalog import Entry, InputError, Kind, layout
from data_catalog.conformance import problems_of
from data_catalog.model_file import overridden, validated
from data_catalog.schema import Model, Name, Url
from data_catalog.storage import same_place
from pipeline.segy.fields import TRACE_HEADER_NBYTES
from pipeline.segy.fields import Field as HeaderField
from pipeline.segy.opening import Reading
from pipeline.storage.codec import CodecName
from pipeline.storage.rounding import FLOAT32_BITS


def _word(value: int | str) -> int | str:
    """Sees that a position is one: the first byte of a word of usual width, or ``FIRST-LAST``."""
    first, _, last = str(value).partition("-")
    if not (first.isdigit() and (last.isdigit() or not last)):
        raise ValueError("a position is a byte, 189, or a range of two or four bytes, 189-192")
    begin, end = int(first), int(last or first)
    if not 1 <= begin <= end <= TRACE_HEADER_NBYTES or (last and end - begin not in {1, 3}):
        raise ValueError(f"a word has two or four of the bytes 1 to {TRACE_HEADER_NBYTES}")
    if not last and begin > TRACE_HEADER_NBYTES - 4 + 1:
        raise ValueError(f"a word of four bytes does not fit behind byte {begin}")
    return int(value) if not last else str(value)


M = TypeVar("M", bound=Model)

BytePosition = Annotated[int | str, AfterValidator(_word)]


RESERVED_NAMES = {
    *("inline", "crossline", "trace", "time", "depth", "cdp", "cdp_x", "cdp_y", "offset", "shot", "channel", "cable"),
    "source_point",
    *("component", "record", "receiver", "duplicate", "source_x", "source_y", "receiver_x", "receiver_y", "start_time"),
    *("fate",),
    *(layout.LIVE, layout.TRACE_NUMBER, layout.TRACE_HEADER, layout.TRACE_HEADER_BYTE),
    *(layout.MANIFEST_GROUP, layout.DERIVED_GROUP, layout.SOURCE_GROUP, layout.RESIDUE_GROUP, layout.WORK_GROUP),
    "zarr.json",
    *("repeated", "repeated_number", "tail"),
}
"""What a store holds beside the variables."""


class HeaderBytes(Model):
    """Where the trace header keeps the words that make the geometry: bytes counted from 1.

    A position is the first byte of a 4-byte integer, or a range such as ``29-30``. What is None is where the file's own
    layout has it, else where the standard has it, else where inference finds it.
    """

    inline: BytePosition | None = None
    crossline: BytePosition | None = None
    cdp: BytePosition | None = None
    offset: BytePosition | None = None
    shot: BytePosition | None = None
    source_point: BytePosition | None = None
    channel: BytePosition | None = None
    cable: BytePosition | None = None
    component: BytePosition | None = None
    source_x: BytePosition | None = None
    source_y: BytePosition | None = None
    receiver_x: BytePosition | None = None
    receiver_y: BytePosition | None = None
    cdp_x: BytePosition | None = None
    cdp_y: BytePosition | None = None
    coordinate_scalar: BytePosition | None = None

    @model_validator(mode="after")
    def _inline_is_not_crossline(self) -> Self:
        inline, crossline = self.fields.get("inline"), self.fields.get("crossline")
        if inline is not None and inline == crossline:
            raise ValueError(f"inline and crossline numbers cannot both be at byte {inline.first_byte}")
        return self

    @property
    def fields(self) -> dict[str, HeaderField]:
        """The words that are stated, by name."""
        found = {}
        for name, position in self.model_dump(exclude_none=True).items():
            first, _, last = str(position).partition("-")
            nbytes = int(last) - int(first) + 1 if last else 4
            found[name] = HeaderField(int(first), f"i{nbytes}")
        return found


class SourceFile(Model):
    """A file of a survey, or several by a pattern; its path alone stands for it where there is nothing else to say.

    Attributes:
        path: Path, fsspec URL, or a pattern such as ``lines/*.sgy``.
        header_bytes: Its header positions; None takes the survey's.
        reading: How it is to be read; None takes the survey's.
    """

    path: Url
    header_bytes: HeaderBytes | None = None
    reading: Reading | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


Duplicates = Literal["first", "last", "mean", "dimension", "fail"]
BadTraces = Literal["salvage", "drop", "fail"]

Sources = Annotated[tuple[SourceFile, ...], Field(min_length=1)]


class Label(Model):
    """A label volume: SEG-Y on the same grid, whose samples are class numbers.

    Attributes:
        paths: Its files.
        classes: A word for each class number.
        ignore_value: Label value for samples that are to be left out.
    """

    paths: Sources
    classes: dict[Annotated[int, Field(ge=0, le=255)], Annotated[str, Field(pattern=r"^\S+$")]] = Field(min_length=1)
    ignore_value: Annotated[int, Field(ge=0, le=255)] = 255

    @model_validator(mode="after")
    def _ignored_is_no_class(self) -> Self:
        if self.ignore_value in self.classes:
            raise ValueError(f"ignore_value {self.ignore_value} is one of the classes as well")
        return self


class ConvertRecipe(Model):
    """Everything that decides what a conversion makes.

    Attributes:
        name: Name in the catalog.
        paths: SEG-Y files of one survey, in order: paths, URLs or patterns, or mappings for files that differ.
        out: Where the store goes: a path or an fsspec URL, not yet in use.
        kind: ``stack3d``, ``stack2d``, ``gathers``, ``shots``, ``passive`` or ``flat``; None infers it.
        variable: Name of the main variable.
        domain: What the sample axis is.
        header_bytes: Header positions, where they are known.
        reading: How the files are to be read, where their headers do not say it or say it wrongly.
        volumes: Files of further volumes on the same grid, by variable name: near, mid and far stacks, or vintages.
        labels: Label volumes by variable name.
        splits: Boxes by split name, each ``inline:100:219`` in axis labels, both ends included, or ``inline:0%:70%``;
            a box along several axes joins their ranges by commas.
        duplicates: What becomes of traces that have a cell in common: the ``first`` or the ``last`` in the file has it,
            or their ``mean``, or they lie along another ``dimension``, or the conversion is to ``fail``. None takes the
            first as long as they are few, and else another kind.
        bad_traces: What becomes of traces with samples that are NaN or infinite: ``salvage`` keeps them, and marks
            them; ``drop`` puts zeros in their place, and keeps them for the export; ``fail`` stops.
        native_dtype: Whether samples keep the type that they have in the file, integers for instance, instead of
            becoming float32.
        codec: ``lz4`` or ``zstd`` over shuffled bits, or ``none``.
        significant_bits: Samples are rounded to so many, of the 24 that float32 has; None keeps all, and with them the
            way back to the source byte for byte. 11 loses what float16 would.
        chunk_nbytes: About what an inner chunk should hold; None chooses.
        shard_nbytes: About what a shard should hold before it is compressed; None chooses.
    """

    name: Name
    paths: Sources
    out: Url
    kind: Kind | None = None
    variable: Name = "amplitude"
    domain: Literal["time", "depth"] = "time"
    header_bytes: HeaderBytes = Field(default_factory=HeaderBytes)
    reading: Reading = Field(default_factory=Reading)
    volumes: dict[Name, Sources] = Field(default_factory=dict)
    labels: dict[Name, Label] = Field(default_factory=dict)
    splits: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    duplicates: Duplicates | None = None
    bad_traces: BadTraces = "salvage"
    native_dtype: bool = False
    codec: CodecName = "lz4"
    significant_bits: Annotated[int, Field(ge=2, lt=FLOAT32_BITS)] | None = None
    chunk_nbytes: Annotated[int, Field(ge=1024)] | None = None
    shard_nbytes: Annotated[int, Field(ge=1024)] | None = None

    @model_validator(mode="after")
    def _own_types_stay_as_they_are(self) -> Self:
        if self.native_dtype and (self.significant_bits is not None or self.duplicates == "mean"):
            raise ValueError("samples that keep their own type cannot be rounded, and have no mean")
        return self

    def sources(self) -> dict[str, Sources]:
        """Files of each variable: the main one, further volumes, labels."""
        labels = {name: label.paths for name, label in self.labels.items()}
        return {self.variable: self.paths} | self.volumes | labels


def extended_recipe(entry: Entry, asked: ConvertRecipe) -> ConvertRecipe:
    """The recipe of a dataset to which files are added.

    Args:
        entry: The dataset.
        asked: Files to add after its own, with their header positions; name and place of the new dataset.

    Raises:
        InputError: If more is asked for, or the dataset was not converted from SEG-Y.
    """
    if unheard := sorted(asked.model_fields_set - {"name", "out", "paths", "header_bytes"}):
        raise InputError(
            f"--extend takes all but files, their header positions, name and place from {entry.name!r}: leave "
            f"{', '.join(unheard)} out."
        )
    try:
        recipe = ConvertRecipe.model_validate(entry.recipe)
    except ValueError:
        raise InputError(f"{entry.name!r} was not converted from SEG-Y and cannot be extended.") from None
    if recipe.volumes or recipe.labels:
        raise InputError(
            f"{entry.name!r} has several variables, each with files of its own: write the recipe of the extended "
            "survey, with all files of each, and convert it."
        )
    known = {source.url for source in entry.sources}
    if again := [file.path for file in asked.paths if any(same_place(file.path, url) for url in known)]:
        raise InputError(f"{', '.join(again)}: already among the files of {entry.name!r}; name those to add.")
    positions = asked.header_bytes if "header_bytes" in asked.model_fields_set else recipe.header_bytes
    added = (
        SourceFile(path=file.path, header_bytes=file.header_bytes or positions, reading=file.reading or asked.reading)
        for file in asked.paths
    )
    changes: dict[str, Any] = {
        "paths": (*recipe.paths, *added),
        "name": asked.name,
        "out": asked.out,
        "kind": entry.kind,
    }
    if any("%" in text for texts in recipe.splits.values() for text in texts):
        changes["splits"] = _splits_in_labels(entry)  # shares of a longer axis would be other traces
    return recipe.model_copy(update=changes)


def _splits_in_labels(entry: Entry) -> dict[str, tuple[str, ...]]:
    def text(dim: str, first: int, end: int) -> str:
        labels = zarr.open_array(f"{entry.url}/{dim}", mode="r")
        return f"{dim}:{float(labels[first]):.15g}:{float(labels[end - 1]):.15g}"  # type: ignore[arg-type]

    return {
        name: tuple(",".join(text(dim, *bounds) for dim, bounds in box.items()) for box in boxes)
        for name, boxes in entry.splits.items()
    }


def as_header_bytes(values: dict[str, Any]) -> HeaderBytes:
    """Positions of header words that options give, checked.

    Raises:
        InputError: If they are none, told by the options' names.
    """
    return _checked(HeaderBytes, values, "header_bytes")


def as_reading(values: dict[str, Any]) -> Reading:
    """How files are read, as options give it, checked.

    Raises:
        InputError: If it cannot be, told by the options' names.
    """
    return _checked(Reading, values, "reading")


def as_duplicates(value: str | None) -> Duplicates | None:
    """What is to become of traces that share a cell, checked.

    Raises:
        InputError: If it is none of the choices.
    """
    choices: tuple[Duplicates, ...] = get_args(Duplicates)
    found = next((choice for choice in choices if choice == value), None)
    if found is None and value is not None:
        raise InputError(f"--duplicates {value} is not known: choose one of {', '.join(choices)}.")
    return found


def _checked(model: type[M], values: dict[str, Any], field: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_told_by_options(error, prefix=f"{field}.")) from None


_OPTIONS = {"paths": "PATH", "volumes": "--volume", "labels": "--label", "splits": "--split"}
"""Options whose names are not those of the recipe's fields."""


def _from_call(values: dict[str, Any]) -> ConvertRecipe:
    """A recipe from options alone, whose problems are told by the options' names."""
    for field, says in {"name": "what to call the dataset", "out": "where the store goes"}.items():
        if field not in values:
            raise InputError(f"--{field} is missing: it says {says}.")
    try:
        return ConvertRecipe.model_validate(values)
    except ValidationError as error:
        raise InputError(_told_by_options(error)) from None


def _told_by_options(error: ValidationError, *, prefix: str = "") -> str:
    """What is wrong with a model, line by line, by the names of options."""
    told = []
    for problem in problems_of(error, root=""):
        field, _, rest = f"{prefix}{problem.place.lstrip('.')}".partition(".")
        option = _OPTIONS.get(field, f"--{field.replace('_', '-')}")
        if field == "header_bytes":
            is_own = rest in {"inline", "crossline", "cdp", "cdp_x", "cdp_y"}
            own = f"--{rest.replace('_', '-')}-byte" if is_own else f"--header-byte {rest}="
            if rest and rest not in HeaderBytes.model_fields:
                told.append(
                    f"--header-byte {rest}: there is no such word; there are {', '.join(HeaderBytes.model_fields)}"
                )
                continue
            option, rest = own if rest else "--inline-byte, --crossline-byte", ""
        if field == "reading":
            option, rest = f"--{rest.replace('_', '-')}", ""
        told.append(f"{option}{' ' * bool(rest)}{rest}: {problem.message.removeprefix('Value error, ')}")
    return "\n".join(told)


def load_recipe(path: str | Path | None = None, **overrides: Any) -> ConvertRecipe:
    """A checked recipe from a YAML file, with values that win over the file's.

    Args:
        path: The file; None where the overrides say everything. Paths in it are taken as they stand.
        overrides: Fields of ``ConvertRecipe``; None leaves the file's value, a mapping wins key by key.

    Raises:
        InputError: If the file cannot be read, is not YAML, or breaks the model: every problem is listed.
    """
    values = overridden(path, overrides)
    recipe = _from_call(values) if path is None else validated(ConvertRecipe, values, subject=str(path), root="recipe")
    if recipe.kind is Kind.EXAMPLES:
        raise InputError("SEG-Y does not make a dataset of kind examples: use another --kind, or leave it out.")
    names = [recipe.variable, *recipe.volumes, *recipe.labels]
    if taken := sorted(RESERVED_NAMES.intersection(names)):
        raise InputError(f"{', '.join(taken)} cannot name a variable: the store needs the name itself.")
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)} are not all different: give each variable a name of its own.")
    return recipe
