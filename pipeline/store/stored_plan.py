"""What an unfinished store is being made of, kept beside it: a second call goes on only if it asks for the same."""

import hashlib
import json
from typing import Any

from pydantic import Field

from data_catalog import InputError, layout
from data_catalog.schema import Model
from pipeline.plan.costs import Reads
from pipeline.plan.design import StoreDesign
from pipeline.recipe import ConvertRecipe
from pipeline.storage.new_objects import write_object
from pipeline.storage.objects import find_object
from pipeline.survey.files import Survey

_FINGERPRINT_LENGTH = 12


class PlannedSource(Model):
    """A file as it was when the conversion began.

    Attributes:
        variable: What is made of it.
        url: Where it is.
        nbytes: Its size.
        version: Its time of modification, or what its file system has instead.
    """

    variable: str
    url: str
    nbytes: int
    version: str


class StoredPlan(Model):
    """Everything that a conversion was asked to do and decided.

    Attributes:
        recipe: What was asked for.
        sources: Of which files.
        design: What the store holds.
        reads: How the traces of each variable are read, once that is decided.
        is_prepared: Whether the store's arrays are there, and the trace numbers in them that an index was needed for.
        is_second_design: Whether an earlier design turned out wrong: then what was written has to be looked at again.
    """

    recipe: ConvertRecipe
    sources: tuple[PlannedSource, ...]
    design: StoreDesign
    reads: dict[str, Reads] = Field(default_factory=dict)
    is_prepared: bool = False
    is_second_design: bool = False

    @property
    def fingerprint(self) -> str:
        """Short digest of the recipe, the files and the design."""
        return _digest(self.model_dump(mode="json", exclude={"reads", "is_prepared", "is_second_design"}))

    @property
    def shard_fingerprint(self) -> str:
        """Digest of what decides a shard's content, besides which traces are in it."""
        fields = {"coordinates", "codec", "significant_bits", "trace_header_nbytes", "duplicates", "bad_traces"}
        design = self.design.model_dump(mode="json", include=fields)
        chunks = (self.design.chunks.chunk_shape, self.design.chunks.shard_shape)
        recipe = self.recipe.model_dump(mode="json", include={"labels", "domain", "reading"})
        words = [(volume.name, volume.words, volume.dtype, repr(volume.moved)) for volume in self.design.volumes]
        return _digest([design, words, chunks, recipe, [source.model_dump(mode="json") for source in self.sources]])


def planned_sources(surveys: dict[str, Survey]) -> tuple[PlannedSource, ...]:
    """The files of all variables, as they are now."""
    return tuple(
        PlannedSource(variable=name, url=file.url, nbytes=state.nbytes, version=state.version)
        for name, survey in surveys.items()
        for file, state in zip(survey.files, survey.states, strict=True)
    )


def read_plan(url: str) -> StoredPlan | None:
    """The plan of an unfinished store; None where there is none.

    Raises:
        InputError: If it was made by another version of this program.
    """
    content = find_object(f"{url}/{layout.PLAN}")
    if content is None:
        return None
    try:
        return StoredPlan.model_validate_json(content)
    except ValueError:
        raise InputError(
            f"{url}/{layout.PLAN} is not a plan of this version: the store was begun by another one. Go on with that, "
            "or discard what is there with `python -m data_catalog remove`."
        ) from None


def write_plan(url: str, plan: StoredPlan) -> None:
    """Writes or replaces the plan of a store."""
    write_object(f"{url}/{layout.PLAN}", plan.model_dump_json(indent=2).encode())


def differences(plan: StoredPlan, recipe: ConvertRecipe, surveys: dict[str, Survey]) -> list[str]:
    """How a call differs from what an unfinished store was begun as: options, or else files; empty if in nothing."""
    begun, asked = plan.recipe.model_dump(mode="json"), recipe.model_dump(mode="json")
    options = [
        f"{key} was {json.dumps(begun[key])} and is {json.dumps(asked[key])}"
        for key in begun
        if begun[key] != asked[key]
    ]
    return options or _changed_files(plan.sources, planned_sources(surveys))


def begun_otherwise(plan: StoredPlan, found: list[str]) -> InputError:
    """Says how a call differs from what an unfinished store was begun as."""
    return InputError(
        f"the unfinished dataset {plan.recipe.name!r} was begun otherwise: {'; '.join(found)}. Give the same options "
        "for the same files to go on, or discard it with "
        f"`python -m data_catalog remove {plan.recipe.name}`."
    )


def _changed_files(begun: tuple[PlannedSource, ...], found: tuple[PlannedSource, ...]) -> list[str]:
    if [source.url for source in begun] != [source.url for source in found]:
        return [f"it was made of {len(begun)} files, and other files or another order are named now"]
    return [
        f"{old.url} changed (it had {old.nbytes} bytes, version {old.version}; it has {new.nbytes}, {new.version})"
        for old, new in zip(begun, found, strict=True)
        if old != new
    ]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_FINGERPRINT_LENGTH]
