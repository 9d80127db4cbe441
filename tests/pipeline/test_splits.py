"""Splits in labels and in shares of an axis."""

import numpy as np
import pytest

from data_catalog import InputError
from pipeline.geometry import Axis
from pipeline.splits import split_boxes

AXES = (
    Axis("inline", np.arange(100, 200, 2), "inline number"),
    Axis("time", np.arange(0, 400.0, 4.0), "time", "ms"),
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
    assert split_boxes({"train": text}, AXES) == {"train": (box,)}


@pytest.mark.parametrize("text", ["inline", "inline:1", "crossline:1:2", "inline:118:100", "inline:900:950", "a:b:c"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="split train="):
        split_boxes({"train": text}, AXES)
