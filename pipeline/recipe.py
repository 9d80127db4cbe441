"""What the user asks of a conversion: one checked value, from the command line, from a YAML file, or from both."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from data_catalog import InputError, Kind, Problem
from data_catalog.conformance import problems_of
from data_catalog.schema import Model, Name
from pipeline.segy.fields import TRACE_HEADER_NBYTES

Codec = Literal["zstd", "none"]
BytePosition = Annotated[int, Field(ge=1, le=TRACE_HEADER_NBYTES - 1)]


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
    classes: dict[Annotated[int, Field(ge=0, le=254)], Annotated[str, Field(pattern=r"^\S+$")]] = Field(min_length=1)
    ignore_value: Annotated[int, Field(ge=0, le=255)] = 255


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
        splits: Ranges by split name: ``inline:100:219`` in axis labels, both ends included, or ``inline:0%:70%``.
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
    splits: dict[Name, str] = Field(default_factory=dict)
    codec: Codec = "zstd"
    chunk_nbytes: Annotated[int, Field(ge=1024)] | None = None


def load_recipe(path: str | Path | None = None, **overrides: Any) -> ConvertRecipe:
    """A checked recipe from a YAML file, with values that win over the file's.

    Args:
        path: The file; None where the overrides say everything. Paths in it are taken as they stand.
        overrides: Fields of ``ConvertRecipe``; None leaves the file's value.

    Raises:
        InputError: If the file cannot be read, is not YAML, or breaks the model: every problem is listed.
    """
    values: Any = {}
    if path is not None:
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"the recipe {path} cannot be read ({error.strerror}).") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"the recipe {path} is not YAML: {error}") from None
        if not isinstance(values, dict):
            raise InputError(f"the recipe {path} should hold `key: value` lines, as ConvertRecipe names them.")
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        recipe = ConvertRecipe.model_validate(values)
    except ValidationError as error:
        raise InputError(_sentence(path, problems_of(error, root="recipe"))) from None
    if recipe.kind not in {None, Kind.STACK3D, Kind.STACK2D, Kind.FLAT}:
        raise InputError(f"kind {recipe.kind} is not converted yet: use stack3d, stack2d or flat.")
    if recipe.variable in recipe.labels:
        raise InputError(f"{recipe.variable!r} is the main variable and a label: give the label another name.")
    return recipe


def _sentence(path: str | Path | None, problems: list[Problem]) -> str:
    listed = "\n".join(f"  {problem}" for problem in problems)
    return f"{path or 'the call'} does not make a conversion recipe:\n{listed}"
