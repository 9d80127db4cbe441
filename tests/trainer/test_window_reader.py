import numpy as np

from trainer.normalise import Normalisation
from trainer.store import Dataset
from trainer.window_reader import WindowReader

DIMS = ("trace", "time")


def test_only_finite_samples_are_live(stores):
    amplitude = np.ones((16, 8))
    amplitude[3, :3] = np.nan, np.inf, -np.inf
    stores.make("odd", amplitude=amplitude, dims=DIMS, chunk=(16, 8))
    dataset = Dataset("odd", catalog=stores.catalog)
    stored, normalisation = dataset.input_variable(), Normalisation(0.0, 2.0)
    reader = WindowReader.open(dataset, stored=stored, label=None, normalisation=normalisation, budget_nbytes=2**20)
    window = reader.read(((0, 16), (0, 8)))
    np.testing.assert_array_equal(window.live, np.isfinite(amplitude))
    np.testing.assert_array_equal(window.amplitude, np.where(window.live, 0.5, 0))
