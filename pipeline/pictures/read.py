"""One picture as an array: decoded by Pillow, refused in a sentence where it cannot be."""

import io
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data_catalog import InputError
from data_catalog.storage import open_storage
from pipeline.storage.objects import read_object

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif")

_GREY = {"1": "L", "L": "L", "LA": "L", "P": "L", "RGB": "L", "RGBA": "L", "CMYK": "L", "YCbCr": "L"}
"""Modes that become 8-bit grey; others (16 and 32 bits, floats) are kept."""


def picture_size(url: str) -> tuple[int, int]:
    """Rows and columns, without decoding the picture.

    Raises:
        InputError: If it is none.
    """
    filesystem, path = open_storage(url)
    try:
        with filesystem.open(path, "rb") as file, _picture(file, url) as picture:  # no more of it than its header
            return picture.height, picture.width
    except FileNotFoundError:
        raise InputError(f"no such file: {url}.") from None


def read_grey(url: str) -> NDArray[Any]:
    """A picture as (row, column): uint8, or what its file holds where that is more.

    Raises:
        InputError: If it is none.
    """
    with _opened(url) as picture:
        try:
            return np.asarray(picture.convert(_GREY[picture.mode]) if picture.mode in _GREY else picture)
        except OSError as error:
            raise InputError(f"{url} is damaged: {error}.") from None


def read_colours(url: str) -> NDArray[np.uint8]:
    """A picture as uint8 (row, column, 3): red, green and blue.

    Raises:
        InputError: If it is none.
    """
    with _opened(url) as picture:
        try:
            return np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise InputError(f"{url} is damaged: {error}.") from None


def _opened(url: str) -> Image.Image:
    try:
        content = read_object(url)
    except FileNotFoundError:
        raise InputError(f"no such file: {url}.") from None
    return _picture(io.BytesIO(content), url)


def _picture(file: IO[bytes], url: str) -> Image.Image:
    try:
        return Image.open(file)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{url} is no picture that can be read: {error}.") from None
