import numpy as np
import pytest

from data_catalog import InputError
from trainer.config import OversampleRule, SelectionConfig
from trainer.data.content import select_windows
from trainer.data.splits import plan_split
from trainer.data.store import Dataset
from trainer.plan.windows import Edges


@pytest.fixture
def select(stores):
    """Selects windows of a salt stack, and gives their true shares beside it."""
    stores.make_salt("salt", shape=(8, 50, 43), splits={"train": [{}]})
    dataset = Dataset("salt", catalog=stores.catalog)
    stored, label = dataset.input_variable(), dataset.variable("salt")

    def run(*, window, stride, **selection):
        plan = plan_split(
            dataset, stored, "train", window=window, stride=stride, edges=selection.pop("edges", Edges.SHIFT)
        )
        chosen = select_windows(plan, SelectionConfig(**selection), dataset=dataset, stored=stored, label=label)
        starts, ends = plan.ranges(np.arange(len(plan)))
        labels = label.array[...]
        live = np.broadcast_to(dataset.live(stored).array[...][..., None], labels.shape)
        boxes = [tuple(map(slice, start, end)) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        size = np.prod(plan.window)
        salt = np.array([(labels[box] == 1).sum() / size for box in boxes])
        return chosen, np.array([live[box].sum() / size for box in boxes]), salt

    return run


def test_without_rules_the_plan_stays(select):
    plan, *_ = select(window={"inline": 4}, stride={})
    assert plan.repeats is None


def test_shares_of_whole_chunks_are_exact(select):
    window = {"inline": 4, "crossline": 16, "time": 20}
    plan, live, salt = select(window=window, stride=window, edges=Edges.DROP, min_live=0.95, min_share={"salt": 0.3})
    np.testing.assert_array_equal(plan.repeats, (live >= 0.95) & (salt >= 0.3))
    assert 0 < plan.epoch_length < len(plan)


def test_oversampled_windows_come_as_often_as_the_rules_say(select):
    window = {"inline": 4, "crossline": 16, "time": 20}
    rules = [{"class_name": "salt", "min_share": 0.1, "times": 3}, {"class_name": "salt", "min_share": 0.5, "times": 2}]
    plan, _, salt = select(window=window, stride=window, edges=Edges.DROP, oversample=rules)
    np.testing.assert_array_equal(plan.repeats, np.where(salt >= 0.5, 6, np.where(salt >= 0.1, 3, 1)))


def test_shares_of_other_windows_are_near(select):
    """The manifest knows no more than chunks: a share is off by what a window's edge cuts unevenly."""
    chosen = {}
    for share in (0.3, 0.6):
        plan, _, salt = select(
            window={"inline": 4, "crossline": 20, "time": 17},
            stride={"crossline": 5, "time": 4},
            min_share={"salt": share},
        )
        chosen[share] = plan.repeats.astype(bool)
        assert salt[plan.repeats > 0].mean() > share > salt[plan.repeats == 0].mean()
    assert (chosen[0.6] <= chosen[0.3]).all()


def test_windows_beyond_their_box_hold_less(select):
    plan, live, _ = select(
        window={"inline": 4, "crossline": 32, "time": 40},
        stride={"crossline": 32, "time": 40},
        edges=Edges.PAD,
        min_live=0.5,
    )
    np.testing.assert_array_equal(plan.repeats, live >= 0.5)
    assert 0 < plan.epoch_length < len(plan)


def test_what_no_window_holds_is_refused(select):
    with pytest.raises(InputError, match=r"config.select: no window of the training split holds"):
        select(window={"crossline": 16, "time": 16}, stride={"inline": 5}, min_share={"salt": 1.0}, min_live=1.0)
    with pytest.raises(InputError, match=r"config.select: 'slat' is no class of label 'salt', which has rock, salt"):
        select(window={}, stride={}, oversample=[OversampleRule(class_name="slat", min_share=0.1, times=2)])
