import logging

import numpy as np
import pytest

from data_catalog import InputError
from trainer.data.normalise import chunks_inside, chunks_touched, merge, normalisation_from_manifest
from trainer.data.store import Dataset


def test_merging_parts_equals_the_whole():
    generator = np.random.default_rng(0)
    parts = [generator.normal(1e6, 1, size) for size in (1, 7, 1000)]
    merged = merge(
        np.array([len(part) for part in parts]),
        mean=np.array([part.mean() for part in parts]),
        m2=np.array([part.var() * len(part) for part in parts]),
    )
    whole = np.concatenate(parts)
    assert merged.mean == pytest.approx(whole.mean(), rel=1e-15)
    assert merged.standard_deviation == pytest.approx(whole.std(), rel=1e-9)


def test_chunks_inside_and_touched():
    boxes = (((2, 10),),)
    assert chunks_inside(boxes, shape=(10,), chunk=(4,)).tolist() == [False, True, True]  # the last one is cut short
    assert chunks_touched(boxes, shape=(10,), chunk=(4,)).tolist() == [True, True, True]


def test_only_chunks_wholly_inside_count(stores, salt_stack, caplog):
    dataset = Dataset("salt", catalog=stores.catalog)
    stored = dataset.input_variable()
    found = normalisation_from_manifest(dataset, stored, boxes=dataset.split("train", dims=stored.variable.dims))
    recorded = stored.array[:4][dataset.live(stored).array[:4]]  # inlines 0-6 hold one chunk of 4
    assert found.mean == pytest.approx(recorded.mean(dtype=np.float64))
    assert found.standard_deviation == pytest.approx(recorded.std(dtype=np.float64))
    assert not caplog.records


def test_chunks_that_touch_serve_with_a_warning(stores, salt_stack, caplog):
    dataset = Dataset("salt", catalog=stores.catalog)
    with caplog.at_level(logging.WARNING):
        normalisation_from_manifest(dataset, dataset.input_variable(), boxes=(((5, 7), (0, 48), (0, 40)),))
    assert "no chunk of 'amplitude' lies wholly inside the training split" in caplog.text


def test_nothing_to_learn_is_refused(stores):
    stores.make("flat", amplitude=np.ones((32, 32)), dims=("trace", "time"), chunk=(16, 16))
    dataset = Dataset("flat", catalog=stores.catalog)
    with pytest.raises(InputError, match="has no live samples in the training split, or all of them are equal"):
        normalisation_from_manifest(dataset, dataset.input_variable(), boxes=(((0, 32), (0, 32)),))
