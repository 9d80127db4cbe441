"""What the user asks of a conversion: one checked value, from the command line, from a YAML file, or from both."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import zarr
from pydantic import Field, ValidationError, model_validator

from data_catalog import Entry, InputError, Kind, layout
from data_catalog.conformance import problems_of
from data_catalog.model_file import read_mapping, validated
from data_catalog.schema import Model, Name, Url
from data_catalog.storage import same_place
from pipeline.segy.fields import TRACE_HEADER_NBYTES
from pipeline.storage.codec import CodecName
from pipeline.storage.rounding import FLOAT32_BITS

BytePosition = Annotated[int, Field(ge=1, le=TRACE_HEADER_NBYTES - 4 + 1)]


RESERVED_NAMES = {
    *("inline", "crossline", "trace", "time", "depth", "cdp", "cdp_x", "cdp_y"),
    *(layout.LIVE, layout.TRACE_NUMBER, layout.TRACE_HEADER, layout.TRACE_HEADER_BYTE),
    *(layout.MANIFEST_GROUP, layout.DERIVED_GROUP, layout.SOURCE_GROUP, layout.RESIDUE_GROUP, layout.WORK_GROUP),
    "zarr.json",
}
"""What a store holds beside the variables."""


class HeaderBytes(Model):
    """Where the trace header keeps the words that make the geometry: first bytes, counted from 1.

    The defaults are those of SEG-Y revision 1. Each is a 4-byte integer.
    """

    inline: BytePosition = 189
    crossline: BytePosition = 193
    cdp: BytePosition = 21
    cdp_x: BytePosition = 181
    cdp_y: BytePosition = 185

    @model_validator(mode="after")
    def _inline_is_not_crossline(self) -> Self:
        if self.inline == self.crossline:
            raise ValueError(f"inline and crossline numbers cannot both be at byte {self.inline}")
        return self


class SourceFile(Model):
    """A file of a survey, or several by a pattern; its path alone stands for it where there is nothing else to say.

    Attributes:
        path: Path, fsspec URL, or a pattern such as ``lines/*.sgy``.
        header_bytes: Its header positions; None takes the survey's.
    """

    path: Url
    header_bytes: HeaderBytes | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


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
        kind: ``stack3d``, ``stack2d`` or ``flat``; None infers it.
        variable: Name of the main variable.
        domain: What the sample axis is.
        header_bytes: Header positions, where they are not the standard's.
        volumes: Files of further volumes on the same grid, by variable name: near, mid and far stacks, or vintages.
        labels: Label volumes by variable name.
        splits: Boxes by split name, each ``inline:100:219`` in axis labels, both ends included, or ``inline:0%:70%``;
            a box along several axes joins their ranges by commas.
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
    volumes: dict[Name, Sources] = Field(default_factory=dict)
    labels: dict[Name, Label] = Field(default_factory=dict)
    splits: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    codec: CodecName = "lz4"
    significant_bits: Annotated[int, Field(ge=2, lt=FLOAT32_BITS)] | None = None
    chunk_nbytes: Annotated[int, Field(ge=1024)] | None = None
    shard_nbytes: Annotated[int, Field(ge=1024)] | None = None

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
    added = (SourceFile(path=file.path, header_bytes=file.header_bytes or positions) for file in asked.paths)
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
        told = []
        for problem in problems_of(error, root=""):
            field, _, rest = problem.place.lstrip(".").partition(".")
            option = _OPTIONS.get(field, f"--{field.replace('_', '-')}")
            if field == "header_bytes":
                option, rest = f"--{rest.replace('_', '-')}-byte" if rest else "--inline-byte, --crossline-byte", ""
            told.append(f"{option}{' ' * bool(rest)}{rest}: {problem.message}")
        raise InputError("\n".join(told)) from None


def load_recipe(path: str | Path | None = None, **overrides: Any) -> ConvertRecipe:
    """A checked recipe from a YAML file, with values that win over the file's.

    Args:
        path: The file; None where the overrides say everything. Paths in it are taken as they stand.
        overrides: Fields of ``ConvertRecipe``; None leaves the file's value, a mapping wins key by key.

    Raises:
        InputError: If the file cannot be read, is not YAML, or breaks the model: every problem is listed.
    """
    values = {} if path is None else read_mapping(path)
    for key, value in overrides.items():
        if value is not None:
            both_mappings = isinstance(value, dict) and isinstance(values.get(key), dict)
            values[key] = values[key] | value if both_mappings else value
    recipe = _from_call(values) if path is None else validated(ConvertRecipe, values, subject=str(path), root="recipe")
    if recipe.kind not in {None, Kind.STACK3D, Kind.STACK2D, Kind.FLAT}:
        raise InputError(f"kind {recipe.kind} is not converted yet: use stack3d, stack2d or flat.")
    names = [recipe.variable, *recipe.volumes, *recipe.labels]
    if taken := sorted(RESERVED_NAMES.intersection(names)):
        raise InputError(f"{', '.join(taken)} cannot name a variable: the store needs the name itself.")
    if len(set(names)) < len(names):
        raise InputError(f"{', '.join(names)} are not all different: give each variable a name of its own.")
    return recipe
