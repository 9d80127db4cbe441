"""The command in this process, as a shell would call it."""

import sys
from pathlib import Path

import pytest

from data_catalog import command_line
from data_catalog.__main__ import app


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit status of ``python -m data_catalog`` with some arguments."""
    monkeypatch.setattr(sys, "argv", ["data_catalog", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        command_line.run(app, name="python -m data_catalog")
    return int(stopped.value.code or 0)
