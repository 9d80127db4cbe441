"""The catalog as a SpatioTemporal Asset Catalog (STAC): an item for each dataset, made by pystac."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from data_catalog import layout
from data_catalog.errors import InputError
from data_catalog.schema import Entry

if TYPE_CHECKING:
    import pystac

ZARR = "application/vnd+zarr; version=3"
"""Media type of a Zarr group (STAC best practices, "Common Use Cases of Additional Fields for Assets")."""

ITEMS = "datasets"
"""Folder of the items."""


def write_stac(entries: Sequence[Entry], folder: Path, *, place: str) -> None:
    """Writes a STAC catalog whose links are relative, so that the folder can be moved.

    Items have no geometry: stores keep map coordinates in the projection of their survey, often without its name.

    Args:
        entries: The datasets.
        folder: Where to; it must not exist.
        place: Where the entries are listed.

    Raises:
        InputError: If pystac is not installed.
        OSError: If the folder cannot be written.
    """
    try:
        import pystac
        from pystac.layout import TemplateLayoutStrategy
    except ImportError:
        raise InputError("--format stac takes pystac: pip install pystac.") from None
    catalog = pystac.Catalog("tracemill", f"Prepared datasets listed in {place}", title="Prepared seismic datasets")
    catalog.add_items(_item(entry) for entry in entries)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:  # all of it, or nothing
        strategy = TemplateLayoutStrategy(item_template=ITEMS)  # a dataset may be called catalog.json
        written = Path(temporary, "stac")
        catalog.normalize_and_save(str(written), pystac.CatalogType.SELF_CONTAINED, strategy=strategy)
        written.rename(folder)


def _item(entry: Entry) -> pystac.Item:
    import pystac

    item = pystac.Item(entry.name, geometry=None, bbox=None, datetime=entry.created, properties=_properties(entry))
    item.add_asset("store", _asset(entry.url, f"{entry.kind} as one Zarr group", roles=["data"]))
    for derived_id, group in entry.derived.items():
        path = layout.derived_path(derived_id)
        about = f"{', '.join(group.variables)} by {group.made_by}"
        item.add_asset(path, _asset(f"{entry.url.rstrip('/')}/{path}", about, roles=["data", "derived"]))
    item.add_links([pystac.Link(pystac.RelType.VIA, source.url, title=source.variable) for source in entry.sources])
    return item


def _properties(entry: Entry) -> dict[str, object]:
    """What a search goes by; names of our own, with a prefix as the specification wants them."""
    return {
        "title": f"{entry.name} ({entry.kind})",
        "tracemill:kind": entry.kind.value,
        "tracemill:revision": entry.revision,
        "tracemill:sizes": entry.sizes,
        "tracemill:splits": list(entry.splits),
        "tracemill:variables": {
            path: variable.model_dump(mode="json", include={"role", "dims", "shape", "dtype", "units", "flag_meanings"})
            for path, variable in entry.all_variables().items()
        },
    }


def _asset(url: str, title: str, *, roles: list[str]) -> pystac.Asset:
    import pystac

    return pystac.Asset(url, title=title, media_type=ZARR, roles=roles)
