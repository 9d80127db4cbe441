"""Templates, filled in: a page holds its style and its script, and a browser that keeps to its policy runs no other."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from data_catalog.views.page.axes import number

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> bytes:
    """A template as a file; whatever is filled in is escaped."""
    return _environment().get_template(template).render(values).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    environment.filters |= {"nbytes": nbytes_text, "number": number}
    environment.globals |= {
        "style": style,
        "script": script,
        "policy": "; ".join(
            (
                "default-src 'none'",
                "img-src 'self' file: data:",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
    }
    return environment


def _digest(text: str) -> str:
    """What a Content-Security-Policy calls a script or a style by (CSP level 2, hash-source)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def nbytes_text(nbytes: int) -> str:
    """A size with three digits."""
    size, units = float(nbytes), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 1000 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}"
