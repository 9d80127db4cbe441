"""One shard of one variable under examination: what is read of it, and what is found."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from data_catalog import layout
from data_catalog.schema import Model
from pipeline.plan.chunking import ChunkPlan
from pipeline.store.stored_shard import DamagedObject, StoredShard, fetch_shard, read_values
from pipeline.survey.files import Survey


class Finding(Model):
    """Something in a store that is not as it should be.

    Attributes:
        code: A stable word for machines.
        message: A sentence: where it is, what was found, what was expected.
        variable: Whose.
        shard: Index on the trace dimensions; None where it is of no shard.
        count: How many chunks, samples, bytes or traces it is about; the sentence names the first.
    """

    code: str
    message: str
    variable: str
    shard: tuple[int, ...] | None = None
    count: int = 1


@dataclass(frozen=True)
class CheckedVariable:
    """What is to be compared of one variable.

    Attributes:
        name: Of the variable; of a derived group ``derived/ID/NAME``.
        dims: Its dimensions.
        chunks: Its chunks and shards.
        is_main: Whether ``live`` is made of its traces.
        has_checksums: Whether the manifest has checksums of its chunks.
        ignore_value: For labels, what holds where no trace is live; None for samples.
        dropped_bits: For samples, how many of their 24 significant bits were rounded away.
        is_native: Whether samples have the type that they have in their files.
        survey: The files that it was made of; None compares nothing with them.
    """

    name: str
    dims: tuple[str, ...]
    chunks: ChunkPlan
    is_main: bool
    has_checksums: bool
    ignore_value: int | None
    dropped_bits: int
    is_native: bool
    survey: Survey | None

    def manifest_path(self, statistic: str) -> str:
        """Path of one of its statistics, relative to the store's root; ``name`` is a path too, of derived groups."""
        group, _, own = self.name.rpartition("/")
        path = layout.manifest_path(own, statistic)
        return f"{group}/{path}" if group else path

    @property
    def key(self) -> str | None:
        """Names its headers and trace numbers in the store: None for the main variable."""
        return None if self.is_main else self.name


@dataclass(frozen=True)
class CheckedShard:
    """One shard of one variable.

    Attributes:
        url: The store.
        variable: What is to be compared.
        shard: Index on the trace dimensions.
        findings: What was found so far.
    """

    url: str
    variable: CheckedVariable
    shard: tuple[int, ...]
    findings: list[Finding] = field(default_factory=list)

    @property
    def where(self) -> tuple[slice, ...]:
        """Where it lies on the trace dimensions, cut at the array's edge."""
        return self.variable.chunks.trace_slices(self.shard)

    @property
    def grid(self) -> tuple[slice, ...]:
        """Where its inner chunks lie on the grid of all of them."""
        return self.variable.chunks.manifest_slices(self.shard)

    def fetch(self, path: str) -> StoredShard:
        """This shard of an array that has the variable's chunks and shards.

        Raises:
            DamagedObject: If its index is damaged.
        """
        counts = self.variable.chunks.chunks_per_shard
        return fetch_shard(self.url, path, (*self.shard, 0), chunks_per_shard=counts)

    def read(self, path: str, where: tuple[slice, ...]) -> NDArray[Any]:
        """A part of another array of the store.

        Raises:
            DamagedObject: If it cannot be decoded.
        """
        return read_values(zarr.open_array(f"{self.url}/{path}", mode="r"), where, path=path)

    def add(self, code: str, what: str, *, count: int = 1) -> None:
        """Takes down a finding.

        Args:
            code: A stable word.
            what: What is wrong, in words that follow the shard's name.
            count: How many of them there are.
        """
        more = f" (the first of {count})" if count > 1 else ""
        message = f"{self.variable.name}, shard {self.shard}: {what}{more}."
        self.findings.append(
            Finding(code=code, message=message, variable=self.variable.name, shard=self.shard, count=count)
        )

    @contextmanager
    def damage_reported(self) -> Iterator[None]:
        """Takes down what is damaged, and lets the rest be examined."""
        try:
            yield
        except DamagedObject as error:
            self.add("object-damaged", str(error))


def first_of(which: NDArray[np.bool_]) -> tuple[int, ...]:
    """Index of the first true element."""
    return tuple(int(index) for index in np.unravel_index(int(which.argmax()), which.shape))
