"""Whatever the bytes say: a file is opened or refused in a sentence, soon, and in little memory; and leads back."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from distributed import Client
from hypothesis import HealthCheck, event, given, settings, target
from hypothesis import strategies as st

from data_catalog import Catalog, InputError
from pipeline.convert import convert
from pipeline.export.export import export
from pipeline.recipe import HeaderBytes, load_recipe
from pipeline.segy.fields import BINARY_FIELDS, BYTE_ORDER_CONSTANT, Field
from pipeline.segy.file import open_segy
from pipeline.survey.files import open_survey
from pipeline.survey.headers import sample_evidence
from pipeline.synthetic.hostile import hostile_file

MOST_NBYTES = 64 * 2**20
"""What opening a file and judging its headers may take."""


def test_hostile_headers_are_opened_or_refused(tmp_path: Path) -> None:
    """`benchmarks/hostile_headers.py` tries a million."""
    path = tmp_path / "hostile.sgy"
    random = np.random.default_rng(1)
    refusals = []
    tracemalloc.start()
    for _ in range(1500):
        path.write_bytes(hostile_file(random))
        try:
            survey = open_survey((str(path),), HeaderBytes())
        except InputError as error:
            refusals.append(str(error))
            continue
        assert sample_evidence(survey).proposals[-1].kind == "flat"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_NBYTES
    assert 50 < len(refusals) < 700  # both happen often
    assert all(str(path) in refusal for refusal in refusals)


PLAIN_BINARY = {"sample_interval_us": 2000, "sample_count": 5, "sample_format": 5}
CHANGES = st.lists(
    st.tuples(
        st.sampled_from([*BINARY_FIELDS.values(), BYTE_ORDER_CONSTANT]),
        st.sampled_from([0, 1, 2, 5, 16, 240, 3200, 65535]) | st.integers(-(2**31), 2**64 - 1),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, first_trace=st.binary(max_size=300), text=st.binary(max_size=60), length=st.integers(0, 9000))
def test_words_that_hypothesis_chooses(
    tmp_path: Path, changes: list[tuple[Field, int]], first_trace: bytes, text: bytes, length: int
) -> None:
    """Guided to files of which much is odd."""
    content = bytearray(9000)
    content[3600 : 3600 + len(text)] = text
    content[7000 : 7000 + len(first_trace)] = first_trace
    for field, value in [*((BINARY_FIELDS[name], value) for name, value in PLAIN_BINARY.items()), *changes]:
        word = (value % 256**field.nbytes).to_bytes(field.nbytes, "big")
        content[field.first_byte - 1 : field.first_byte - 1 + field.nbytes] = word
    path = tmp_path / "chosen.sgy"
    path.write_bytes(content[:length])
    try:
        survey = open_survey((str(path),), HeaderBytes())
    except InputError as error:
        target(0.0)
        event(str(error).partition(str(path))[2][:20])
        return
    (file,) = survey.files
    target(float(len(file.oddities)))
    whole = file.header_nbytes + file.trace_count * file.trace_nbytes - file.missing_nbytes + file.tail_nbytes
    assert whole == length  # every byte is header, trace or tail
    assert file.trace_count >= 1
    assert sample_evidence(survey).proposals[-1].kind == "flat"


@pytest.mark.parametrize("seed", range(40))
def test_what_is_opened_converts_and_leads_back(
    seed: int, client: Client, catalog_folder: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(1000 + seed)
    path = tmp_path / "hostile.sgy"
    while True:
        content = hostile_file(random)
        path.write_bytes(content)
        try:
            open_segy(str(path), len(content))
            break
        except InputError:
            continue
    recipe = load_recipe(name="x", paths=(str(path),), out=str(tmp_path / "x.zarr"))
    convert(recipe, client=client, catalog=Catalog())
    path.unlink()
    (written,) = export("x", out=tmp_path / "again.sgy", catalog=Catalog())
    assert written.read_bytes() == content
