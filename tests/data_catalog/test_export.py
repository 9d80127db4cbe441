"""The catalog for other programs: STAC, as pystac validates it, and Intake, as intake opens it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data_catalog import Catalog, Entry, InputError
from data_catalog.__main__ import app
from tests.data_catalog.written_store import dipping


def export(*arguments: str | Path) -> str:
    told = CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


def test_stac_is_valid_and_says_what_there_is(survey: Entry, tmp_path: Path) -> None:
    pystac = pytest.importorskip("pystac")
    assert "1 datasets" in export("--format", "stac", "--out", tmp_path / "stac")
    catalog = pystac.Catalog.from_file(str(tmp_path / "stac/catalog.json"))
    assert catalog.validate_all() == 1
    (item,) = catalog.get_items(recursive=True)
    assert (item.id, item.datetime) == ("survey", survey.created)
    assert item.assets["store"].href == survey.url
    assert item.assets["derived/salt"].href == f"{survey.url}/derived/salt"
    assert item.properties["tracemill:sizes"]["crossline"] == 5
    assert item.properties["tracemill:variables"]["derived/salt/label"]["flag_meanings"] == ["rock", "salt"]
    (source,) = item.get_links("via")
    assert source.target == "/data/survey.sgy"


OPEN_WITH_INTAKE = """
import sys, intake
catalog = intake.open_catalog(sys.argv[1])
for name in sorted(catalog):
    dataset = catalog[name].to_dask()
    print(name, *(f"{variable} {float(array.sum())}" for variable, array in sorted(dataset.data_vars.items())))
"""


def test_intake_opens_all_datasets(survey: Entry, tmp_path: Path) -> None:
    pytest.importorskip("intake_xarray")
    export("--format", "intake", "--out", tmp_path / "catalog.yaml")
    command = [sys.executable, "-W", "ignore", "-c", OPEN_WITH_INTAKE, tmp_path / "catalog.yaml"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    of_survey, of_salt = told.stdout.splitlines()
    name, _, amplitude, *_ = of_survey.split()
    assert name == "survey"
    assert float(amplitude) == pytest.approx(dipping((4, 5, 6)).sum(), rel=1e-4)
    assert of_salt.split() == ["survey/salt", "label", "60.0"]


def test_what_is_there_is_not_written_over(survey: Entry, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.tex").write_text("\\end")
    for form, out in (("stac", "taken"), ("stac", "taken/thesis.tex"), ("intake", "taken/thesis.tex")):
        with pytest.raises(InputError, match="is there already: choose another --out"):
            export("--format", form, "--out", tmp_path / out)
    assert (tmp_path / "taken/thesis.tex").read_text() == "\\end"


@pytest.mark.parametrize("command", [["export", "--format", "stac"], ["export", "--format", "intake"], ["page"]])
def test_a_url_is_no_place_on_this_machine(survey: Entry, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--out is a place on this machine"):
        CliRunner().invoke(app, [*command, "--out", "s3://bucket/out"], catch_exceptions=False)


def test_a_folder_that_cannot_be_written_is_told(survey: Entry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for form in ("stac", "intake"):
        with pytest.raises(InputError, match="cannot be written"):
            export("--format", form, "--out", tmp_path / "file/below")


def test_any_name_can_be_exported(survey: Entry, tmp_path: Path) -> None:
    pystac = pytest.importorskip("pystac")
    Catalog().publish(survey.model_copy(update={"name": "catalog.json", "revision": 1}))
    export("--format", "stac", "--out", tmp_path / "stac")
    found = pystac.Catalog.from_file(str(tmp_path / "stac/catalog.json")).get_items(recursive=True)
    assert sorted(item.id for item in found) == ["catalog.json", "survey"]
    assert sorted(path.name for path in tmp_path.iterdir() if "stac" in path.name) == ["stac"]


def test_what_cannot_be_read_is_left_out_and_told(survey: Entry, catalog_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pystac")
    (catalog_folder / "torn.json").write_text("{")
    with pytest.raises(InputError, match=r"(?s)could not be read, and are left out.*torn\.json"):
        export("--format", "stac", "--out", tmp_path / "stac")
    assert (tmp_path / "stac/datasets/survey.json").exists()


def test_a_url_that_looks_like_a_template_is_refused(survey: Entry, catalog_folder: Path, tmp_path: Path) -> None:
    entry = json.loads((catalog_folder / "survey.json").read_text()) | {"url": "/data/{{ env(HOME) }}.zarr"}
    (catalog_folder / "survey.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match="would take for a template"):
        export("--format", "intake", "--out", tmp_path / "catalog.yaml")
    assert not (tmp_path / "catalog.yaml").exists()


def test_lineage_goes_from_files_to_what_was_derived(survey: Entry) -> None:
    told = CliRunner().invoke(app, ["lineage", "survey"], catch_exceptions=False).output
    places = [told.index(word) for word in ("1 source files", "/data/survey.sgy", "Dataset", "derived/salt", "a test")]
    assert places == sorted(places)
