"""Splits in labels and in shares of an axis."""

import pytest

from data_catalog import InputError
from pipeline.plan.splits import split_boxes
from pipeline.survey.axis import Axis, SampleAxis

AXES = (
    Axis(name="inline", first=100, step=2, size=50, long_name="inline number"),
    SampleAxis(name="time", first=0.0, interval_us=4000, size=100, long_name="time", units="ms"),
)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("inline:100:118", {"inline": (0, 10)}),
        ("inline:101:118", {"inline": (1, 10)}),
        ("inline:0%:50%", {"inline": (0, 25)}),
        ("inline:50%:100%, time:0:40", {"inline": (25, 50), "time": (0, 11)}),
        ("time:-5:2.5", {"time": (0, 1)}),
    ],
)
def test_ranges(text: str, box: dict[str, tuple[int, int]]) -> None:
    assert split_boxes({"train": (text,)}, AXES) == {"train": (box,)}


def test_ranges_of_an_axis_that_no_memory_holds() -> None:
    axes = (Axis(name="trace", first=0, size=10**12, long_name="trace"), AXES[1])
    boxes = split_boxes({"train": ("trace:5:800000000000",)}, axes)
    assert boxes == {"train": ({"trace": (5, 800_000_000_001)},)}


def test_a_split_may_have_several_boxes() -> None:
    boxes = split_boxes({"train": ("inline:0%:10%", "inline:50%:60%")}, AXES)
    assert boxes == {"train": ({"inline": (0, 5)}, {"inline": (25, 30)})}


def test_splits_that_share_samples_are_refused() -> None:
    with pytest.raises(InputError, match="'train' and 'test' share samples"):
        split_boxes({"train": ("inline:0%:60%",), "test": ("inline:50%:100%",)}, AXES)


@pytest.mark.parametrize(
    "text",
    [
        "inline",
        "inline:1",
        "crossline:1:2",
        "inline:118:100",
        "inline:900:950",
        "a:b:c",
        "inline:1..2:105",
        "inline:0%:10%,inline:20%:30%",
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="split train="):
        split_boxes({"train": (text,)}, AXES)
