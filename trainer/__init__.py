"""The trainer: prepared datasets in, trained networks and predictions out."""

import os
from typing import TYPE_CHECKING, Any

# Idle OpenMP threads of torch spin at barriers and starve the feed's threads; libgomp reads these once, when torch is
# imported, so they are set before any module of the package can do so. What the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

if TYPE_CHECKING:
    from trainer.feed.dataset import WindowDataset

__all__ = ["WindowDataset"]


def __getattr__(name: str) -> Any:
    """Imports the public names when they are asked for: they bring PyTorch along."""
    if name in __all__:
        from trainer.feed import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module 'trainer' has no attribute {name!r}")
