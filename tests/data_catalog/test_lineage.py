"""What is told of where a dataset comes from: the same each time, and all of it somewhere."""

import yaml

from data_catalog import Entry
from data_catalog.facts import MOST_TEXT, facts_of
from data_catalog.lineage import lineage


def test_places_are_told_in_one_order() -> None:
    """Of a set it would be another in each process."""
    volumes = [{"path": "a.sgy", "url": "s3://b/a.sgy"}, {"url": "s3://b/c.sgy", "path": "c.sgy"}]
    assert facts_of({"volumes": volumes}) == {"volumes": "s3://b/a.sgy, a.sgy, s3://b/c.sgy, c.sgy"}


def test_what_is_cut_is_whole_below() -> None:
    split_by = {"by": "survey", "surveys": [f"survey-{number}" for number in range(100)]}
    variable = {"role": "input", "dims": ["trace"], "shape": [4], "dtype": "float32"}
    entry = Entry.model_validate(
        {
            "name": "line",
            "kind": "flat",
            "url": "/data/line.zarr",
            "created": "2026-01-02T00:00:00Z",
            "main_variable": "amplitude",
            "sizes": {"trace": 4},
            "variables": {"amplitude": variable | {"chunk_shape": [4], "shard_shape": [4]}},
            "split_by": split_by,
        }
    )
    (step,) = [each for each in lineage(entry) if each.title == "Splits"]
    assert len(step.facts["surveys"]) == MOST_TEXT + 1
    assert yaml.safe_load(step.document) == split_by
