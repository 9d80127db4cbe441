import numpy as np

from trainer.tasks.local_gain import BOX, FLOOR, local_gain


def test_it_is_the_rms_of_the_box_cut_at_the_edges():
    section = np.random.default_rng(0).standard_normal((2, 40, 130)).astype(np.float32)
    found = local_gain(section)
    half_traces, half_samples = (width // 2 for width in BOX)
    for line, trace, sample in [(0, 0, 0), (1, 20, 65), (0, 39, 129), (1, 3, 100)]:
        traces = slice(max(trace - half_traces, 0), trace + half_traces + 1)
        samples = slice(max(sample - half_samples, 0), sample + half_samples + 1)
        box = section[line, traces, samples].astype(float)
        np.testing.assert_allclose(found[line, trace, sample], np.sqrt((box**2).mean() + FLOOR**2), rtol=1e-5)


def test_silence_is_divided_by_the_floor():
    np.testing.assert_array_equal(local_gain(np.zeros((1, 30, 60), np.float32)), np.float32(FLOOR))
