"""environment.yml, pyproject.toml and constraints.txt name the same packages; the README names the real commands."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"dask": {"dask-core", "distributed"}, "torch": {"pytorch"}, "matplotlib": {"matplotlib-base"}}
"""What conda-forge calls a package of PyPI, where the names differ."""

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = {
    requirement
    for extra, requirements in PROJECT["optional-dependencies"].items()
    if extra != "all"
    for requirement in requirements
}


def package(requirement: str) -> str:
    return re.split(r"[\[<>=! ]", requirement)[0].lower()


def test_conda_installs_what_the_extras_name() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {package(item) for item in listed if isinstance(item, str)} - {"python", "pip"}
    pypi = {name for requirement in REQUIRED for name in CONDA_NAMES.get(package(requirement), {package(requirement)})}
    assert conda == pypi
    assert {"pip": ["-e ."]} in listed
    assert PROJECT["dependencies"] == []


def test_lower_bounds_agree() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {package(item): item.replace(" ", "") for item in listed if isinstance(item, str)}
    for requirement in REQUIRED:
        if match := re.search(r">=[\d.]+", requirement):
            name = next(iter(CONDA_NAMES.get(package(requirement), {package(requirement)})))
            assert conda[name].endswith(match.group()), requirement


def test_all_is_every_extra() -> None:
    extras = PROJECT["optional-dependencies"]
    assert set(extras["all"]) == {f"tracemill[{extra}]" for extra in extras if extra != "all"}


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {re.split("==", line)[0].lower() for line in lines if not line.startswith("#")}
    assert {package(requirement) for requirement in REQUIRED} <= pinned
    assert "torch==2.13.0" in lines


def test_continuous_integration_runs_the_readme_s_commands() -> None:
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci/run").read_text()
    for command in ("make check", "make test"):
        assert command in readme
        assert f"\n{command}\n" in script


def test_the_readme_s_tree_is_the_tree() -> None:
    tree = re.search(r"```text\n(tracemill/\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree is not None
    folder = ROOT
    for mark, name in re.findall(r"^(.*?[├└]── )([\w./-]+)", tree.group(1), re.MULTILINE):
        is_top = len(mark) == len("├── ")
        path = (ROOT if is_top else folder) / name
        assert path.exists(), f"{path} is in the README and not in the project"
        folder = path if is_top else folder
