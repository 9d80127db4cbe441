"""The synthetic salt survey: what its recipe fixes, what its SEG-Y says, and what does not give it away."""

from pathlib import Path

import numpy as np
import pytest
import segyio
from pydantic import ValidationError
from scipy.ndimage import uniform_filter
from segyio import BinField, TraceField

from pipeline.synthetic.salt_section import ricker_wavelet, salt_slabs
from pipeline.synthetic.salt_survey import SaltSurvey
from pipeline.synthetic.segy_writer import cdp_coordinates_m, write_salt_survey
from pipeline.synthetic.smooth_field import SmoothField

SMALL = SaltSurvey(n_inlines=5, n_crosslines=40, n_samples=64)


def samples_of(survey: SaltSurvey, *, inlines_per_slab: int = 8) -> tuple[np.ndarray, np.ndarray]:
    slabs = list(salt_slabs(survey, inlines_per_slab=inlines_per_slab))
    return np.concatenate([slab.amplitude for slab in slabs]), np.concatenate([slab.salt for slab in slabs])


def best_threshold_iou(attribute: np.ndarray, salt: np.ndarray) -> float:
    """Largest IoU that any threshold reaches, on the very samples it was tuned on: kinder than a held-out split."""
    best = 0.0
    for threshold in np.quantile(attribute, np.linspace(0, 1, 41)):
        for guess in (attribute >= threshold, attribute <= threshold):
            best = max(best, float((guess & salt).sum() / (guess | salt).sum()))
    return best


@pytest.fixture(scope="module")
def medium() -> tuple[np.ndarray, np.ndarray]:
    return samples_of(SaltSurvey(n_inlines=6, n_crosslines=200, n_samples=220))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    written = write_salt_survey(SMALL, out=tmp_path_factory.mktemp("survey"))
    return written.amplitude, written.salt


def test_slabs_have_the_axes_and_types_they_promise() -> None:
    slabs = list(salt_slabs(SMALL, inlines_per_slab=2))
    assert [slab.first_inline_index for slab in slabs] == [0, 2, 4]
    assert [slab.amplitude.shape for slab in slabs] == [(2, 40, 64), (2, 40, 64), (1, 40, 64)]
    assert {(slab.amplitude.dtype.name, slab.salt.dtype.name) for slab in slabs} == {("float32", "uint8")}
    assert all(np.isfinite(slab.amplitude).all() for slab in slabs)
    assert set(np.unique(np.concatenate([slab.salt for slab in slabs]))) == {0, 1}


@pytest.mark.parametrize("inlines_per_slab", [1, 3, 100])
def test_samples_do_not_depend_on_slab_size(inlines_per_slab: int) -> None:
    for expected, got in zip(samples_of(SMALL), samples_of(SMALL, inlines_per_slab=inlines_per_slab), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_seed_decides_the_survey() -> None:
    other = samples_of(SMALL.model_copy(update={"seed": SMALL.seed + 1}))
    for ours, theirs in zip(samples_of(SMALL), other, strict=True):
        assert (ours != theirs).any()


def test_same_recipe_writes_the_same_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    again = write_salt_survey(SMALL, out=tmp_path)
    assert again.amplitude.read_bytes() == files[0].read_bytes()
    assert again.salt.read_bytes() == files[1].read_bytes()


def test_headers_say_where_and_what(files: tuple[Path, Path]) -> None:
    for path, sample_format in zip(files, (1, 5), strict=True):
        with segyio.open(path, iline=189, xline=193) as file:
            np.testing.assert_array_equal(file.ilines, SMALL.inline_numbers)
            np.testing.assert_array_equal(file.xlines, SMALL.crossline_numbers)
            assert file.samples[1] - file.samples[0] == SMALL.sample_interval_us / 1000
            assert (file.bin[BinField.Format], file.bin[BinField.SEGYRevision]) == (sample_format, 1)
            assert (file.bin[BinField.Interval], file.bin[BinField.Samples]) == (4000, 64)
            assert set(file.attributes(TraceField.TRACE_SAMPLE_INTERVAL)[:]) == {4000}
            assert set(file.attributes(TraceField.TRACE_SAMPLE_COUNT)[:]) == {64}
            assert set(file.attributes(TraceField.TraceIdentificationCode)[:]) == {1}
            np.testing.assert_array_equal(file.attributes(TraceField.TRACE_SEQUENCE_FILE)[:], np.arange(1, 201))
            text = segyio.tools.wrap(file.text[0])
            assert "NOT FIELD DATA" in text
            assert "90 DEG MORE" in text
            assert text.splitlines()[38].startswith("C39 SEG Y REV1")


def test_files_keep_the_bytes_of_the_standard(files: tuple[Path, Path]) -> None:
    raw = files[0].read_bytes()
    assert len(raw) == 3600 + SMALL.n_inlines * SMALL.n_crosslines * (240 + 4 * SMALL.n_samples)
    assert raw[:1] == "C".encode("cp037")
    assert raw[3500:3504] == b"\x01\x00\x00\x01"
    first_trace = raw[3600:3840]
    assert int.from_bytes(first_trace[70:72], "big", signed=True) == -100
    assert int.from_bytes(first_trace[180:184], "big", signed=True) == 45_200_000
    assert int.from_bytes(first_trace[184:188], "big", signed=True) == 678_300_000
    assert int.from_bytes(first_trace[188:192], "big", signed=True) == SMALL.first_inline
    assert int.from_bytes(first_trace[192:196], "big", signed=True) == SMALL.first_crossline


def test_coordinates_follow_spacing_and_azimuth(files: tuple[Path, Path]) -> None:
    survey = SMALL.model_copy(update={"grid_azimuth_deg": 90.0})
    x_m, y_m = cdp_coordinates_m(survey, inline_index=1)
    assert x_m[1] - x_m[0] == pytest.approx(survey.crossline_spacing_m)
    assert y_m[0] == pytest.approx(survey.origin_y_m - survey.inline_spacing_m)
    x_m, _ = cdp_coordinates_m(SMALL, inline_index=3)
    with segyio.open(files[0], iline=189, xline=193) as file:
        stored = file.attributes(TraceField.CDP_X)[:].reshape(SMALL.n_inlines, SMALL.n_crosslines)
    np.testing.assert_allclose(stored[3] / 100, x_m, atol=0.0051)


def test_files_hold_the_samples(files: tuple[Path, Path]) -> None:
    amplitude, salt = samples_of(SMALL)
    with segyio.open(files[0], iline=189, xline=193) as file:
        np.testing.assert_allclose(segyio.cube(file), amplitude, rtol=2e-6)
    with segyio.open(files[1], iline=189, xline=193) as file:
        np.testing.assert_array_equal(segyio.cube(file), salt)


def test_a_failure_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_after_one(survey: SaltSurvey) -> object:
        yield next(salt_slabs(survey))
        raise OSError("disk full")

    monkeypatch.setattr("pipeline.synthetic.segy_writer.salt_slabs", fail_after_one)
    with pytest.raises(OSError, match="disk full"):
        write_salt_survey(SMALL, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_salt_is_a_fair_share_of_every_inline(medium: tuple[np.ndarray, np.ndarray]) -> None:
    share = medium[1].mean(axis=(1, 2))
    assert share.min() > 0.12
    assert share.max() < 0.4


def test_salt_is_no_louder_than_the_sediments(medium: tuple[np.ndarray, np.ndarray]) -> None:
    amplitude, salt = medium
    inside, outside = amplitude[salt == 1].std(), amplitude[salt == 0].std()
    assert 0.75 < inside / outside < 1.33


@pytest.mark.parametrize("window", [(1, 1, 1), (1, 1, 25), (1, 9, 9), (1, 21, 21), (5, 9, 9)])
def test_no_threshold_on_loudness_finds_the_salt(
    medium: tuple[np.ndarray, np.ndarray], window: tuple[int, ...]
) -> None:
    amplitude, salt = medium
    loudness = np.sqrt(np.maximum(uniform_filter(amplitude**2, window), 0))
    assert best_threshold_iou(loudness[::2, ::2, ::2], salt[::2, ::2, ::2] == 1) < 0.45


def test_salt_breaks_the_continuity_of_reflections(medium: tuple[np.ndarray, np.ndarray]) -> None:
    amplitude, salt = medium
    left, right = amplitude[:, :-3], amplitude[:, 3:]

    def correlation(where: np.ndarray) -> float:
        return float(np.corrcoef(left[where], right[where])[0, 1])

    both_salt = (salt[:, :-3] & salt[:, 3:]) == 1
    neither = (salt[:, :-3] | salt[:, 3:]) == 0
    assert correlation(both_salt) < 0.25
    assert correlation(neither) > 0.4


def test_wavelet_is_zero_phase_and_peaks_at_its_frequency() -> None:
    wavelet = ricker_wavelet(dominant_frequency_hz=25, sample_interval_us=4000)
    np.testing.assert_array_equal(wavelet, wavelet[::-1])
    assert abs(wavelet[0]) < 1e-4
    spectrum = np.abs(np.fft.rfft(wavelet, 4096))
    assert np.fft.rfftfreq(4096, 0.004)[spectrum.argmax()] == pytest.approx(25, abs=0.2)


def test_smooth_field_has_unit_variance_between_its_lattice_points() -> None:
    field = SmoothField(np.random.default_rng(0), shape=(40, 400, 400), spacing=(4, 4, 4))
    values = np.stack([field.panel(index) for index in range(0, 40, 3)])
    np.testing.assert_allclose(values.std(axis=(0, 1)).mean(), 1, atol=0.05)


def test_a_wavelet_that_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(ValidationError, match="lower the frequency"):
        SaltSurvey(dominant_frequency_hz=80)
    with pytest.raises(ValidationError, match="frequency_hz"):
        SaltSurvey(frequency_hz=30)  # type: ignore[call-arg]
