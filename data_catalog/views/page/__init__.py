"""The catalog as a static web site: a list of all datasets, and a page about each; no server and no network needed.

Nothing here is survey-sized: each picture reads a bounded number of chunks, whatever the dataset.
"""

from collections.abc import Mapping
from pathlib import Path

from data_catalog.catalog import Catalog
from data_catalog.errors import InputError


def write_page(catalog: Catalog, folder: Path) -> Mapping[str, str]:
    """Writes the site into a folder, or replaces the one that is there.

    Args:
        catalog: Whose datasets.
        folder: Empty, new, or one that holds such a site.

    Returns:
        What is wrong with datasets that could not be shown, or not wholly, a sentence by name. The site says it too.

    Raises:
        InputError: If the folder holds anything else or cannot be written, or a library is missing.
    """
    try:
        from data_catalog.views.page.site import write_site
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise InputError(
            f"the page takes {library}, which is not installed: pip install numpy zarr matplotlib jinja2."
        ) from None
    return write_site(catalog, folder)
