import numpy as np
import pytest

from trainer.config import FeedConfig
from trainer.data.data_source import DataSource
from trainer.data.normalise import Normalisation
from trainer.data.store import Dataset
from trainer.feed.window_reader import INPUT, LABEL, LIVE, open_readers

DIMS = ("trace", "time")


def open_reader(stores, name, *, label=None):
    dataset = Dataset(name, catalog=stores.catalog)
    source = DataSource(
        dataset,
        dataset.input_variable(),
        label=None if label is None else dataset.variable(label),
        normalisation=Normalisation(0.0, 2.0),
    )
    return open_readers([source], config=FeedConfig(resident_nbytes=2**20))[0]


@pytest.mark.parametrize("odd", [True, False])
def test_only_finite_samples_are_live(stores, odd):
    amplitude = np.ones((16, 8))
    if odd:
        amplitude[3, :3] = np.nan, np.inf, -np.inf
    stores.make("odd", amplitude=amplitude, dims=DIMS, chunk=(16, 8))
    reader = open_reader(stores, "odd")
    assert reader.is_finite is not odd
    window = reader.read_box(((0, 16), (0, 8)))
    np.testing.assert_array_equal(window.live, np.isfinite(amplitude))
    np.testing.assert_array_equal(window.amplitude, np.where(window.live, 0.5, 0))
    np.testing.assert_array_equal(window.stored, amplitude)


def test_a_window_beyond_its_box_is_not_live_there(stores):
    amplitude = np.arange(1.0, 161).reshape(20, 8)
    stores.make("line", amplitude=amplitude, dims=DIMS, chunk=(8, 4))
    reader = open_reader(stores, "line")
    request = reader.requests(np.array([[14, 2]]), np.array([[18, 8]]))[0]
    samples = {name: np.full_like(array, 1) for name, array in reader.empty((6, 8)).items()}
    request.read(into=samples, announced=False)
    window = reader.window(samples, ranges=request.ranges)
    inside = np.zeros((6, 8), bool)
    inside[:4, :6] = True
    np.testing.assert_array_equal(window.live, inside)
    np.testing.assert_array_equal(window.amplitude[inside], amplitude[14:18, 2:8].ravel() / 2)
    assert not window.amplitude[~inside].any()
    assert window.box == ((14, 20), (2, 10))


def test_parts_follow_the_dimensions_that_they_share(stores, salt_stack):
    reader = open_reader(stores, "salt", label="salt")
    firsts = np.array([[3, 10, 5], [4, 20, 7]])
    first, second = reader.requests(firsts, firsts + np.array([1, 16, 20]))
    assert first.ranges[INPUT] == first.ranges[LABEL] == ([3, 10, 5], [4, 26, 25])
    assert second.ranges[LIVE] == ([4, 20], [5, 36])
    assert {name: part.extents((1, 16, 20)) for name, part in reader.parts.items()} == {
        INPUT: (1, 16, 20),
        LABEL: (1, 16, 20),
        LIVE: (1, 16),
    }
    grids = reader.grids(3)
    assert [grid.chunk for grid in grids] == [(4, 16, 20), (4, 16, None), (4, 16, 20)]
    assert [grid.nbytes for grid in grids] == [4 * 16 * 20 * 4, 4 * 16, 4 * 16 * 20]
