"""Entries that are looked for: by kind, variable, class, split and size."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from data_catalog import Catalog, Entry, InputError, Kind
from data_catalog.__main__ import app
from data_catalog.search import Search, parse_nbytes, samples_nbytes


@pytest.mark.parametrize(
    ("search", "is_found"),
    [
        ({}, True),
        ({"kind": Kind.STACK3D}, True),
        ({"kind": Kind.SHOTS}, False),
        ({"variable": "ampl"}, True),
        ({"variable": "velocity"}, False),
        ({"class_word": "salt"}, True),
        ({"class_word": "sal"}, False),
        ({"split": "train"}, True),
        ({"split": "validation"}, False),
        ({"at_least": 8000, "at_most": 9000}, True),
        ({"at_least": 9000}, False),
        ({"at_most": 8000}, False),
        ({"kind": Kind.STACK3D, "class_word": "shale"}, False),
    ],
)
def test_what_is_found(search: dict[str, Any], is_found: bool, make_entry: Callable[..., Entry]) -> None:
    entry = make_entry()
    assert samples_nbytes(entry) == 1600 * (4 + 1) + 80 + 8 * (10 + 8 + 20)
    assert Search(**search).finds(entry) is is_found


def test_sizes() -> None:
    assert parse_nbytes("1.5 GiB", option="--at-least") == 3 * 2**29
    assert parse_nbytes("750GB", option="--at-least") == 750 * 10**9
    assert parse_nbytes(None, option="--at-least") is None
    for text in ("much", "1 XB", "-1MB", ""):
        with pytest.raises(InputError, match="is no size"):
            parse_nbytes(text, option="--at-least")


def test_the_command(make_entry: Callable[..., Entry], catalog_folder: Path) -> None:
    Catalog().publish(make_entry())
    found = CliRunner().invoke(app, ["list", "--class", "salt", "--json"])
    assert [each["name"] for each in json.loads(found.output)] == ["survey"]
    assert json.loads(CliRunner().invoke(app, ["list", "--kind", "shots", "--json"]).output) == []
    assert "survey" in CliRunner().invoke(app, ["list", "--kind", "stack3d"]).output
    assert "no dataset is like that" in CliRunner().invoke(app, ["list", "--at-least", "1TB"]).output
