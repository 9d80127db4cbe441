"""The contract between pipeline and trainer: catalog entries, the store's layout, and the judge of both.

In Python, ``data_catalog.open("name")`` is a dataset as one xarray Dataset, labels and predictions included, and
``data_catalog.datasets`` has all of them by name, which interpreters complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from data_catalog.catalog import Catalog
from data_catalog.conformance import check_entry, check_store, parse_entry
from data_catalog.errors import ConformanceError, InputError, WorkError
from data_catalog.lease import Lease, hold_lease, live_lease
from data_catalog.lease_file import LeaseRecord
from data_catalog.problem import Problem
from data_catalog.schema import Box, Derived, Entry, Kind, Role, Source, Variable
from data_catalog.unfinished import Unfinished

if TYPE_CHECKING:
    import xarray

__all__ = [
    "Box",
    "Catalog",
    "ConformanceError",
    "Derived",
    "Entry",
    "InputError",
    "Kind",
    "Lease",
    "LeaseRecord",
    "Problem",
    "Role",
    "Source",
    "Unfinished",
    "Variable",
    "WorkError",
    "check_entry",
    "check_store",
    "datasets",
    "hold_lease",
    "live_lease",
    "parse_entry",
]


def open(name: str, *, catalog: str | None = None) -> xarray.Dataset:  # noqa: A001 (what one would say)
    """A dataset of the catalog as one xarray Dataset, opened lazily; derived variables are called ``ID_VARIABLE``.

    Args:
        name: Of the dataset.
        catalog: Its folder; by default ``$TRACEMILL_CATALOG``, then ``data_catalog/entries``.

    Raises:
        InputError: If there is no such dataset, or xarray is not installed.
        ConformanceError: If the entry or the store breaks the contract.
    """
    from data_catalog.views.dataset import open_dataset

    return open_dataset(Catalog(catalog).open(name))


class _Datasets(Mapping[str, "xarray.Dataset"]):
    """All datasets by name: ``datasets["survey"]``, or ``datasets.survey`` where the name is a word."""

    def __getitem__(self, name: str) -> xarray.Dataset:
        if name not in Catalog().names():
            raise KeyError(name)
        return open(name)

    def __iter__(self) -> Iterator[str]:
        return iter(Catalog().names())

    def __len__(self) -> int:
        return len(Catalog().names())

    def __getattr__(self, name: str) -> Any:
        if name in Catalog().names():
            return open(name)
        raise AttributeError(f"the catalog has no dataset named {name!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self if name.isidentifier())]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"datasets in {Catalog().place}: {', '.join(self) or 'none'}"


datasets = _Datasets()
