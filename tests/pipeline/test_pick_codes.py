"""What the words of phases and the codes of stations mean."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_catalog import InputError
from pipeline.labels.phases import FAMILIES, class_numbers
from pipeline.labels.stations import numbered, places_of

WORDS = st.sampled_from([*FAMILIES, *(word for family in FAMILIES.values() for word in family), "PmP", "Lg", "PKP"])


@given(st.lists(WORDS, min_size=1, unique=True), WORDS)
def test_exact_words_win_and_direct_waves_follow(asked: list[str], word: str) -> None:
    found = class_numbers(asked).get(word)
    heads = [head for head, family in FAMILIES.items() if word in family and head in asked]
    expected = asked.index(word) if word in asked else asked.index(heads[0]) if heads else None
    assert found == (None if expected is None else expected + 1)


CODE = st.tuples(*(st.sampled_from(["", *letters]) for letters in ("XY", "AB", "01")))


@given(st.lists(CODE, max_size=6), st.lists(CODE, max_size=6))
def test_blank_codes_agree_with_any(asked: list[Any], known: list[Any]) -> None:
    agreeing = [
        [
            place
            for place, code in enumerate(known)
            if code[1] == each[1] and all(a == b or "" in (a, b) for a, b in zip(each, code, strict=True))
        ]
        for each in asked
    ]
    if any(len(places) > 1 for places in agreeing):
        with pytest.raises(InputError, match="at several places"):
            places_of(asked, known, range(len(known)))
    else:
        found = places_of(asked, known, range(len(known)))
        expected = [places[0] if places else np.nan for places in agreeing]
        np.testing.assert_array_equal(found, expected)


def test_only_plain_digits_are_receivers() -> None:
    codes = [("", station, "") for station in ("7", "007", "7a", "-7", "7.0", "²", "9" * 30)]
    assert numbered(codes) == ([("", "7", ""), ("", "007", "")], [7, 7])
