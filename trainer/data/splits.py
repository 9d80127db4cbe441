"""The windows of a split."""

from collections.abc import Mapping

from data_catalog import InputError
from trainer.data.store import Dataset, StoredVariable
from trainer.plan.windows import Edges, WindowPlan, plan_windows


def plan_split(
    dataset: Dataset,
    stored: StoredVariable,
    split: str,
    *,
    window: Mapping[str, int],
    stride: Mapping[str, int],
    edges: Edges,
) -> WindowPlan:
    """Plans the windows that lie wholly inside a split, but for padding.

    Args:
        dataset: Has the split.
        stored: The input variable.
        split: Its name.
        window: Samples of a window by dimension; 1 along those that are not named.
        stride: Samples between neighbouring windows, likewise.
        edges: What becomes of the rest.

    Raises:
        InputError: If there is no such split, or no window fits it.
    """
    dims = stored.variable.dims
    boxes = dataset.split(split, dims=dims)
    extents = tuple(window.get(dim, 1) for dim in dims)
    plan = plan_windows(boxes, window=extents, stride=tuple(stride.get(dim, 1) for dim in dims), edges=edges)
    if not len(plan):
        largest = "; ".join(
            ", ".join(f"{dim} {stop - start}" for dim, (start, stop) in zip(dims, box, strict=True)) for box in boxes
        )
        wanted = ", ".join(f"{dim} {extent}" for dim, extent in zip(dims, extents, strict=True))
        raise InputError(
            f"no window fits split {split!r} of dataset {dataset.entry.name!r}: a window takes {wanted}, its boxes "
            f"hold {largest}. Choose a smaller config.window, or another split."
        )
    return plan


def half(window: Mapping[str, int]) -> dict[str, int]:
    """Strides of half a window, for training."""
    return {dim: max(1, extent // 2) for dim, extent in window.items()}
