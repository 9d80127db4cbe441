import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_catalog import InputError
from trainer.checkpoint import last_whole_checkpoint, read_state
from trainer.config import FaultConfig
from trainer.config_file import read_config
from trainer.data.data_source import check_guards
from trainer.data.normalise import normalisation_from_manifest
from trainer.experiment import prepare
from trainer.feed.faulty_windows import FaultPolicy
from trainer.plan.order import PADDING
from trainer.ranks import Ranks

STOP = FaultPolicy(FaultConfig(), seed=0, record=None)
MORE = [{"name": "loud", "label": "salt", "weight": 2}]


@pytest.fixture
def surveys(stores, salt_stack):
    """The salt survey, and another one with other chunks, a larger grid and three times the amplitudes."""
    import zarr

    stores.make_salt("loud", shape=(14, 40, 60), seed=1, chunk=(2, 20, 30), shard=(2, 20, 60))
    group = zarr.open_group(stores.catalog.open("loud").url, mode="a")
    group["amplitude"][...] *= 3
    for name, power in (("mean", 1), ("m2", 2)):
        group[f"manifest/amplitude/{name}"][...] *= 3**power
    del group["manifest/amplitude/crc32c"]
    return stores


def own_numbers(batches, windows):
    firsts = np.cumsum([0, *(len(source.plan) for source in batches.sources.each)])
    number = np.searchsorted(firsts, windows, side="right") - 1
    return number, windows - firsts[number]


def test_windows_of_all_come_as_often_as_they_weigh_each_from_its_own_store(surveys, write_recipe):
    experiment = prepare(read_config(write_recipe(more_datasets=MORE)), catalog=surveys.catalog)
    batches = experiment.training_batches(experiment.readers(), ranks=Ranks())
    arrays = [source.stored.array[...] for source in experiment.data]
    live = [source.dataset.live(source.stored).array[...] for source in experiment.data]
    seen = []
    with batches.feed(range(batches.order.steps_per_epoch), faults=STOP) as feed:
        for _ in range(batches.order.steps_per_epoch):
            windows, batch = feed.next_step()
            seen.append(windows)
            for place in np.flatnonzero(windows != PADDING):
                (number,), own = own_numbers(batches, windows[[place]])
                source = batches.sources.each[number]
                (inline, crossline, time), _ = (each[0] for each in source.plan.ranges(own))
                cut = (inline, slice(crossline, crossline + 16), slice(time, time + 16))
                amplitude = experiment.data[number].normalisation.apply(arrays[number][cut])
                expected = np.where(live[number][cut[:-1]][:, None], amplitude, 0)
                np.testing.assert_array_equal(batch.input[place, 0], expected)
    taken = np.concatenate(seen)
    times = np.bincount(taken[taken != PADDING], minlength=len(batches.sources))
    first = len(batches.sources.each[0].plan)
    assert (times[:first] == 1).all()
    assert (times[first:] == 2).all()
    shares = [np.count_nonzero(own_numbers(batches, of[of != PADDING])[0]) / len(of) for of in seen]
    assert np.std(shares) < 0.25, "both datasets are mixed in every batch"


def test_each_is_normalised_by_its_own_training_split(surveys, write_recipe):
    experiment = prepare(read_config(write_recipe(more_datasets=MORE)), catalog=surveys.catalog)
    quiet, loud = (source.normalisation for source in experiment.data)
    assert loud.standard_deviation == pytest.approx(3 * quiet.standard_deviation, rel=0.1)


def test_trained_scored_audited_and_predicted(surveys, call, write_recipe, tmp_path, capsys):
    recipe = write_recipe(more_datasets=MORE, feed={"audit": True}, steps=20)
    assert call("fit", recipe) == 0
    assert call("audit", tmp_path / "run") == 0
    state = read_state(last_whole_checkpoint(tmp_path / "run/checkpoints"))
    assert state.normalisations.keys() == {"salt", "loud"}
    capsys.readouterr()
    assert call("evaluate", tmp_path / "run") == 0
    assert 0 < json.loads(capsys.readouterr().out)["accuracy"] <= 1
    for name in ("salt", "loud"):
        assert call("predict", tmp_path / "run", "--dataset", name) == 0
        assert "run" in surveys.catalog.open(name).derived
    Path(surveys.catalog.place, "loud.json").unlink()
    assert call("predict", tmp_path / "run", "--id", "alone") == 0, "it reads one dataset"


def test_a_survey_that_was_not_trained_on_is_normalised_by_itself(surveys, call, write_recipe, tmp_path, monkeypatch):
    from trainer.run_folder import open_run

    assert call("fit", write_recipe(more_datasets=MORE, steps=2)) == 0
    surveys.make_salt("third", seed=2)
    found = open_run(tmp_path / "run", catalog=surveys.catalog, dataset="third").main
    whole = (tuple((0, size) for size in found.stored.variable.shape),)
    assert found.normalisation == normalisation_from_manifest(found.dataset, found.stored, boxes=whole)


def test_whole_surveys_are_held_out(surveys, call, write_recipe, tmp_path, capsys):
    for name, splits in {"salt": {"train": ({},)}, "loud": {"test": ({},)}}.items():
        surveys.catalog.revise(name, lambda entry, of=splits: entry.model_copy(update={"splits": of}), what="splits")
    more = [{"name": "loud", "label": "salt"}]
    assert call("fit", write_recipe(more_datasets=more, splits={"train": "trian"})) == 2
    assert "split 'trian' is not among the splits of any dataset (salt: " in capsys.readouterr().err
    assert call("fit", write_recipe(more_datasets=more, splits={"train": "train+trian"})) == 2
    assert "split 'trian' is not among the splits of any dataset (salt: " in capsys.readouterr().err
    recipe = write_recipe(more_datasets=more, splits={"validation": None}, steps=4)
    experiment = prepare(read_config(recipe), catalog=surveys.catalog)
    for split, (of_salt, of_loud) in {"train": (True, False), "test": (False, True)}.items():
        batches = (
            experiment.training_batches(experiment.readers(), ranks=Ranks())
            if split == "train"
            else experiment.scoring_batches(experiment.readers(), split="test", ranks=Ranks())
        )
        quiet, loud = (len(source.plan) for source in batches.sources.each)
        assert (quiet > 0, loud > 0) == (of_salt, of_loud)
    assert call("fit", recipe) == 0
    assert "predict" in (told := capsys.readouterr().out)
    assert told.rstrip().endswith("--dataset loud"), "the main one has no test split"
    assert call("evaluate", tmp_path / "run") == 0
    assert 0 < json.loads(capsys.readouterr().out)["accuracy"] <= 1


def test_surveys_are_folds(surveys, call, write_recipe):
    for name, fold in {"salt": "a", "loud": "b"}.items():
        splits = {"splits": {fold: ({},)}}
        surveys.catalog.revise(name, lambda entry, of=splits: entry.model_copy(update=of), what="splits")
    surveys.make_salt("third", seed=3)
    surveys.catalog.revise("third", lambda entry: entry.model_copy(update={"splits": {"c": ({},)}}), what="splits")
    more = [{"name": name, "label": "salt"} for name in ("loud", "third")]
    recipe = write_recipe(more_datasets=more, splits={"folds": ["a", "b", "c"]}, steps=2, validate_every_steps=2)
    assert call("fit", recipe, "--fold", "2") == 0


def test_what_cannot_go_into_one_batch_is_refused(stores, salt_stack, call, write_recipe, capsys):
    stores.make_line("line")
    stores.make_salt("unlabelled")
    for more, sentence in {
        "line": "is no dimension of",
        "salt": "name salt twice",
        "unlabelled": "is read with label 'salt'; name that of 'unlabelled'",
        "absent": "absent",
    }.items():
        assert call("fit", write_recipe(more_datasets=[{"name": more}])) == 2
        assert sentence in capsys.readouterr().err


def test_a_run_goes_on_with_the_groups_that_it_began_with(stores, call, write_recipe, tmp_path, capsys):
    """A larger budget would choose other groups; too small a one for those is refused with the figure."""
    stores.make_salt("salt", shape=(12, 96, 160))
    small = {
        "feed": {"resident_nbytes": 400_000},
        "splits": {"validation": None},
        "stride": {"time": 4},
        "batch_size": 4,
    }
    assert call("fit", write_recipe(**small), "--set", "steps=3") == 0
    shape = read_state(last_whole_checkpoint(tmp_path / "run/checkpoints")).grouping
    fresh = tmp_path / "fresh"
    large = ("--set", "feed.resident_nbytes=100000000")
    assert call("fit", write_recipe(**small), *large, "--set", "steps=3", "--out", fresh) == 0
    assert read_state(last_whole_checkpoint(fresh / "checkpoints")).grouping != shape, "the case should have a choice"
    assert call("fit", write_recipe(**small), *large, "--resume", "auto") == 0
    assert read_state(last_whole_checkpoint(tmp_path / "run/checkpoints")).grouping == shape
    capsys.readouterr()
    assert call("fit", write_recipe(**small), "--resume", "auto", "--set", f"order.lanes={shape['lanes'] + 1}") == 2
    assert f"the run began with {shape['lanes']}" in capsys.readouterr().err
    assert (
        call("fit", write_recipe(**small), "--resume", "auto", "--set", "feed.resident_nbytes=9000", "--set", "steps=9")
        == 2
    )
    assert "allow at least that" in capsys.readouterr().err


def test_classes_are_counted_over_the_training_splits_of_all_datasets_as_often_as_they_weigh(surveys, write_recipe):
    recipe = write_recipe(more_datasets=MORE, task={"name": "segmentation", "class_weights": "balanced"})
    experiment = prepare(read_config(recipe), catalog=surveys.catalog)
    counts = np.zeros(2)
    for source, whole_chunks in zip(experiment.data, (slice(0, 4), slice(0, 6)), strict=True):
        label = source.label.array[whole_chunks]
        counts += source.weight * np.array([np.count_nonzero(label == value) for value in (0, 1)])
    np.testing.assert_allclose(experiment.task._class_weights, counts.sum() / (2 * counts), rtol=1e-6)


@pytest.mark.parametrize(("dim", "is_refused"), [("example", False), ("record", True)])
def test_only_examples_need_no_guard_band(dim, is_refused, write_recipe):
    """Examples lie side by side by chance, records one after another in time."""
    boxes = {"train": (((0, 5), (0, 40)),), "test": (((5, 9), (0, 40)),)}
    dataset = SimpleNamespace(
        own_part=lambda name: name, split=lambda name, dims: boxes[name], entry=SimpleNamespace(name="records")
    )
    source = SimpleNamespace(dataset=dataset, stored=SimpleNamespace(variable=SimpleNamespace(dims=(dim, "time"))))
    config = read_config(write_recipe(window={"time": 16}, splits={"train": "train", "validation": None}))
    if is_refused:
        with pytest.raises(InputError, match="A guard band of record 1 or time 16 is needed"):
            check_guards(source, config=config)
    else:
        check_guards(source, config=config)
