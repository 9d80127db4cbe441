"""What the user asks of a conversion: one checked value, from the command line, from a YAML file, or from both."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from data_catalog import InputError, Kind, layout
from data_catalog.model_file import read_mapping, validated
from data_catalog.schema import Model, Name
from pipeline.segy.fields import TRACE_HEADER_NBYTES

Codec = Literal["zstd", "none"]
WORD_NBYTES = 4
BytePosition = Annotated[int, Field(ge=1, le=TRACE_HEADER_NBYTES - WORD_NBYTES + 1)]


RESERVED_NAMES = {
    *("inline", "crossline", "trace", "time", "depth", "cdp", "cdp_x", "cdp_y"),
    *(layout.LIVE, layout.TRACE_NUMBER, layout.TRACE_HEADER, layout.TRACE_HEADER_BYTE),
    *(layout.MANIFEST_GROUP, layout.DERIVED_GROUP, layout.SOURCE_GROUP, layout.RESIDUE_GROUP),
}
"""Arrays and groups that a store holds beside the variables."""


class HeaderBytes(Model):
    """Where the trace header keeps the words that make the geometry: first bytes, counted from 1.

    The defaults are those of SEG-Y revision 1. Each is a 4-byte integer.
    """

    inline: BytePosition = 189
    crossline: BytePosition = 193
    cdp: BytePosition = 21
    cdp_x: BytePosition = 181
    cdp_y: BytePosition = 185


class Label(Model):
    """A label volume: SEG-Y on the same grid, whose samples are class numbers.

    Attributes:
        paths: Its files.
        classes: A word for each class number.
        ignore_value: Label value for samples that are to be left out.
    """

    paths: tuple[str, ...] = Field(min_length=1)
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
        paths: SEG-Y files of one survey, in order.
        out: Where the store goes: a path or an fsspec URL, not yet in use.
        kind: ``stack3d``, ``stack2d`` or ``flat``; None infers it.
        variable: Name of the main variable.
        domain: What the sample axis is.
        header_bytes: Header positions, where they are not the standard's.
        labels: Label volumes by variable name.
        splits: Boxes by split name, each ``inline:100:219`` in axis labels, both ends included, or ``inline:0%:70%``;
            a box along several axes joins their ranges by commas.
        codec: ``zstd`` with shuffled bytes, or ``none``.
        chunk_nbytes: About what an inner chunk should hold; None chooses.
    """

    name: Name
    paths: tuple[str, ...] = Field(min_length=1)
    out: str
    kind: Kind | None = None
    variable: Name = "amplitude"
    domain: Literal["time", "depth"] = "time"
    header_bytes: HeaderBytes = Field(default_factory=HeaderBytes)
    labels: dict[Name, Label] = Field(default_factory=dict)
    splits: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    codec: Codec = "zstd"
    chunk_nbytes: Annotated[int, Field(ge=1024)] | None = None


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
    recipe = validated(ConvertRecipe, values, subject=str(path or "the call"), root="recipe")
    if recipe.kind not in {None, Kind.STACK3D, Kind.STACK2D, Kind.FLAT}:
        raise InputError(f"kind {recipe.kind} is not converted yet: use stack3d, stack2d or flat.")
    names = [recipe.variable, *recipe.labels]
    if taken := sorted(RESERVED_NAMES.intersection(names)):
        raise InputError(f"{', '.join(taken)} cannot name a variable: the store needs the name itself.")
    if len(set(names)) < len(names):
        raise InputError(f"{recipe.variable!r} is the main variable and a label: give the label another name.")
    return recipe
