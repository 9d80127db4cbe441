"""A catalogued dataset opened for reading: its entry judged, its Zarr arrays at hand, its manifest on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt
import zarr

from data_catalog import Box, Catalog, Entry, InputError, Role, Variable, layout
from trainer.plan.windows import Ranges
from trainer.reads.readers import Expected
from trainer.reads.zarr_array import ZarrArray


@dataclass(frozen=True)
class StoredVariable:
    """A variable, and where it lies.

    Attributes:
        name: As the user wrote it.
        path: Relative to the store's root, e.g. ``amplitude`` or ``derived/faults/fault``.
        variable: What the entry says of it.
        array: Opened for reading.
    """

    name: str
    path: str
    variable: Variable
    array: ZarrArray = field(repr=False)


class Dataset:
    """One prepared dataset.

    Attributes:
        catalog: Where its entry is.
        entry: What the catalog says of it.
    """

    def __init__(self, name: str, *, catalog: Catalog) -> None:
        """Opens a dataset.

        Args:
            name: In the catalog.
            catalog: Where to look.

        Raises:
            InputError: If there is none of that name.
            ConformanceError: If the entry or the store breaks the contract.
        """
        self.catalog = catalog
        self.entry: Entry = catalog.open(name)
        self._group = zarr.open_group(self.entry.url, mode="r", use_consolidated=False)

    def input_variable(self, name: str | None = None) -> StoredVariable:
        """The variable that a network reads, the main one by default.

        Raises:
            InputError: If there is none of that name, or its role is not ``input``.
        """
        found = self.variable(name or self.entry.main_variable)
        if found.variable.role is not Role.INPUT:
            inputs = [name for name, each in self.entry.variables.items() if each.role is Role.INPUT]
            raise InputError(
                f"config.dataset.variable: {found.name!r} of dataset {self.entry.name!r} has role "
                f"{found.variable.role}, a network reads role input: {', '.join(inputs)}."
            )
        return found

    def variable(self, name: str) -> StoredVariable:
        """A variable by ``VARIABLE``, or by ``ID/VARIABLE`` or ``ID_VARIABLE`` for one of the derived group ID.

        A name without ID means the root group, and then the only derived group that has it.

        Raises:
            InputError: If there is none, or several derived groups have one.
        """
        matches = self._matches(name)
        if len(matches) != 1:
            known = ", ".join(path.removeprefix(f"{layout.DERIVED_GROUP}/") for path in self.entry.all_variables())
            found = f"stands for {', '.join(matches)}; write ID/VARIABLE" if matches else f"is none of {known}"
            raise InputError(f"variable {name!r} of dataset {self.entry.name!r} {found}.")
        return StoredVariable(name, matches[0], self.entry.all_variables()[matches[0]], self._open(matches[0]))

    def holds(self, name: str) -> bool:
        """Whether `variable` would find one."""
        return len(self._matches(name)) == 1

    def live(self, main: StoredVariable) -> StoredVariable | None:
        """Which traces were recorded, bool on the dimensions of ``main`` without the last; None where all were."""
        live = self.entry.variables.get(layout.LIVE)
        if live is None or live.dims != main.variable.dims[:-1] or self._all_counted(main):
            return None
        return self.variable(layout.LIVE)

    def _all_counted(self, stored: StoredVariable) -> bool:
        """Whether the manifest counts as many live samples, finite or not, as there are samples."""
        return int(self._counted(stored).sum()) == prod(stored.variable.shape)

    def split(self, name: str, *, dims: tuple[str, ...]) -> tuple[Ranges, ...]:
        """The boxes of a split along the given dimensions; raises as `split_boxes` does."""
        boxes = self.split_boxes(name)
        return tuple(tuple(box.get(dim, (0, self.entry.sizes[dim])) for dim in dims) for box in boxes)

    def own_part(self, name: str) -> str:
        """Those of several splits, joined by ``+``, that the dataset has; empty where it has none."""
        return "+".join(each for each in name.split("+") if each in self.entry.splits)

    def split_boxes(self, name: str) -> tuple[Box, ...]:
        """The boxes of a split, or of several that are joined by ``+``.

        Raises:
            InputError: If the dataset has no such split.
        """
        boxes: list[Box] = []
        for each in name.split("+"):
            if each not in self.entry.splits:
                known = ", ".join(self.entry.splits) or "none: make them with the pipeline"
                raise InputError(f"split {each!r} is not among the splits of dataset {self.entry.name!r}: {known}.")
            boxes += self.entry.splits[each]
        return tuple(boxes)

    def manifest(self, stored: StoredVariable, statistic: str) -> npt.NDArray[np.generic]:
        """One statistic of each inner chunk of a variable."""
        return np.asarray(self._open(_manifest_path(stored, statistic))[...])

    def class_counts(self, label: StoredVariable, values: Sequence[int]) -> npt.NDArray[np.int64]:
        """Samples of each inner chunk of a class label that have some values: the chunk grid, and an axis of values."""
        counts = self._open(_manifest_path(label, layout.CLASS_COUNTS))
        return np.asarray(counts.oindex[..., np.array(values, dtype=np.int64)])

    def expected_chunks(self, stored: StoredVariable, *, main: StoredVariable, every_time: bool) -> Expected:
        """What the manifest says of a variable's chunks as they are stored, where it does.

        Args:
            stored: The variable.
            main: The variable whose traces `live` tells of.
            every_time: Whether to compare whenever a chunk is read, rather than when it is read first.
        """
        if stored.path == layout.LIVE:
            return self._expected_live(stored, main=main)
        known = {
            statistic: self.manifest(stored, statistic)
            for statistic in (layout.CHECKSUM, layout.IS_FILL)
            if _manifest_path(stored, statistic) in self._group
        }
        return Expected(known.get(layout.CHECKSUM), known.get(layout.IS_FILL), every_time)

    def _expected_live(self, live: StoredVariable, *, main: StoredVariable) -> Expected:
        """`live` has no manifest, but a chunk of it cannot be absent where the main variable's counts live samples."""
        if live.variable.chunk_shape != main.variable.chunk_shape[:-1]:
            return Expected()
        return Expected(is_fill=self._counted(main).sum(axis=-1) == 0)

    def _counted(self, stored: StoredVariable) -> npt.NDArray[np.int64]:
        """Live samples of each inner chunk, finite or not."""
        counts = (self.manifest(stored, name).astype(np.int64) for name in ("count", "nonfinite_count"))
        return np.asarray(sum(counts))

    def url_of(self, stored: StoredVariable) -> str:
        """Where a variable's array lies."""
        return f"{self.entry.url.rstrip('/')}/{stored.path}"

    def _matches(self, name: str) -> list[str]:
        variables = self.entry.all_variables()
        if name in variables:
            return [name]
        found = [path for path in variables if path.endswith(f"/{name}")]
        return found or [path for path in variables if layout.variable_word(path) == name]

    def _open(self, path: str) -> ZarrArray:
        array = self._group[path]
        if not isinstance(array, zarr.Array):
            raise InputError(f"{self.entry.url}/{path} is a group, expected an array.")
        return array


def _manifest_path(stored: StoredVariable, statistic: str) -> str:
    folder, _, name = stored.path.rpartition("/")
    path = layout.manifest_path(name, statistic)
    return f"{folder}/{path}" if folder else path
