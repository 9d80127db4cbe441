"""Where a store may go: into nothing, or where the same conversion was broken off; never into what is not ours."""

from pathlib import Path

import pytest

from data_catalog import InputError
from pipeline.store.target import check_target


def test_nothing_and_an_empty_folder_are_free(tmp_path: Path) -> None:
    check_target(str(tmp_path / "none.zarr"))
    check_target(str(tmp_path))


@pytest.mark.parametrize("name", ["lease.json", "lease.4711.json", "index/a.json", ".4711.tmp", "probe-4711"])
def test_what_a_killed_call_left_is_ours(tmp_path: Path, name: str) -> None:
    left = tmp_path / "work" / name
    left.parent.mkdir(parents=True)
    left.touch()
    check_target(str(tmp_path))


@pytest.mark.parametrize("name", ["work/thesis.tex", "work/data/survey.sgy", "survey.sgy", "amplitude/c/0/0"])
def test_what_is_somebody_elses_is_refused(tmp_path: Path, name: str) -> None:
    left = tmp_path / name
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    with pytest.raises(InputError, match="is already in use"):
        check_target(str(tmp_path))
    assert left.exists()


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is already in use"):
        check_target(str(tmp_path / "file"))
