import random
import time

import numpy as np
import psutil
import pytest
import torch
import zarr
from s3fs import S3FileSystem

from data_catalog import check_store, hold_lease, layout
from trainer.prediction import predict
from trainer.prediction.predict import Prediction
from trainer.prediction.tiles import Tiling, evenly
from trainer.run_folder import open_run
from trainer.tasks.hidden_traces import hidden_on_grid


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(predict, "core_extent", lambda sizes, *, halo: 13)


@pytest.fixture
def salt_run(call, stores, write_recipe, tmp_path):
    """A network trained for two steps on a salt stack whose sections are wider than its view."""
    stores.make_salt("salt", shape=(12, 80, 66))
    assert call("fit", write_recipe(steps=2)) == 0
    return tmp_path / "run"


def derived_arrays(entry, derived_id):
    return zarr.open_group(f"{entry.url}/derived/{derived_id}", mode="r")


def probability_of_whole_sections(run, catalog):
    """What the network says of each inline when it sees all of it at once."""
    experiment = open_run(run, catalog=catalog)
    amplitude = experiment.main.normalisation.apply(experiment.main.stored.array[...])
    live = experiment.main.dataset.live(experiment.main.stored).array[...]
    inputs = np.pad(np.where(live[..., None], amplitude, 0)[:, None], [(0, 0), (0, 0), (0, 0), (0, 2)])  # 66 to 68
    with torch.no_grad():
        output = experiment.model.eval()(torch.from_numpy(inputs))[..., :66]
    return np.where(live[..., None], output.softmax(1)[:, 1].numpy(), np.nan), live


def test_tiles_agree_with_whole_sections(call, stores, salt_run, small_tiles):
    assert call("predict", salt_run, "--split", "whole", "--id", "salt-1") == 0
    entry = stores.catalog.open("salt")
    assert entry.revision == 2
    assert not check_store(entry)
    arrays = derived_arrays(entry, "salt-1")
    expected, live = probability_of_whole_sections(salt_run, stores.catalog)
    found = arrays["salt_probability"][...]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    said = arrays["salt_class"][...]
    assert (said[~live] == 255).all()
    sure = live[..., None] & (np.abs(expected - 0.5) > 1e-4)
    np.testing.assert_array_equal(said[sure], expected[sure] > 0.5)
    assert arrays["salt_class"].attrs.asdict() == {
        "role": "prediction",
        "flag_values": [0, 1],
        "flag_meanings": "rock salt",
        "ignore_value": 255,
    }


def test_tiles_agree_with_the_whole_volume(call, stores, write_recipe, tmp_path, monkeypatch):
    """Three dimensions: only the recipe is another one."""
    guarded = {
        name: [{"inline": (first, first + 10)}] for first, name in ((0, "train"), (18, "validation"), (36, "test"))
    }
    entry = stores.make_salt("salt", shape=(46, 48, 40), splits=guarded)
    window = {"inline": 8, "crossline": 16, "time": 16}
    model = {"name": "unet", "levels": 3, "start_filters": 4}
    assert call("fit", write_recipe(window=window, model=model, steps=2)) == 0
    monkeypatch.setattr(predict, "core_extent", lambda sizes, *, halo: 9)
    assert call("predict", tmp_path / "run", "--split", "whole") == 0
    experiment = open_run(tmp_path / "run", catalog=stores.catalog)
    live = experiment.main.dataset.live(experiment.main.stored).array[...]
    amplitude = experiment.main.normalisation.apply(experiment.main.stored.array[...])
    inputs = np.pad(np.where(live[..., None], amplitude, 0), [(0, 2), (0, 0), (0, 0)])  # 46 to 48
    with torch.no_grad():
        output = experiment.model.eval()(torch.from_numpy(inputs)[None, None]).softmax(1)[0, 1, :46].numpy()
    found = derived_arrays(entry, "run")["salt_probability"][...]
    np.testing.assert_allclose(found, np.where(live[..., None], output, np.nan), rtol=0, atol=1e-5)


def test_normalisation_over_a_tile_is_told(call, stores, salt_stack, write_recipe, tmp_path, caplog):
    assert call("fit", write_recipe(steps=2, model={"name": "unet", "levels": 2, "norm": "group"})) == 0
    assert call("predict", tmp_path / "run") == 0
    assert "group normalisation takes mean and variance of what the network sees at once" in caplog.text


def test_a_split_is_predicted_and_nothing_else(call, stores, salt_run, small_tiles):
    assert call("predict", salt_run) == 0
    entry = stores.catalog.open("salt")
    assert entry.derived["run"].boxes == ({"inline": (10, 12)},)
    found = derived_arrays(entry, "run")["salt_probability"][...]
    assert np.isnan(found[:10]).all()
    expected, _ = probability_of_whole_sections(salt_run, stores.catalog)
    np.testing.assert_allclose(found[10:], expected[10:], rtol=0, atol=1e-5)


def test_a_dataset_without_labels_can_be_predicted(call, stores, salt_run):
    stores.make_salt("field", shape=(4, 30, 30), salt=None, splits={})
    assert call("predict", salt_run, "--dataset", "field", "--split", "whole") == 0
    entry = stores.catalog.open("field")
    assert entry.derived["run"].variables["salt_class"].flag_meanings == ("rock", "salt")


def test_restored_lines_keep_what_was_visible(call, stores, write_recipe, tmp_path, small_tiles):
    entry = stores.make_line("line")
    recipe = write_recipe(
        dataset={"name": "line"}, window={"trace": 16, "time": 32}, task={"name": "reconstruction"}, steps=2
    )
    assert call("fit", recipe) == 0
    assert call("predict", tmp_path / "run", "--split", "whole", "--id", "restored") == 0
    arrays = derived_arrays(entry, "restored")
    hidden, restored = arrays["hidden"][...], arrays["amplitude_restored"][...]
    amplitude = zarr.open_group(entry.url, mode="r")["amplitude"][...]
    np.testing.assert_array_equal(hidden, hidden_on_grid(((0, 160),), grid=(160,), fraction=0.5, seed=0))
    np.testing.assert_array_equal(restored[~hidden], amplitude[~hidden])
    assert (restored[hidden] != amplitude[hidden]).any(axis=1).all()


def test_cores_are_twice_as_wide_as_the_halo_where_that_can_be():
    assert predict.core_extent((500, 600, 700), halo=60) == 120
    assert predict.core_extent((500, 600, 700), halo=10) == predict.TILE[3]
    assert predict.core_extent((80, 90, 100), halo=107) == 100, "as wide as the volume"
    assert predict.core_extent((900, 900, 900), halo=107) == 106, "what is read stays 320 cubed"
    assert predict.core_extent((900, 900, 900), halo=400) == predict.TILE[3]
    assert predict.core_extent((5000, 5000), halo=107) == predict.TILE[2]


def test_all_context_is_shown_where_that_fits(salt_run, stores):
    prediction = Prediction(
        open_run(salt_run, catalog=stores.catalog), "unet", "whole", halo=None, precision="float32", provenance={}
    )
    assert prediction.context == prediction.tiling.halo == 23
    prediction.experiment.model.receptive_field = 1700
    assert prediction.tiling.halo == 1700, "4096 - 512, and half of it"
    prediction.experiment.model.receptive_field = 1800
    assert (prediction.tiling.halo, prediction.tiling.blend) == (predict.MOST_HALO, predict.MOST_HALO // 2)


def test_context_that_is_cut_is_told(call, salt_run, caplog, monkeypatch):
    assert call("predict", salt_run, "--id", "all") == 0
    assert not caplog.records
    monkeypatch.setattr(predict, "MOST_HALO", 4)
    monkeypatch.setattr(predict, "MOST_READ", {2: 512})
    assert call("predict", salt_run, "--id", "cut") == 0
    assert "depends on 23 samples on either side, tiles show 4 and are blended over 2" in caplog.text
    assert "--halo 23 shows all" in caplog.text


WIDE_MEAN = """
import torch
from torch import nn

class WideMean(nn.Module):
    receptive_field = 20

    def __init__(self, *, dims, in_channels, out_channels):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([-1.0, 1.0]))

    def forward(self, samples):
        mean = nn.functional.avg_pool2d(samples, 41, stride=1, padding=20)
        return mean * self.scale[:, None, None]
"""


def test_seams_are_blended(call, stores, write_recipe, tmp_path, small_tiles, monkeypatch):
    """Where tiles show too little, what comes of it no longer changes at once from one sample to the next."""
    (tmp_path / "wide_nets.py").write_text(WIDE_MEAN)
    monkeypatch.syspath_prepend(tmp_path)
    splits = {"train": [{"inline": (0, 2)}], "validation": [{"inline": (3, 4)}], "test": [{"inline": (5, 6)}]}
    entry = stores.make_salt("salt", shape=(6, 80, 66), splits=splits, chunk=(4, 80, 66), shard=(4, 80, 66))
    assert call("fit", write_recipe(model={"name": "wide_nets:WideMean"}, steps=2)) == 0
    run = ("predict", tmp_path / "run", "--split", "whole")
    assert call(*run, "--id", "exact") == 0
    assert call(*run, "--id", "blended", "--halo", "8") == 0
    monkeypatch.setattr(predict, "Tiling", lambda blend, **others: Tiling(**others))
    assert call(*run, "--id", "hard", "--halo", "8") == 0
    exact, blended, hard = (
        derived_arrays(entry, name)["salt_probability"][...] for name in ("exact", "blended", "hard")
    )
    seams = np.array([stop for _, stop in evenly((0, 66), most=13)[:-1]])
    steps = [np.nanmax(np.abs(np.diff(found - exact, axis=2))[..., seams - 1]) for found in (blended, hard)]
    assert 0 < steps[0] < steps[1] / 3


def test_a_precision_may_be_chosen(call, stores, salt_run):
    for precision in ("float64", "bfloat16"):
        assert call("predict", salt_run, "--id", precision, "--precision", precision) == 0
    assert call("predict", salt_run) == 0
    entry = stores.catalog.open("salt")
    found = {name: derived_arrays(entry, name)["salt_probability"][10:] for name in ("run", "float64", "bfloat16")}
    np.testing.assert_allclose(found["run"], found["float64"], atol=1e-5)
    assert 1e-5 < np.nanmax(np.abs(found["run"] - found["bfloat16"])) < 0.05


def test_the_entry_says_which_checkpoint_predicted(call, stores, salt_run):
    assert call("predict", salt_run) == 0
    assert stores.catalog.open("salt").derived["run"].provenance["checkpoint_step"] == 2


def test_an_id_is_written_once(call, salt_run, capsys):
    assert call("predict", salt_run, "--id", "twice") == 0
    assert call("predict", salt_run, "--id", "twice") == 2
    assert "has a derived group 'twice' already; choose another --id" in capsys.readouterr().err
    assert call("predict", salt_run, "--id", "../twice") == 2
    assert "is no name for a derived group" in capsys.readouterr().err


def test_a_prediction_that_fails_goes_on(call, stores, salt_run, capsys):
    """What was written stays as it is; what could not be is made up for."""
    assert call("predict", salt_run, "--split", "whole", "--id", "undisturbed") == 0
    entry = stores.catalog.open("salt")
    chunk = stores.folder / "salt.zarr/amplitude/c/2/1/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(b"torn")
    assert call("predict", salt_run, "--split", "whole", "--id", "half") == 2
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert "Traceback" not in said
    assert stores.catalog.open("salt") == entry
    group = stores.folder / "salt.zarr/derived/half"
    written = {path: path.stat().st_mtime_ns for path in (group / "salt_class/c").rglob("*") if path.is_file()}
    columns = {path.name for path in (group / "work/ledger").iterdir()}
    assert columns == {"0-0", "0-32", "0-64", "4-0", "4-32", "4-64"}
    chunk.write_bytes(whole)
    assert call("predict", salt_run, "--split", "whole", "--id", "half") == 0
    assert "goes on: 6 of 9 columns of shards are written" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert not (group / "work").exists()
    entry = stores.catalog.open("salt")
    for name in ("salt_class", "salt_probability"):
        np.testing.assert_array_equal(
            derived_arrays(entry, "half")[name][...], derived_arrays(entry, "undisturbed")[name][...]
        )


def test_another_prediction_does_not_go_on(call, stores, salt_run, capsys):
    (stores.folder / "salt.zarr/amplitude/c/2/1/0").write_bytes(b"torn")
    assert call("predict", salt_run, "--split", "whole", "--id", "half") == 2
    assert call("predict", salt_run, "--split", "train", "--halo", "3", "--id", "half") == 2
    said = capsys.readouterr().err
    assert "derived/half is the beginning of another prediction, with another boxes, halo, split" in said
    assert "`python -m data_catalog remove salt --derived half`" in said
    assert stores.catalog.remove_derived("salt", "half")
    assert not (stores.folder / "salt.zarr/derived/half").exists()
    assert call("predict", salt_run, "--split", "train", "--halo", "3", "--id", "half") == 0


def test_a_group_is_written_by_one_at_a_time(call, stores, salt_run, capsys):
    with hold_lease(str(stores.folder / "salt.zarr/derived/half"), purpose="predict half"):
        assert call("predict", salt_run, "--id", "half") == 2
    assert "derived/half is in use by" in capsys.readouterr().err


def test_what_another_writer_left_is_not_touched(call, stores, salt_run, capsys):
    zarr.open_group(str(stores.folder / "salt.zarr"), mode="r+").create_group("derived/busy")
    assert call("predict", salt_run, "--id", "busy") == 2
    assert "exists, but the entry does not know it, and no prediction began there" in capsys.readouterr().err


@pytest.mark.slow
def test_predictions_that_are_killed_go_on(call, stores, salt_run):
    """Five times at random moments, on one process and on two; the last one ends. The same samples, bit by bit."""
    shape = (48, 80, 66)
    stores.make_salt("large", shape=shape, splits={})
    run = ("predict", salt_run, "--dataset", "large", "--split", "whole", "--halo", "40")
    assert stores.run(*run, "--id", "undisturbed").returncode == 0
    ledger = stores.folder / "large.zarr/derived/killed" / layout.LEDGER
    generator = random.Random(3)
    columns = 0
    for number in range(5):
        process = stores.start(*run, "--id", "killed", processes=[None, 2][number % 2])
        columns += generator.randrange(1, 5)
        deadline = time.monotonic() + 60
        while process.poll() is None and len(list(ledger.glob("*"))) < columns:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert process.poll() is None, "it should be long enough"
        ranks = psutil.Process(process.pid).children()
        victim = ranks[generator.randrange(len(ranks))] if ranks else process
        victim.kill()
        assert process.wait(60) != 0
        columns = len(list(ledger.glob("*")))
    done = stores.run(*run, "--id", "killed", processes=2)
    assert done.returncode == 0, done.stderr
    assert f"goes on: {columns} of 36 columns" in done.stdout
    entry = stores.catalog.open("large")
    for name in ("salt_class", "salt_probability"):
        found, expected = (derived_arrays(entry, each)[name][...] for each in ("killed", "undisturbed"))
        np.testing.assert_array_equal(found, expected)


def test_an_object_store_is_predicted_into(call, stores, salt_run, bucket_url):
    entry = stores.catalog.open("salt")
    S3FileSystem().put(entry.url, f"{bucket_url}/salt.zarr", recursive=True)
    stores.catalog.publish(entry.model_copy(update={"name": "remote", "url": f"{bucket_url}/salt.zarr"}))
    for dataset in ("salt", "remote"):
        assert call("predict", salt_run, "--dataset", dataset, "--id", "unet") == 0
    found, expected = (
        derived_arrays(stores.catalog.open(name), "unet")["salt_probability"][...] for name in ("remote", "salt")
    )
    np.testing.assert_array_equal(found, expected)
    assert not S3FileSystem().find(f"{bucket_url}/salt.zarr/derived/unet/work")
