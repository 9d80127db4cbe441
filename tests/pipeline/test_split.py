"""Splits of a dataset: kept in its entry, with what lies between them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from typer.testing import CliRunner

from data_catalog import Catalog, Entry, InputError, check_entry
from pipeline.__main__ import app
from pipeline.ingest.run import ingest, load_ingest_recipe
from pipeline.split import load_split_recipe, split

Make = Callable[..., Entry]


@pytest.fixture
def make(client: Client, catalog_folder: Path, tmp_path: Path) -> Make:
    """A function that makes a dataset of examples, one file each; ``beside`` are numbers of each."""

    def make_examples(values: np.ndarray, **beside: Any) -> Entry:
        folder = tmp_path / "examples"
        folder.mkdir()
        for row, each in enumerate(values):
            np.savez(folder / f"{row}.npz", data=each, **{name: numbers[row] for name, numbers in beside.items()})
        files = {"format": "numpy", "paths": [str(folder)], "array": "data", "dims": ["time"]}
        recipe = load_ingest_recipe(name="made", out=str(tmp_path / "made.zarr"), files=files)
        return ingest(recipe, client=client, catalog=Catalog())

    return make_examples


def walk(count: int) -> np.ndarray:
    """Examples of which neighbours correlate by 0.9, and others by 0.9 to the power of their distance."""
    random = np.random.default_rng(1)
    found = [random.normal(size=2000)]
    for _ in range(count - 1):
        found.append(0.9 * found[-1] + np.sqrt(1 - 0.81) * random.normal(size=2000))
    return np.array(found, np.float32)


def test_splits_are_kept_with_how_they_were_made(make: Make) -> None:
    before = make(walk(40))
    recipe = load_split_recipe(by="example", shares={"train": 0.75, "test": 0.25}, guard=4)
    entry, (border,) = split(recipe, name="made", catalog=Catalog())
    assert entry == Catalog().read("made")
    assert (entry.revision, check_entry(entry)) == (before.revision + 1, [])
    assert entry.splits == {"train": ({"example": (0, 27)},), "test": ({"example": (31, 40)},)}
    assert entry.split_by == {"by": "example", "shares": {"train": 0.75, "test": 0.25}, "guard": 4, "seed": 0}
    assert (border.splits, border.distance) == (("train", "test"), 4)


def test_what_lies_between_is_told(make: Make) -> None:
    values = walk(60)
    make(values)
    dealt = load_split_recipe(by="example", shares={"train": 0.5, "test": 0.5}, blocks=60, seed=3)
    _, (leaking,) = split(dealt, name="made", catalog=Catalog())
    ranges = load_split_recipe(by="example", shares={"train": 0.5, "test": 0.5}, guard=20)
    entry, (border,) = split(ranges, name="made", catalog=Catalog())
    assert leaking.distance == 0
    assert border.distance == 20
    (train,), (test,) = entry.splits["train"], entry.splits["test"]
    one, other = values[train["example"][1] - 1], values[test["example"][0]]
    assert border.correlation == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-6)
    assert leaking.correlation == pytest.approx(0.9, abs=0.05)
    assert border.correlation == pytest.approx(0.9**21, abs=0.1)
    assert border.neighbouring == pytest.approx(0.9, abs=0.05)


def test_groups_stay_together(make: Make) -> None:
    events = np.repeat([3, 1, 2, 5, 4, 8], [7, 3, 5, 5, 6, 4])
    make(walk(30), event=events)
    recipe = load_split_recipe(by="example", shares={"train": 0.6, "test": 0.4}, group="event", seed=2)
    entry, _ = split(recipe, name="made", catalog=Catalog())
    owners = {name: {i for box in boxes for i in range(*box["example"])} for name, boxes in entry.splits.items()}
    assert owners["train"] | owners["test"] == set(range(30))
    assert not {events[i] for i in owners["train"]} & {events[i] for i in owners["test"]}


def test_names_are_groups_too(make: Make) -> None:
    make(walk(20))
    recipe = load_split_recipe(by="example", shares={"train": 0.6, "test": 0.4}, group="name")
    entry, _ = split(recipe, name="made", catalog=Catalog())
    taken = sorted(i for boxes in entry.splits.values() for box in boxes for i in range(*box["example"]))
    assert taken == list(range(20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "inline"}, "'made' has no dimension inline: there are example, time"),
        ({"by": "example", "group": "event"}, "has no coordinate event along example"),
        ({"by": "example", "guard": 50}, "nothing is left for train, test"),
        ({"by": "example", "shares": {"train": 0.5, "test": 0.4}}, "add up to 1"),
        ({"by": "example", "group": "event", "guard": 1}, "--guard has no meaning with --group"),
    ],
)
def test_splits_that_cannot_be_are_refused(options: dict[str, Any], message: str, make: Make) -> None:
    before = make(walk(20))
    recipe = load_split_recipe(**{"shares": {"train": 0.5, "test": 0.5}} | options)
    with pytest.raises(InputError, match=message):
        split(recipe, name="made", catalog=Catalog())
    assert Catalog().read("made") == before


def test_whole_surveys_are_dealt(make: Make) -> None:
    made, catalog = make(walk(20)), Catalog()
    names = ["north", "south", "west"]
    for name in names:
        shutil.copytree(made.url, f"{made.url}-{name}")
        catalog.publish(made.model_copy(update={"name": name, "url": f"{made.url}-{name}"}))
    options = ["--by", "survey", "--shares", "train=0.7,test=0.3", "--seed", "5"]
    told = CliRunner().invoke(app, ["split", *names, *options, "--json"], catch_exceptions=False)
    dealt = json.loads(told.output)
    assert sorted(dealt.values()) == ["test", "train", "train"]
    for name in names:
        entry = catalog.open(name)
        assert (entry.splits, entry.revision) == ({dealt[name]: ({},)}, 2)
        assert entry.split_by["surveys"] == names
    for wrong, sentence in {
        ("north",): "1 surveys cannot be dealt to 2 splits",
        ("north", "north"): "north is named twice",
        ("north", "south", "--guard", "3"): "--guard, --blocks and --group have no meaning",
        ("north", "nowhere"): "no dataset named 'nowhere'",
    }.items():
        with pytest.raises(InputError, match=re.escape(sentence)):
            CliRunner().invoke(app, ["split", *wrong, *options], catch_exceptions=False)
    with pytest.raises(InputError, match="2 datasets are split one by one"):
        CliRunner().invoke(app, ["split", "north", "south", *options, "--by", "example"], catch_exceptions=False)
    assert {catalog.read(name).revision for name in names} == {2}


def test_the_command(make: Make) -> None:
    make(walk(20))
    options = ["--by", "example", "--shares", "train=0.5,test=0.5", "--guard", "2", "--json"]
    told = CliRunner().invoke(app, ["split", "made", *options], catch_exceptions=False)
    found = json.loads(told.output)
    in_percent = ["--by", "example", "--shares", "train=50%,test=50%"]
    again = CliRunner().invoke(app, ["split", "made", *in_percent], catch_exceptions=False).output
    assert again.startswith("made had splits train, test by example, whose place these take\n")
    for shares, sentence in {
        "train=0.5,train=0.5": "names train twice",
        "train=half": "train=half is no share",
    }.items():
        with pytest.raises(InputError, match=sentence):
            CliRunner().invoke(app, ["split", "made", "--by", "example", "--shares", shares], catch_exceptions=False)
    assert found["splits"] == {"train": [{"example": [0, 9]}], "test": [{"example": [11, 20]}]}
    assert found["borders"][0]["distance"] == 2
