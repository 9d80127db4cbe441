"""What a run reads of one dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from data_catalog import InputError, Role
from trainer.config import Config, SelectionConfig
from trainer.data.content import select_windows
from trainer.data.normalise import Normalisation, chunks_of
from trainer.data.splits import half, plan_split
from trainer.data.store import Dataset, StoredVariable
from trainer.plan.windows import Edges, WindowPlan, guard_between

EXAMPLE = "example"
"""The dimension of the kind `examples`."""


@dataclass(frozen=True)
class DataSource:
    """A dataset, and what is read of it.

    Attributes:
        dataset: Where it is read.
        stored: The input variable.
        label: The variable to learn from, if any.
        normalisation: Of the input.
        weight: How often an epoch takes each of its windows.
    """

    dataset: Dataset
    stored: StoredVariable
    label: StoredVariable | None
    normalisation: Normalisation
    weight: int = 1

    def windows_to_learn_from(
        self, split: str, *, window: Mapping[str, int], stride: Mapping[str, int], edges: Edges, select: SelectionConfig
    ) -> WindowPlan:
        """Windows half a window apart unless the strides say otherwise, those that are wanted, as often as wanted.

        Args:
            split: Where.
            window: Samples of a window by dimension.
            stride: Samples between neighbouring windows.
            edges: What becomes of the rest.
            select: Which windows are taken, and how often.

        Raises:
            InputError: If no window fits the split, or none holds what is asked for.
        """
        plan = plan_split(
            self.dataset, self.stored, split, window=window, stride=half(window) | dict(stride), edges=edges
        )
        plan = select_windows(plan, select, dataset=self.dataset, stored=self.stored, label=self.label)
        return plan.repeated(self.weight)

    def class_counts(self, split: str) -> dict[str, int] | None:
        """Samples of each class of the label in a split, in the order of ``flag_values``, counted chunk by chunk.

        Those of chunks that lie wholly in the split, or, where there are none, of those that touch it; 0 where the
        dataset has no such split, None where there is no class label.
        """
        label = self.label
        if label is None or label.variable.role is not Role.CLASS_LABEL:
            return None
        boxes = self.dataset.split(own, dims=label.variable.dims) if (own := self.dataset.own_part(split)) else ()
        chosen = chunks_of(boxes, shape=label.variable.shape, chunk=label.variable.chunk_shape)
        counts = self.dataset.class_counts(label, label.variable.flag_values or ())[chosen].sum(axis=0)
        return dict(zip(label.variable.flag_meanings or (), counts.tolist(), strict=True))

    def windows_side_by_side(self, split: str, *, window: Mapping[str, int], edges: Edges) -> WindowPlan:
        """Windows that meet, to be scored; the last of a row overlaps where the split does not divide.

        Args:
            split: Where.
            window: Samples of a window by dimension.
            edges: What becomes of the rest.

        Raises:
            InputError: If no window fits the split.
        """
        return plan_split(self.dataset, self.stored, split, window=window, stride=window, edges=edges)


def check_dims(stored: StoredVariable, *, window: Mapping[str, int], stride: Mapping[str, int]) -> None:
    """Refuses windows and strides along dimensions that a variable has not.

    Raises:
        InputError: With the dimensions found and known.
    """
    dims = stored.variable.dims
    for place, named in {"window": window, "stride": stride}.items():
        if unknown := sorted(set(named) - set(dims)):
            raise InputError(
                f"config.{place}: {', '.join(unknown)} is no dimension of {stored.name!r}, which has {', '.join(dims)}."
            )


def check_guards(source: DataSource, *, config: Config) -> None:
    """Refuses splits so close to each other that a window of one could touch a neighbour in the other.

    Examples follow one another by chance: between them no guard band is needed.

    Raises:
        InputError: With the guard bands found and needed.
    """
    dataset, dims = source.dataset, source.stored.variable.dims
    window = tuple(0 if dim == EXAMPLE else config.window.get(dim, 1) for dim in dims)
    train = dataset.own_part(config.splits.train)
    for other in (dataset.own_part(name) for name in (config.splits.validation, config.splits.test) if name):
        if not train or not other:
            continue
        pairs = product(dataset.split(train, dims=dims), dataset.split(other, dims=dims))
        for one, another in pairs:
            guard = guard_between(one, another)
            if all(gap < extent for gap, extent in zip(guard, window, strict=True)):
                found = ", ".join(f"{dim} {max(gap, 0)}" for dim, gap in zip(dims, guard, strict=True))
                needed = " or ".join(f"{dim} {extent}" for dim, extent in zip(dims, window, strict=True) if extent)
                raise InputError(
                    f"splits {train!r} and {other!r} of dataset {dataset.entry.name!r} are only {found} samples apart: "
                    f"a window of one would touch its neighbour in the other. A guard band of {needed} is needed; "
                    "choose a smaller config.window or wider guards between the splits."
                )
