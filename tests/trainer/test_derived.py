import numpy as np
import pytest

from data_catalog import Catalog, InputError
from trainer.data.store import Dataset
from trainer.prediction.derived import describe, group_at_work, publish
from trainer.tasks.task import OutputVariable

OUTPUTS = {"said": OutputVariable(("trace", "time"), "float32", np.nan)}


@pytest.fixture
def line(stores):
    stores.make_line("line")
    return Dataset("line", catalog=stores.catalog)


def write_and_publish(dataset, derived_id):
    like = dataset.entry.variables["amplitude"]
    with group_at_work(dataset, derived_id=derived_id, like=like, outputs=OUTPUTS, plan={"weights": "0a"}):
        variables = {name: describe(output, like=like) for name, output in OUTPUTS.items()}
        publish(dataset, derived_id=derived_id, variables=variables, boxes=(), provenance={})


def let_others_publish_first(monkeypatch, dataset, *, ids):
    """Before each of our calls, as long as there are ids, another prediction ends."""
    publish_entry, left = Catalog.publish, list(ids)

    def publish_late(catalog, entry):
        if left:
            write_and_publish(dataset, left.pop())
        publish_entry(catalog, entry)

    monkeypatch.setattr(Catalog, "publish", publish_late)


def test_predictions_that_end_together_are_all_published(line, monkeypatch):
    let_others_publish_first(monkeypatch, line, ids=["b", "c"])
    write_and_publish(line, "a")
    entry = line.catalog.open("line")
    assert entry.revision == 4
    assert entry.derived.keys() == {"a", "b", "c"}


def test_a_dataset_that_is_replaced_again_and_again_is_given_up(line, monkeypatch):
    publish_entry = Catalog.publish

    def replace_first(catalog, entry):
        present = catalog.read("line")
        publish_entry(catalog, present.model_copy(update={"revision": present.revision + 1}))
        publish_entry(catalog, entry)

    monkeypatch.setattr(Catalog, "publish", replace_first)
    with pytest.raises(InputError, match="'line' was replaced by others 5 times while 'a' was to be published"):
        write_and_publish(line, "a")


def test_what_cannot_be_published_is_refused_at_once(line, monkeypatch):
    def refuse(catalog, entry):
        raise InputError("the catalog folder cannot be written")

    monkeypatch.setattr(Catalog, "publish", refuse)
    with pytest.raises(InputError, match="the catalog folder cannot be written"):
        write_and_publish(line, "a")


def test_a_store_that_has_vanished_is_told(line, stores):
    (stores.folder / "line.zarr").rename(stores.folder / "moved.zarr")
    with pytest.raises(InputError, match=r"line\.zarr cannot be written \(.*does not exist"):
        write_and_publish(line, "a")


def test_a_store_that_cannot_be_written_is_told(line, stores):
    (stores.folder / "line.zarr/derived").write_text("in the way")
    with pytest.raises(InputError, match=r"line\.zarr/derived/a cannot be read or written"):
        write_and_publish(line, "a")
