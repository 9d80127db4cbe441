"""A dataset as one xarray Dataset: what it was made with, and what was derived from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Entry, Role

if TYPE_CHECKING:
    import xarray


def open_dataset(entry: Entry) -> xarray.Dataset:
    """Opens all variables of a dataset, lazily; derived ones are called ``ID_VARIABLE``.

    Labels keep their class numbers: their ignore value is an attribute, not a gap.

    Args:
        entry: The dataset.

    Raises:
        InputError: If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise InputError("opening a dataset as a whole takes xarray: pip install xarray, or open its store.") from None
    found: xarray.Dataset = xarray.open_zarr(entry.url, mask_and_scale=False, decode_timedelta=False)
    coordinates = [name for name, each in entry.variables.items() if each.role is Role.COORDINATE and name in found]
    found = found.set_coords(coordinates)
    for derived_id, group in entry.derived.items():
        url = f"{entry.url.rstrip('/')}/{layout.derived_path(derived_id)}"
        derived = xarray.open_zarr(url, mask_and_scale=False, decode_timedelta=False)
        for name in group.variables:
            found[layout.variable_word(f"{layout.derived_path(derived_id)}/{name}")] = derived[name].variable
    found.attrs |= {"title": entry.name, "kind": entry.kind.value, "revision": entry.revision}
    return found
