"""The contract between pipeline and trainer: catalog entries, the store's layout, and the judge of both."""

from data_catalog.catalog import Catalog
from data_catalog.conformance import check_entry, check_store, parse_entry
from data_catalog.errors import ConformanceError, InputError, WorkError
from data_catalog.lease import Lease, hold_lease, live_lease
from data_catalog.lease_file import LeaseRecord
from data_catalog.problem import Problem
from data_catalog.schema import Box, Derived, Entry, Kind, Role, Source, Variable
from data_catalog.unfinished import Unfinished

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
    "hold_lease",
    "live_lease",
    "parse_entry",
]
