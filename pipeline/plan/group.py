"""A group of arrays that are computed, block by block, and not decoded from traces: labels, pictures, numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from data_catalog import Role, layout
from data_catalog.schema import Model, Name
from pipeline.plan.chunking import ChunkPlan
from pipeline.storage.codec import CodecName


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """The manifest of one variable.

    Attributes:
        name: Of the variable.
        dims: Its dimensions.
        chunks: How it is cut.
        arrays: Data type of each statistic, and its shape beyond the chunk grid.
    """

    name: str
    dims: tuple[str, ...]
    chunks: ChunkPlan
    arrays: dict[str, tuple[str, tuple[int, ...]]]


class ArrayDesign(Model):
    """One array that is cut into inner chunks.

    Attributes:
        name: Of the variable.
        role: What it is to a trainer.
        dims: Its dimensions.
        dtype: Of its values.
        chunks: Chunks and shards; along the dimensions of the tasks those of all arrays of a group agree.
        fill: Value where there is none: of a class label its ignore value.
        long_name: CF long name.
        units: CF units.
        classes: A word for each class number of a class label.
    """

    name: Name
    role: Role
    dims: tuple[Name, ...]
    dtype: str
    chunks: ChunkPlan
    fill: float = 0
    long_name: str
    units: str | None = None
    classes: dict[int, str] = Field(default_factory=dict)

    @property
    def is_label(self) -> bool:
        """Whether its values are classes."""
        return self.role is Role.CLASS_LABEL

    @property
    def has_manifest(self) -> bool:
        """Whether a manifest tells of its chunks."""
        return self.role in {Role.CLASS_LABEL, Role.INPUT, Role.TARGET}

    @property
    def attributes(self) -> dict[str, Any]:
        """As they stand in the store."""
        found: dict[str, Any] = {"role": self.role.value, "long_name": self.long_name}
        if self.units is not None:
            found["units"] = self.units
        if self.is_label:
            found |= {
                "flag_values": list(self.classes),
                "flag_meanings": " ".join(self.classes.values()),
                "ignore_value": int(self.fill),
            }
        return found


class FieldDesign(Model):
    """One array with a value, or a few, for each cell of the tasks' dimensions: a chunk for each task.

    Attributes:
        name: Of the variable.
        role: What it is to a trainer.
        dims: Its dimensions: those of the tasks, and perhaps others.
        shape: Sizes along them.
        dtype: Of its values.
        fill: Value where there is none.
        long_name: CF long name.
        units: CF units.
    """

    name: Name
    role: Role = Role.COORDINATE
    dims: tuple[Name, ...]
    shape: tuple[int, ...]
    dtype: str
    fill: float = 0
    long_name: str
    units: str | None = None

    @property
    def attributes(self) -> dict[str, Any]:
        """As they stand in the store."""
        units = {} if self.units is None else {"units": self.units}
        return {"role": self.role.value, "long_name": self.long_name} | units


class GroupDesign(Model):
    """Everything that decides the arrays of a group.

    Attributes:
        chunks: Whose shards are the tasks; all arrays agree with it along the tasks' dimensions.
        arrays: Those that are cut into inner chunks.
        fields: Those with a value for each cell of the tasks' dimensions.
        task_dims: How many dimensions tasks are cut along, the first ones of all arrays.
        codec: How chunks are compressed.
    """

    chunks: ChunkPlan
    arrays: tuple[ArrayDesign, ...] = ()
    fields: tuple[FieldDesign, ...] = ()
    task_dims: int
    codec: CodecName = "lz4"

    @property
    def manifest_parts(self) -> tuple[ManifestPart, ...]:
        """The manifest of each variable that has one."""
        return tuple(
            ManifestPart(array.name, array.dims, array.chunks, layout.manifest_arrays(is_label=array.is_label))
            for array in self.arrays
            if array.has_manifest
        )

    @property
    def task_nbytes(self) -> int:
        """Bytes of all arrays in one whole shard."""
        return sum(int(np.prod(array.chunks.shard_shape)) * np.dtype(array.dtype).itemsize for array in self.arrays)
